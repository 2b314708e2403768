"""What a kind of variation is: a displacement that is linear in functions of its parameters."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor

from meshgnn.geometry.morph.body import Body


@dataclass(frozen=True, eq=False)
class Deformation:
    """u(x; p) = Σ_k c_k(p) φ_k(x), u(x; 0) = 0.

    Args:
        modes: φ [N, d, K] displacements of all nodes, in the unit of the points.
        bounds: [P, 2] least and largest value of each parameter, 0 among them.
        names: of the parameters.
        normal: draw parameters from N(0, 1), cut off at the bounds, instead of evenly.
        coefficients: p -> c, differentiable; p itself where it is not given.
    """

    modes: Float[np.ndarray, "N d K"]
    bounds: Float[np.ndarray, "P 2"]
    names: list[str]
    normal: bool = False
    coefficients: Callable[[Float[Tensor, " P"]], Float[Tensor, " K"]] | None = None

    def draw(self, rng: np.random.Generator) -> Float[np.ndarray, " P"]:
        """Random parameters within the bounds."""
        low, high = self.bounds.T
        if self.normal:
            return np.clip(rng.standard_normal(len(low)), low, high)
        return rng.uniform(low, high)


@runtime_checkable
class Kind(Protocol):
    """A kind of variation: `FreeForm`, `RadialBasis`, `Modal`, `Noise`, `Offset`, `Fillet`,
    `Motion`, or one of your own."""

    def deformation(self, body: Body) -> Deformation:
        """The displacements of this body, computed once for all members of a family."""
        ...


def symmetric(size: Float[np.ndarray, " P"]) -> Float[np.ndarray, "P 2"]:
    """Bounds -s ... s."""
    return np.stack([-size, size], axis=1)


def positive(**values: float | int) -> None:
    """Raises: ValueError: a value that is not positive and finite."""
    for name, value in values.items():
        if not 0 < value < np.inf:
            raise ValueError(f"{name}: expected a positive number, got {value}")


def along_axes(weights: Float[np.ndarray, "N C"], d: int) -> Float[np.ndarray, "N d K"]:
    """Modes w_c(x) e_a of scalar weights, one for each c and axis a, a fastest."""
    n, count = weights.shape
    return (weights[:, None, :, None] * np.eye(d)[:, None, :]).reshape(n, d, count * d)


def axis_names(labels: list[str], d: int) -> list[str]:
    """Names label.x, label.y, ... of vector parameters."""
    return [f"{label}.{axis}" for label in labels for axis in "xyz"[:d]]

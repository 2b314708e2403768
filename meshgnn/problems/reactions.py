"""Reactions of two species (u, v) -> (∂u/∂t, ∂v/∂t), and random states for them to start from."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

Reaction = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Cubic:
    """(u - u³ - v + α, β (u - v)): FitzHugh and Nagumo's activator u and inhibitor v.

    Args:
        alpha: α, 1/s.
        beta: β, 1/s.

    Source: FitzHugh, Biophys. J. 1 (1961) 445-466; Nagumo, Arimoto & Yoshizawa, Proc. IRE 50 (1962)
    2061-2070.
    """

    alpha: float = 0.01
    beta: float = 0.25

    def __call__(
        self, u: Float[np.ndarray, "*n"], v: Float[np.ndarray, "*n"]
    ) -> tuple[Float[np.ndarray, "*n"], Float[np.ndarray, "*n"]]:
        """The rates of u and v."""
        return u - u**3 - v + self.alpha, self.beta * (u - v)


@dataclass(frozen=True)
class GrayScott:
    """(-u v² + F (1 - u), u v² - (F + k) v): v feeds on u, which flows in.

    Args:
        feed: F, 1/s.
        kill: k, 1/s.

    Source: Pearson, Science 261 (1993) 189-192.
    """

    feed: float = 0.025
    kill: float = 0.055

    def __call__(
        self, u: Float[np.ndarray, "*n"], v: Float[np.ndarray, "*n"]
    ) -> tuple[Float[np.ndarray, "*n"], Float[np.ndarray, "*n"]]:
        """The rates of u and v."""
        eaten = u * v**2
        return self.feed * (1 - u) - eaten, eaten - (self.feed + self.kill) * v


Field = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Seeds:
    """v = (1 + tanh 4 (w - 1)) / 8 of a smooth field w: spots of 1/4 where w is large, 0 between.

    u is 1 - 2 v where `fed`.

    Args:
        field: w.
        fed: whether the value is that of u.
    """

    field: Field
    fed: bool

    def __call__(self, x: Float[np.ndarray, "*R d"]) -> Float[np.ndarray, "*R"]:
        """u or v at points x[..., d]."""
        spots = (1 + np.tanh(4 * (self.field(x) - 1))) / 8
        return 1 - 2 * spots if self.fed else spots


def as_they_are(first: Field, second: Field) -> tuple[Field, Field]:
    """u and v as two independent fields."""
    return first, second


def seeds(first: Field, second: Field) -> tuple[Field, Field]:
    """u and v of Gray and Scott's reaction, from one field."""
    return Seeds(first, True), Seeds(first, False)


@dataclass(frozen=True, eq=False)
class Setting:
    """What a random problem of a reaction is made of.

    Args:
        reaction: R.
        diffusivity: D_u, D_v on a box of this side.
        side: L.
        duration: last time, s.
        substeps: of forty times.
        std: standard deviation of the fields that the initial state is made of.
        initial: two fields to u and v.
    """

    reaction: Reaction
    diffusivity: tuple[float, float]
    side: float
    duration: float
    substeps: int
    std: float
    initial: Callable[[Field, Field], tuple[Field, Field]] = field(default=as_they_are)


SETTINGS = {
    "fitz_hugh_nagumo": Setting(Cubic(), (1.0, 10.0), 128.0, 8.0, 2, 0.5),
    "gray_scott": Setting(GrayScott(), (2e-5, 1e-5), 2.5, 1000.0, 25, 1.0, seeds),
}

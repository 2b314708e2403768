"""`CombinedEquation`: Burgers, Korteweg–de Vries and what lies between, in one dimension."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from meshgnn.fem.values import at_points
from meshgnn.mesh import Mesh
from meshgnn.problems.combined_families import drawn, published
from meshgnn.problems.conditions import Conditions
from meshgnn.problems.heat import of_time
from meshgnn.sample import Sample
from meshgnn.volumes import Ring, Sines, control_volumes, march, restricted

_NAMES = ["alpha", "beta", "gamma"]


@dataclass(frozen=True, eq=False)
class CombinedEquation:
    """∂u/∂t + ∂_x (α u²/2 - β ∂_x u + γ ∂_xx u) = δ(t, x) on a periodic interval of equal cells.

    Inviscid Burgers for β = γ = 0 (its entropy solution, with shocks), viscous Burgers for γ = 0,
    Korteweg–de Vries for β = 0. Nodes hold averages over their control volumes, of width dx around
    them. Finite volumes: WENO5 with Godunov's flux, β and γ spectrally and exactly in time. ∫ u dx
    changes by ∫ δ dx only, to rounding.

    Args:
        times: [T] increasing, s; the first is that of the initial value.
        alpha: α; twice that of the paper where the family comes from, whose flux is α u².
        beta: β >= 0, m²/s.
        gamma: γ, m³/s.
        source: δ: a number, `volumes.Sines` (integrated exactly), or a function of (x, t),
            x[..., 1] -> [...] (Gauss, order 8).
        initial: u at times[0], likewise; a function of x or of (x, t).
        periodic: {"left": "right"}, the names of the groups of the two end nodes.
        forcing: whether samples tell A, ω, l and φ of the terms of δ (`Sines` only) in `params`.
        cfl: max |α u| dt / dx.

    Raises:
        ValueError: times that do not increase or are fewer than two; β < 0 or a constant that is
            not finite; cfl outside (0, 1]; `forcing` with a source that is no `Sines`.
    """

    times: Float[np.ndarray, " T"]
    alpha: float = 1.0
    beta: float = 0.0
    gamma: float = 0.0
    source: Any = 0.0
    initial: Any = 0.0
    periodic: Mapping[str, str] = field(default_factory=dict)
    forcing: bool = False
    cfl: float = 0.6

    def __post_init__(self) -> None:
        if len(self.times) < 2 or not (np.diff(self.times) > 0).all():
            raise ValueError(f"times: expected two or more, increasing, got {self.times}")
        constants = np.array([self.alpha, self.beta, self.gamma])
        if not np.isfinite(constants).all() or self.beta < 0:
            raise ValueError(
                "CombinedEquation: expected finite alpha, beta >= 0 and gamma, got "
                f"{constants.tolist()}; β < 0 is diffusion backward in time"
            )
        if not 0 < self.cfl <= 1:
            raise ValueError(f"cfl: expected 0 < max |α u| dt / dx <= 1, got {self.cfl}")
        if self.forcing and not isinstance(self.source, Sines):
            raise ValueError(
                "forcing: only the terms of volumes.Sines can be told as parameters, got a source "
                f"of type {type(self.source).__name__}"
            )

    def sample(self, mesh: Mesh) -> Sample:
        """The data of the problem on this mesh, unsolved: averages of the initial value, α, β, γ.

        Raises:
            ValueError: a mesh that is no interval of equal cells, or parts without a condition.
        """
        boundary = Conditions(mesh, 1, {}, {}, self.periodic).boundary()
        edges, order = control_volumes(mesh)
        params, names = [self.alpha, self.beta, self.gamma], list(_NAMES)
        if self.forcing:
            for name in ("amplitude", "frequency", "mode", "phase"):
                values = getattr(self.source, name)[0].tolist()
                params += values
                names += [f"{name}_{j}" for j in range(1, len(values) + 1)]
        return Sample(
            mesh=mesh,
            boundary=boundary,
            inputs=_at_nodes(self._initial(edges[:-1]), order),
            times=self.times,
            params=np.array(params, np.float64),
            names={"u": ["u"], "inputs": ["initial"], "params": names},
            meta={"problem": "CombinedEquation"},
        )

    def solve(self, mesh: Mesh, refine: int = 1) -> Sample:
        """The sample with u [T, N, 1], averages over the control volumes of the nodes.

        Args:
            mesh: n + 1 equidistant nodes, such as `volumes.periodic_interval(n, L)`.
            refine: equal cells in each control volume, to solve on; 1 is the method on the mesh
                itself, 8 (for n = 100) a reference for that.

        Raises:
            ValueError: see `sample`; refine < 1.
            FloatingPointError: the solution is not finite any more (the time).
        """
        if refine < 1:
            raise ValueError(f"refine: expected 1 cell or more in a control volume, got {refine}")
        sample = self.sample(mesh)
        coarse, order = control_volumes(mesh)
        cells = len(coarse) - 2
        edges = np.linspace(coarse[0], coarse[-2], cells * refine + 1)
        alpha, beta, gamma = np.array([[self.alpha], [self.beta], [self.gamma]], np.float64)
        source = averages(self.source, edges, "source")
        ring = Ring(edges[-1] - edges[0], alpha, beta, gamma, source, self.cfl)
        steps = march(ring, self._initial(edges), self.times)
        sample.meta.update(refine=refine)
        return sample.with_solution(
            np.stack([_at_nodes(restricted(u, cells), order) for u in steps])
        )

    def _initial(self, edges: Float[np.ndarray, " E"]) -> Float[np.ndarray, "n 1"]:
        return averages(self.initial, edges, "initial")(float(self.times[0]))

    @classmethod
    def draw(
        cls,
        mesh: Mesh,
        rng: np.random.Generator,
        *,
        family: str = "E1",
        frames: int = 250,
        waves: Sequence[int] = (1, 2),
        forcing: bool = False,
    ) -> "CombinedEquation":
        """A sample of the published families on a periodic interval, u = δ at t = 0.

        `simulate` calls its meshes a family too: give it functools.partial(draw, family="E2").

        Args:
            mesh: equidistant nodes with the groups left and right; its length is the period.
            rng: random numbers.
            family: E1 (α = 1), E2 (and β in [0, 0.2]) or E3 (α in [0, 6], β in [0.1, 0.4], γ in
                [0, 1]), until t = 4, 4 and 2.
            frames: number of times.
            waves: numbers of waves on the length that the terms of δ are drawn from.
            forcing: as of the class.

        Raises:
            ValueError: an unknown family, no waves; a mesh as in `sample`.
        """
        edges, _ = control_volumes(mesh)
        (alpha, beta, gamma), delta = drawn(rng, family, waves, float(edges[-2] - edges[0]))
        return cls(
            np.linspace(0, published(family).duration, frames),
            float(alpha),
            float(beta),
            float(gamma),
            delta,
            delta,
            {"left": "right"},
            forcing,
        )


def averages(
    value: Any, edges: Float[np.ndarray, " E"], what: str
) -> Callable[[float], Float[np.ndarray, "n B"]]:
    """t -> [E - 1, B] averages over the cells between the edges, B = 1 but for `Sines`.

    Exact for `Sines` and constants, Gauss's rule of four points for functions of x or (x, t).
    """
    if isinstance(value, Sines):
        return value.averages(edges)
    place, weights = np.polynomial.legendre.leggauss(4)
    x = (edges[1:] + edges[:-1])[:, None, None] / 2 + np.diff(edges)[:, None, None] / 2 * place[
        :, None
    ]

    def at(time: float) -> np.ndarray:
        now = (lambda x: value(x, time)) if callable(value) and of_time(value) else value
        return at_points(now, x, what) @ weights[:, None] / 2

    return at


def _at_nodes(u: Float[np.ndarray, "n 1"], order: Int[np.ndarray, " N"]) -> np.ndarray:
    """Averages from left to right, and the first again, at the nodes as they are numbered."""
    result = np.empty((len(order), 1))
    result[order] = np.concatenate([u, u[: len(order) - len(u)]])
    return result

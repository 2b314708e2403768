"""`CombinedEquation`: Burgers, Korteweg–de Vries and what lies between, in one dimension."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from meshgnn.fem.values import Value, at_points
from meshgnn.mesh import Mesh
from meshgnn.problems.combined_families import drawn, published
from meshgnn.problems.conditions import REST, Conditions, check_parts
from meshgnn.problems.transient import check_times, frozen, over_times, varies
from meshgnn.sample import Sample
from meshgnn.volumes import Cells, Ring, Segment, Sines, march, nodes_in_line


@dataclass(frozen=True, eq=False)
class CombinedEquation:
    """∂u/∂t + ∂_x (α u²/2 - β ∂_x u + γ ∂_xx u) = δ(t, x) on an interval of equidistant nodes.

    Inviscid Burgers for β = γ = 0 (its entropy solution, with shocks), viscous Burgers for γ = 0,
    Korteweg–de Vries for β = 0. Finite volumes: WENO5 with Godunov's flux.

    Periodic: nodes hold averages over their control volumes, of the width dx of the edges; β and γ
    spectrally and exactly in time; ∫ u dx changes by ∫ δ dx only, to rounding. Bounded, γ = 0 only:
    u = g at an end or free outflow, ∂_x u = 0; nodes hold averages, of free ends over the half of
    the control volume that is inside, the other ends g; β by differences of order 4, explicit, so
    that the cost grows as 1 / dx³.

    Args:
        times: [T] increasing, s; the first is that of the initial value.
        alpha: α; twice that of the paper the families come from, whose flux is α u².
        beta: β >= 0, m²/s.
        gamma: γ, m³/s.
        source: δ: a number, `volumes.Sines` (integrated exactly), or a function of x or (x, t),
            x[..., 1] -> [...] (averages by Gauss's rule of order 8).
        initial: u at times[0], likewise.
        periodic: {"left": "right"}, the groups of the end nodes.
        dirichlet: {end: g}, g a number, a function of x or of (x, t).
        neumann: {end: 0.0}, free outflow.
        forcing: whether samples tell A, ω, l and φ of the terms of δ (`Sines` only) in `params`.
        cfl: max |α u| dt / dx.
        refine: equal cells in each control volume, to solve on: 1 is the method on the mesh itself,
            8 (for n = 100) a reference for that. Odd on a bounded interval, where the ends are
            centres of cells.

    Raises:
        ValueError: times that do not increase or are fewer than two; β < 0 or a constant that is
            not finite; cfl outside (0, 1]; conditions that are no dict, a gradient other than 0;
            `forcing` with a source that is no `Sines`.
    """

    times: Float[np.ndarray, " T"]
    alpha: float = 1.0
    beta: float = 0.0
    gamma: float = 0.0
    source: Any = 0.0
    initial: Any = 0.0
    periodic: Mapping[str, str] = field(default_factory=dict)
    dirichlet: Mapping[str, Value] = field(default_factory=dict)
    neumann: Mapping[str, float] = field(default_factory=dict)
    forcing: bool = False
    cfl: float = 0.8
    refine: int = 1

    def __post_init__(self) -> None:
        check_times(self.times, 1)
        check_parts(dirichlet=self.dirichlet, neumann=self.neumann)
        constants = np.array([self.alpha, self.beta, self.gamma])
        if not np.isfinite(constants).all() or self.beta < 0:
            raise ValueError(
                "CombinedEquation: expected finite alpha, beta >= 0 and gamma, got "
                f"{constants.tolist()}; β < 0 is diffusion backward in time"
            )
        if not 0 < self.cfl <= 1:
            raise ValueError(f"cfl: expected 0 < max |α u| dt / dx <= 1, got {self.cfl}")
        steep = {n: g for n, g in self.neumann.items() if not isinstance(g, int | float) or g != 0}
        if steep:
            raise ValueError(f"neumann: expected 0.0, which is free outflow, got {steep}")
        if self.forcing and not isinstance(self.source, Sines):
            raise ValueError(
                "forcing: only the terms of volumes.Sines can be told as parameters, got a source "
                f"of type {type(self.source).__name__}"
            )

    def conditions(self, mesh: Mesh, time: float) -> Conditions:
        """The conditions by group of this mesh, at a time.

        Raises:
            ValueError: see `Conditions`.
        """
        flux = dict.fromkeys(self.neumann, (0.0, 0.0))
        return Conditions(mesh, 1, frozen(self.dirichlet, time), flux, self.periodic)

    def sample(self, mesh: Mesh) -> Sample:
        """The data of the problem on this mesh, unsolved: averages of the initial value, α, β, γ.

        Raises:
            ValueError: a mesh that is no interval of equidistant nodes, ends without a condition,
                values given inside, γ != 0 on a bounded interval.
        """
        cells, order = self._cells(mesh, 1)
        boundary = self.conditions(mesh, float(self.times[0])).boundary()
        inner = np.setdiff1d(np.flatnonzero(boundary.dirichlet_mask), order[[0, -1]])
        if len(inner):
            raise ValueError(f"dirichlet: expected the end nodes only, got nodes {inner.tolist()}")
        if varies(self.dirichlet):
            boundary = over_times(boundary, lambda t: self.conditions(mesh, t), self.times)
        params, names = [self.alpha, self.beta, self.gamma], ["alpha", "beta", "gamma"]
        for name in ("amplitude", "frequency", "mode", "phase") if self.forcing else ():
            terms = getattr(self.source, name)[0].tolist()
            params += terms
            names += [f"{name}_{j}" for j in range(1, len(terms) + 1)]
        initial = averages(self.initial, cells, "initial")(float(self.times[0]))
        return Sample(
            mesh=mesh,
            boundary=boundary,
            inputs=cells.to_nodes(initial)[np.argsort(order)],
            times=self.times,
            params=np.array(params, np.float64),
            names={"u": ["u"], "inputs": ["initial"], "params": names},
            meta={"problem": "CombinedEquation"},
        )

    def solve(self, mesh: Mesh, refine: int | None = None) -> Sample:
        """The sample with u [T, N, 1].

        Args:
            mesh: n + 1 equidistant nodes, such as `volumes.cell_interval(n, L)`.
            refine: instead of that of the problem.

        Raises:
            ValueError: see `sample`; refine < 1 or even on a bounded interval.
            FloatingPointError: the solution is not finite any more (the time).
        """
        sample, refine = self.sample(mesh), self.refine if refine is None else refine
        cells, order = self._cells(mesh, refine)
        start = averages(self.initial, cells, "initial")(float(self.times[0]))
        steps = march(self._scheme(mesh, cells, order), start, self.times)
        u = np.stack([cells.to_nodes(state) for state in steps])[:, np.argsort(order)]
        boundary = sample.boundary
        sample.meta.update(refine=refine)
        return sample.with_solution(np.where(boundary.dirichlet_mask, boundary.dirichlet_values, u))

    def _cells(self, mesh: Mesh, refine: int) -> tuple[Cells, Int[np.ndarray, " N"]]:
        first, spacing, order = nodes_in_line(mesh)
        if self.gamma and not self.periodic:
            raise ValueError(
                f"CombinedEquation: expected gamma = 0 on a bounded interval, got {self.gamma:g}; "
                'dispersion is covered with periodic={"left": "right"} only'
            )
        return Cells(first, spacing, len(order), refine, bool(self.periodic)), order

    def _scheme(self, mesh: Mesh, cells: Cells, order: Int[np.ndarray, " N"]) -> Ring | Segment:
        alpha, beta, gamma = np.array([[self.alpha], [self.beta], [self.gamma]], np.float64)
        source = averages(self.source, cells, "source")
        if self.periodic:
            return Ring(cells.length, alpha, beta, gamma, source, self.cfl)
        left, right = (self._end(mesh, int(node)) for node in order[[0, -1]])
        return Segment(cells.size, alpha, beta, (left, right), source, self.cfl)

    def _end(self, mesh: Mesh, node: int) -> Callable[[float], float] | None:
        """t -> g at an end node, the later group winning as in `Conditions`; None if free."""
        groups = {n: mesh.nodes_of(n) for n in (*self.dirichlet, *self.neumann) if n != REST}
        named = [n for n, nodes in groups.items() if node in nodes] or [REST]
        held = [n for n in named if n in self.dirichlet]
        if not held:
            return None
        value, x = self.dirichlet[held[-1]], mesh.points[node : node + 1]
        if not varies(value):
            constant = value[node] if isinstance(value, np.ndarray) else at_points(value, x, "")[0]
            return lambda time: float(constant)
        return lambda time: float(at_points(frozen(value, time), x, "Dirichlet value")[0])

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
        refine: int = 1,
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
            refine: as of the class; 8 for labels that are to be trusted at 100 cells.

        Raises:
            ValueError: an unknown family, no waves; a mesh as in `sample`.
        """
        _, spacing, order = nodes_in_line(mesh)
        length = spacing * (len(order) - 1)
        (alpha, beta, gamma), delta = drawn(rng, family, waves, length)
        return cls(
            np.linspace(0, published(family).duration, frames),
            float(alpha),
            float(beta),
            float(gamma),
            delta,
            delta,
            {"left": "right"},
            forcing=forcing,
            refine=refine,
        )


def averages(value: Any, cells: Cells, what: str) -> Callable[[float], Float[np.ndarray, "n B"]]:
    """t -> [n, B] averages over cells, B = 1 but for `Sines`.

    Exact for `Sines` and constants, Gauss's rule of four points for functions of x or (x, t).
    """
    centre, width = cells.centres, cells.widths
    if isinstance(value, Sines):
        return value.averages(centre, width)
    place, weights = np.polynomial.legendre.leggauss(4)
    x = (centre[:, None] + width[:, None] / 2 * place)[..., None]

    def at(time: float) -> np.ndarray:
        return at_points(frozen(value, time), x, what) @ weights[:, None] / 2

    constant = None if varies(value) else at(0.0)
    return at if constant is None else lambda time: constant

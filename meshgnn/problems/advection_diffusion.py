"""`AdvectionDiffusion`: a concentration that is carried along and spreads."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from meshgnn.fem import Space, values
from meshgnn.fem.periodic import at_classes, prolongation, tied
from meshgnn.fem.transport import Stage, Transport, march
from meshgnn.fem.values import CellValue, Value, VectorValue
from meshgnn.mesh import Mesh
from meshgnn.problems import advection_draws as draws
from meshgnn.problems.conditions import Conditions, check_parts
from meshgnn.problems.draws import log_uniform
from meshgnn.problems.transient import (
    check_times,
    frozen,
    is_zero,
    over_times,
    varies,
    warn_of_change,
)
from meshgnn.sample import Sample


@dataclass(frozen=True, eq=False)
class AdvectionDiffusion:
    """∂c/∂t + b·∇c - ∇·(k ∇c) = f, with c = g, k ∂c/∂n = g or k ∂c/∂n + α c = g on parts.

    In 1D, 2D and 3D. Elements of order 1 are upwinded along the stream where a cell's Péclet
    number |b| h / 2k exceeds 1 (SUPG, see `fem.transport.Transport`), which leaves small
    overshoots at fronts that are thinner than a cell; those of order 2 are not. b need not be free
    of divergence, but this form conserves ∫ c only where it is. Inflow has c = g; outflow is
    neumann={"outlet": 0.0}, which lets through what comes.

    Functions for b, f and g take (x, t) where they have two arguments without a default, else x;
    those for k, α and the initial value take x. Arrays [N] ([N, d] for b) and constants do not
    change with time. b in m/s, k in m²/s.

    Args:
        times: [T] increasing, s; the first is that of the initial value.
        velocity: b; d constants (one number in 1D), a function, an array [N, d].
        initial: c at times[0]; Dirichlet values replace it where they hold.
        diffusivity: k >= 0; also over cells or {region: constant}.
        source: f; also {region: constant}.
        dirichlet: {part: g}.
        neumann: {part: g}.
        robin: {part: (α, g)}.
        periodic: {group: its translate}, see `mesh.twins`.
        theta: 1/2 for the midpoint rule (order 2) to 1 for implicit Euler (order 1, damps).
        substeps: equal steps between two of the times.
        upwind: None as above, True in all cells, False for Galerkin.

    Raises:
        ValueError: times that do not increase or are fewer than two, θ outside [1/2, 1], no
            substep; conditions that are no dict of the form above, a part both Neumann and Robin.
    """

    times: Float[np.ndarray, " T"]
    velocity: VectorValue
    initial: Value = 0.0
    diffusivity: CellValue = 1e-2
    source: CellValue = 0.0
    dirichlet: Mapping[str, Value] = field(default_factory=dict)
    neumann: Mapping[str, Value] = field(default_factory=dict)
    robin: Mapping[str, tuple[Value, Value]] = field(default_factory=dict)
    periodic: Mapping[str, str] = field(default_factory=dict)
    theta: float = 0.5
    substeps: int = 1
    upwind: bool | None = None

    def __post_init__(self) -> None:
        check_parts(
            dirichlet=self.dirichlet,
            neumann=self.neumann,
            robin=self.robin,
            periodic=self.periodic,
        )
        check_times(self.times, self.substeps)
        if not 0.5 <= self.theta <= 1:
            raise ValueError(f"theta: expected 1/2 <= θ <= 1, got {self.theta}")
        if both := sorted(set(self.neumann) & set(self.robin)):
            raise ValueError(f"{both[0]!r} has a Neumann and a Robin condition; keep one of them")

    def conditions(self, mesh: Mesh, time: float) -> Conditions:
        """The boundary conditions on this mesh at a time. Raises: ValueError: see `Conditions`."""
        flux = {name: (0.0, g) for name, g in frozen(self.neumann, time).items()}
        flux |= {name: (alpha, frozen(g, time)) for name, (alpha, g) in self.robin.items()}
        return Conditions(mesh, 1, frozen(self.dirichlet, time), flux, self.periodic)

    def sample(self, mesh: Mesh) -> Sample:
        """The data of the problem on this mesh, unsolved.

        Inputs at the nodes: initial, the components of b as velocity_x, ..., and, unless they are
        constant numbers, diffusivity and source; k that is a number is the parameter, a source that
        is one is left out where it is 0. Dirichlet values are kept at all times, everything else
        as it is at the first, with a warning if it changes.
        """
        first, space = float(self.times[0]), Space(mesh)
        boundary, d = self.conditions(mesh, first).boundary(), mesh.points.shape[1]
        data = [self.velocity, *self._drives()]
        warn_of_change(data, "AdvectionDiffusion.sample: a velocity, source or flux", first)
        if varies(self.dirichlet):
            boundary = over_times(boundary, lambda t: self.conditions(mesh, t), self.times)
        b = frozen(self.velocity, first)
        flow = space.interpolate(b, "velocity", None, None if d == 1 else d).reshape(-1, d)
        columns: dict[str, Any] = {"initial": space.interpolate(self.initial, "initial")}
        columns |= dict(zip(("velocity_x", "velocity_y", "velocity_z"), flow.T, strict=False))
        constant = isinstance(self.diffusivity, int | float)
        if not constant:
            k = values.coefficient(self.diffusivity, mesh, "diffusivity")
            columns["diffusivity"] = space.interpolate(k, "diffusivity")
        if not is_zero(self.source):
            f = values.by_region(frozen(self.source, first), mesh, "source")
            columns["source"] = space.interpolate(f, "source")
        return Sample(
            mesh=mesh,
            boundary=boundary,
            inputs=np.stack(list(columns.values()), axis=1),
            times=self.times,
            params=np.array([self.diffusivity] if constant else [], np.float64),
            names={
                "u": ["concentration"],
                "inputs": list(columns),
                "params": ["diffusivity"] if constant else [],
            },
            units={"diffusivity": "m2/s"} | dict.fromkeys(list(columns)[1 : 1 + d], "m/s"),
            meta={
                "problem": "AdvectionDiffusion",
                "theta": self.theta,
                "substeps": self.substeps,
                "upwind": self.upwind,
            },
        )

    def _drives(self) -> list[CellValue]:
        return [self.source, *self.neumann.values(), *(g for _, g in self.robin.values())]

    def solve(self, mesh: Mesh, order: int = 1) -> Sample:
        """The sample with u [T, N, 1] at the nodes of the mesh.

        Raises:
            ValueError: inverted or degenerate cells, a disconnected mesh; data that do not fit, see
                `Conditions` and `Transport`.
            numpy.linalg.LinAlgError: the residual of a step stays above 1e-8.
        """
        mesh.check()
        u = np.stack([step[: mesh.num_nodes] for step in self._steps(Space(mesh, order))])
        return self.sample(mesh).with_solution(u[:, :, None])

    def _steps(self, space: Space) -> Iterator[Float[np.ndarray, " n"]]:
        stages = _Stages(self, space)
        mask, held = stages.conditions.prescribed(space)
        start = np.where(mask[:, 0], held[:, 0], space.interpolate(self.initial, "initial"))
        index, dim = stages.prolong.indices, space.points.shape[1]
        free = at_classes(~mask[:, 0], index)
        begin = at_classes(start, index)
        for z in march(stages, free, begin, self.times, self.theta, self.substeps, dim):
            yield z[index]

    @classmethod
    def draw(
        cls,
        mesh: Mesh,
        rng: np.random.Generator,
        *,
        frames: int = 50,
        duration: float = 1.0,
        diffusivity: float | tuple[float, float] = (1e-3, 1e-2),
        length: float = 0.3,
        speed: float = 1.0,
        substeps: int = 2,
        periodic: bool = True,
    ) -> "AdvectionDiffusion":
        """A random problem, by what the mesh has.

        With the groups inlet and outlet, and in 1D from left to right where it is not periodic: a
        potential flow (seepage; it slips along walls), which carries in a concentration between 0
        and 1 that varies in time. Else a stirred box: a smooth velocity free of divergence, at rest
        at the insulated walls, carries a smooth initial concentration between 0 and 1.

        Args:
            mesh: the mesh.
            rng: random numbers.
            frames: number of times after the first.
            duration: the last time, s.
            diffusivity: k, or (low, high) to draw it log-uniformly, m²/s.
            length: correlation length of velocity and initial value, in units of the largest side
                of the bounding box.
            speed: at the inlet, or max |b|, m/s.
            substeps: see the class.
            periodic: whether left and right, bottom and top, front and back are one, as far as
                they are translates of each other.
        """
        k = log_uniform(diffusivity, rng)
        ends = ("inlet", "outlet")
        if mesh.dim == 1 and not periodic:
            ends = ("left", "right")
        if set(ends) <= set(mesh.groups):
            data = draws.through(mesh, rng, ends, speed, duration)
        else:
            data = draws.box(mesh, rng, length, speed, periodic)
        times = np.linspace(0, duration, frames + 1)
        return cls(times, diffusivity=k, substeps=substeps, **data)


class _Stages:
    """What `march` asks for: everything at t + θ Δt, values at t + Δt; what is steady made once."""

    def __init__(self, problem: AdvectionDiffusion, space: Space) -> None:
        self.problem, self.space = problem, space
        self.conditions = problem.conditions(space.mesh, float(problem.times[0]))
        self.prolong = prolongation(space, self.conditions.twin)
        self._robin = self.conditions.matrix(space)
        self._carried = varies(problem.velocity)
        self._driven = self._carried or varies(problem._drives())
        self._held = varies(problem.dirichlet)
        self._transport: Transport | None = None

    def __call__(self, time: float, end: float) -> Stage:
        problem, space, prolong, new = self.problem, self.space, self.prolong, False
        if self._transport is None or self._carried:
            new, b = self._transport is None, frozen(problem.velocity, time)
            self._transport = Transport(space, b, problem.diffusivity, problem.upwind)
            matrix = self._transport.stiffness()
            matrix = matrix if self._robin is None else matrix + self._robin
            self._mass = tied(self._transport.mass(), prolong)
            self._stiffness = tied(matrix, prolong)
        if new or self._driven:
            now = problem.conditions(space.mesh, time)
            load = self._transport.load(frozen(problem.source, time)) + now.load(space)
            self._load = prolong.T @ load
        if new or self._held:
            later = problem.conditions(space.mesh, end)
            self._values = at_classes(later.prescribed(space)[1][:, 0], prolong.indices)
        return Stage(self._mass, self._stiffness, self._load, self._values)

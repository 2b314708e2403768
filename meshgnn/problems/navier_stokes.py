"""`NavierStokes`: incompressible flow in time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from meshgnn.fem import Space
from meshgnn.fem.incompressible import Flow
from meshgnn.fem.values import VectorValue
from meshgnn.mesh import Mesh
from meshgnn.problems.channel_flow import Gust, across, parabolic
from meshgnn.problems.conditions import REST, Conditions, check_parts
from meshgnn.problems.flow_march import FlowMarch
from meshgnn.problems.transient import frozen, is_zero, over_times, varies, warn_of_change
from meshgnn.sample import Boundary, Sample

__all__ = ["Flow", "NavierStokes", "parabolic"]


@dataclass(frozen=True, eq=False)
class NavierStokes:
    """∂u/∂t + u·∇u = -∇p + ν Δu + f, ∇·u = 0; u = g, or ν ∂u/∂n - p n = t on named parts.

    P2/P1 elements (Taylor–Hood) on the simplices of a mesh in the plane or in space; BDF2 with
    incremental pressure correction, see `fem.incompressible.PressureCorrection`. p is the pressure
    over the density. Not covered: turbulence models, variable density, moving boundaries; cells
    must resolve the boundary layer, and at an outlet the flow should go out.

    Vectors are d numbers, a sequence of one value per component, a function x[..., d] -> [..., d]
    or an array [N, d]; functions take (x, t) where they have two arguments without a default.

    Args:
        times: [T] increasing, s; the times of the frames.
        viscosity: ν > 0, m²/s.
        initial: u at `start`: None (at rest but for the boundary values), a vector, a `Sample`
            (its last frame, on the same mesh), or a `Flow` of `states`, from which the march goes
            on as if it had not stopped. All but the last are projected on fields without
            divergence, which gives their pressure as well; arrays and samples, known at the nodes
            only, are taken linear along the edges.
        dirichlet: {part: g}; in a sequence None leaves a component free (slip walls).
        neumann: {part: t}, constant in time; 0.0 is the natural outlet ("do nothing").
        source: f, m/s².
        start: time of the initial value where that is before times[0]; the flow in between is
            computed and not kept.
        substeps: steps between two of the times, at least.
        dt_max: longest step, s; None is no limit.
        parameters: further numbers that samples keep beside the viscosity, {"reynolds": 100.0}.

    Raises:
        ValueError: times that do not increase, ν <= 0, no substep, dt_max <= 0, a start after
            times[0], conditions that are no dict of the form above, tractions that change in time.
    """

    times: Float[np.ndarray, " T"]
    viscosity: float
    initial: VectorValue | Sample | Flow | None = None
    dirichlet: Mapping[str, Any] = field(default_factory=dict)
    neumann: Mapping[str, VectorValue] = field(default_factory=dict)
    source: VectorValue = 0.0
    start: float | None = None
    substeps: int = 1
    dt_max: float | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_parts(dirichlet=self.dirichlet, neumann=self.neumann)
        if not len(self.times) or not (np.diff(self.times) > 0).all():
            raise ValueError(f"times: expected one or more, increasing, got {self.times}")
        if not 0 < self.viscosity < np.inf:
            raise ValueError(f"viscosity: expected a positive number, got {self.viscosity}")
        if self.substeps < 1:
            raise ValueError(f"substeps: expected at least 1, got {self.substeps}")
        if self.dt_max is not None and not self.dt_max > 0:
            raise ValueError(f"dt_max: expected a positive time step or None, got {self.dt_max}")
        if self.begin > self.times[0]:
            raise ValueError(
                f"start: expected at most times[0] = {self.times[0]:g}, got {self.begin:g}"
            )
        moving = [name for name, t in self.neumann.items() if varies(t)]
        if moving:
            raise ValueError(
                f"neumann: the traction on {moving[0]!r} is a function of (x, t); outlets take "
                "tractions that are constant in time"
            )

    @property
    def begin(self) -> float:
        """The time of the initial value."""
        if isinstance(self.initial, Flow):
            return self.initial.time
        return float(self.times[0] if self.start is None else self.start)

    def conditions(self, mesh: Mesh, time: float | None = None) -> Conditions:
        """The boundary conditions at a time. Raises: ValueError: see `Conditions`."""
        time = self.begin if time is None else time
        flux = {name: (0.0, t) for name, t in self.neumann.items()}
        return Conditions(mesh, mesh.points.shape[1], frozen(self.dirichlet, time), flux)

    def march(self, mesh: Mesh) -> FlowMarch:
        """The problem on this mesh, set up. Raises: ValueError: see `solve`."""
        conditions, moving = partial(self.conditions, mesh), varies(self.dirichlet)
        return FlowMarch(mesh, self.viscosity, conditions, self.source, moving)

    def states(self, on: Mesh | FlowMarch) -> Iterator[Flow]:
        """The flow at each of the times, with all that the scheme knows, on a mesh or `march`."""
        march = self.march(on) if isinstance(on, Mesh) else on
        gaps = np.diff(self.times, prepend=self.begin)
        longest = float(gaps[gaps > 0].min(initial=np.inf)) / self.substeps
        longest = min(longest, np.inf if self.dt_max is None else self.dt_max)
        first = march.start(self.initial, self.begin, longest)
        return march.states(first, self.times, longest, self.substeps)

    def sample(self, mesh: Mesh) -> Sample:
        """The data of the problem on this mesh, unsolved.

        Inputs at the nodes: the state at times[0] (which is computed, where `start` is earlier),
        and f where there is one.
        """
        march = self.march(mesh)
        return self._sample(mesh, march.nodal(next(self.states(march))))

    def _sample(self, mesh: Mesh, first: Float[np.ndarray, "N C"]) -> Sample:
        names = [*"uvw"[: first.shape[1] - 1], "p"]
        columns, inputs = [first], [f"initial_{name}" for name in names]
        if not is_zero(self.source):
            now, d = frozen(self.source, float(self.times[0])), first.shape[1] - 1
            columns.append(Space(mesh).interpolate(now, "source", channels=d))
            inputs += [f"source_{name}" for name in names[:-1]]
        warn_of_change(self.source, "NavierStokes.sample: the source", self.times[0], stacklevel=3)
        units = dict.fromkeys(names[:-1], "m/s") | {"p": "m²/s²", "viscosity": "m²/s"}
        return Sample(
            mesh=mesh,
            boundary=self._boundary(mesh),
            inputs=np.column_stack(columns),
            times=self.times,
            params=np.array([self.viscosity, *self.parameters.values()], np.float64),
            names={"u": names, "inputs": inputs, "params": ["viscosity", *self.parameters]},
            units=units | {f"initial_{name}": units[name] for name in names},
            meta={"problem": "NavierStokes"},
        )

    def _boundary(self, mesh: Mesh) -> Boundary:
        """The conditions of the velocity; the pressure is free at every node."""
        first = self.conditions(mesh, float(self.times[0])).boundary()
        if varies(self.dirichlet):
            first = over_times(first, partial(self.conditions, mesh), self.times)
        padded = [
            np.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, 1)])
            for a in (first.dirichlet_mask, first.dirichlet_values, first.alpha, first.flux)
        ]
        return Boundary(padded[0], padded[1], first.facets, padded[2], padded[3])

    def solve(self, mesh: Mesh, forces: Sequence[str] = ()) -> Sample:
        """The sample with velocity and pressure at the nodes of the mesh, u [T, N, d + 1].

        Args:
            mesh: the mesh.
            forces: groups of the boundary; meta["forces"][group] is the force of the fluid on each
                over the density at each time, [T][d], by the residual of the momentum equation.

        Raises:
            ValueError: a mesh on a line or surface, an unknown group, facets without a condition,
                a net flux into a domain without outlets, an initial state of another mesh.
            numpy.linalg.LinAlgError: a step that cannot be solved, see `PressureCorrection`.
        """
        march, frames = self.march(mesh), []
        found: dict[str, list] = {group: [] for group in forces}
        for flow in self.states(march):
            frames.append(march.nodal(flow))
            for group, values in found.items():
                values.append(march.force(flow, group).tolist())
        sample = self._sample(mesh, frames[0])
        meta = sample.meta | ({"forces": found} if forces else {})
        return replace(sample, u=np.stack(frames), meta=meta)

    @classmethod
    def draw(
        cls,
        mesh: Mesh,
        rng: np.random.Generator,
        *,
        reynolds: tuple[float, float] = (60.0, 200.0),
        speed: tuple[float, float] = (0.8, 1.2),
        steps: int = 100,
        duration: float = 2.0,
        spin_up: float = 2.0,
        dt_max: float | None = None,
    ) -> "NavierStokes":
        """A random flow through a channel past an obstacle, as `channel_with_obstacle` draws them.

        A parabola enters, the outlet is natural, every other part is a wall at rest. Re = U D / ν,
        U the mean speed of the inflow and D the width of the obstacle across it: from about 50 on
        vortices are shed, with a period of some 3 D / U in a narrow channel. The march starts from
        the parabola everywhere and a random swirl behind the obstacle. Times are in s and the same
        for every mesh, whatever its size.

        Args:
            mesh: in the plane, with the groups inlet, outlet and obstacle.
            rng: random numbers.
            reynolds: Re, uniform between the two.
            speed: U, likewise, m/s.
            steps: number of frames after the first.
            duration: from the first frame to the last, s.
            spin_up: time before the first frame, s.
            dt_max: longest step, s; None is 0.03 D / U.

        Raises:
            ValueError: a group that is missing; ranges that are not positive or descend.
        """
        for name, (low, high) in {"reynolds": reynolds, "speed": speed}.items():
            if not 0 < low <= high:
                raise ValueError(f"{name}: expected 0 < smallest <= largest, got {low}, {high}")
        mean, number = rng.uniform(*speed), rng.uniform(*reynolds)
        inflow = parabolic(mesh, "inlet", mean)
        width = across(mesh, "obstacle", inflow)
        mesh.nodes_of("outlet")
        return cls(
            spin_up + np.linspace(0, duration, steps + 1),
            mean * width / number,
            Gust.draw(mesh, "obstacle", inflow, rng),
            {"inlet": inflow, REST: 0.0},
            {"outlet": 0.0},
            start=0.0,
            dt_max=0.03 * width / mean if dt_max is None else dt_max,
            parameters={"reynolds": number, "speed": mean},
        )

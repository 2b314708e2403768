"""`Heat`: transient diffusion."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from meshgnn.fem import LinearSystem, Space, means, values
from meshgnn.fem.theta import theta_steps
from meshgnn.fem.values import CellValue, Value
from meshgnn.mesh import Mesh
from meshgnn.problems import fields
from meshgnn.problems.conditions import check_parts
from meshgnn.problems.poisson import Poisson
from meshgnn.problems.transient import check_times, frozen, over_times, varies, warn_of_change
from meshgnn.sample import Sample


@dataclass(frozen=True, eq=False)
class Heat:
    """c ∂u/∂t - ∇·(k ∇u) = f in Ω × (0, T), u = g, k ∂u/∂n = g or k ∂u/∂n + α u = g on parts.

    The theta scheme on the elements of `Poisson`: θ = 1 (backward Euler, order 1, damps) or
    θ = 1/2 (Crank–Nicolson, order 2, rings where the data jump); θ < 1/2 is stable for small steps
    only and refused. u in K, c = ρ c_p in J/(m³ K), k in W/(m K), f in W/m³, t in s.

    Functions for f and g take (x, t) where they have two arguments without a default, else x,
    x[..., d] -> [...]; those for k, c, α and the initial value take x. Arrays [N] and constants do
    not change with time.

    Args:
        times: [T] increasing, s; the first is that of the initial value.
        initial: u at times[0].
        source: f; also {region: constant}.
        diffusivity: k > 0; also over cells or {region: constant}.
        capacity: c > 0, likewise.
        dirichlet: {part: g}.
        neumann: {part: g}.
        robin: {part: (α, g)}.
        theta: θ, 1/2 to 1.
        substeps: equal steps between two of the times.

    Raises:
        ValueError: times that do not increase or are fewer than two, θ outside [1/2, 1], no
            substep; conditions that are no dict of the form above.
    """

    times: Float[np.ndarray, " T"]
    initial: Value = 0.0
    source: CellValue = 0.0
    diffusivity: CellValue = 1.0
    capacity: CellValue = 1.0
    dirichlet: Mapping[str, Value] = field(default_factory=dict)
    neumann: Mapping[str, Value] = field(default_factory=dict)
    robin: Mapping[str, tuple[Value, Value]] = field(default_factory=dict)
    theta: float = 1.0
    substeps: int = 1

    def __post_init__(self) -> None:
        check_parts(dirichlet=self.dirichlet, neumann=self.neumann, robin=self.robin)
        check_times(self.times, self.substeps)
        if not 0.5 <= self.theta <= 1:
            raise ValueError(f"theta: expected 1/2 <= θ <= 1, got {self.theta}")

    def at(self, time: float) -> Poisson:
        """The stationary problem with the data of this time."""
        return Poisson(
            frozen(self.source, time),
            self.diffusivity,
            frozen(self.dirichlet, time),
            frozen(self.neumann, time),
            {name: (alpha, frozen(g, time)) for name, (alpha, g) in self.robin.items()},
        )

    def system(self, mesh: Mesh, order: int = 1) -> LinearSystem:
        """The stationary part at times[0]: K, b, Dirichlet rows; K is constant in time.

        Raises:
            ValueError: as `Poisson.system`, but pure Neumann problems need no balance.
        """
        mesh.check()
        problem, space = self.at(float(self.times[0])), Space(mesh, order)
        conditions = problem.conditions(mesh)
        mask, prescribed = conditions.prescribed(space)
        robin = conditions.matrix(space)
        matrix = space.stiffness(self.diffusivity)
        return LinearSystem(
            matrix if robin is None else matrix + robin,
            space.load(problem.source) + conditions.load(space),
            ~mask.ravel(),
            prescribed.ravel(),
            space.points,
        )

    def _steps(self, mesh: Mesh, order: int) -> Iterator[Float[np.ndarray, " n"]]:
        steady, space = self.system(mesh, order), Space(mesh, order)
        loads, held = varies(self._drives()), varies(self.dirichlet)

        def at(time: float) -> tuple[np.ndarray, np.ndarray]:
            load, fixed = steady.load, steady.values
            if loads or held:
                problem = self.at(time)
                conditions = problem.conditions(mesh)
                if loads:
                    load = space.load(problem.source) + conditions.load(space)
                if held:
                    fixed = conditions.prescribed(space)[1].ravel()
            return load, fixed

        start = np.where(steady.free, space.interpolate(self.initial, "initial"), steady.values)
        mass = space.mass(self.capacity)
        return theta_steps(mass, at, steady, start, self.times, self.theta, self.substeps)

    def _drives(self) -> list[CellValue]:
        return [self.source, *self.neumann.values(), *(g for _, g in self.robin.values())]

    def sample(self, mesh: Mesh) -> Sample:
        """The data of the problem on this mesh, unsolved.

        Inputs at the nodes: f at times[0], k, c and the initial value; the first three also as
        means over the cells. Dirichlet values are kept
        at all times, fluxes and sources as they are at the first, with a warning if they change.
        """
        start, space = float(self.times[0]), Space(mesh)
        first = self.at(start)
        boundary = first.conditions(mesh).boundary()
        warn_of_change(self._drives(), "Heat.sample: a source or flux", start)
        if varies(self.dirichlet):
            boundary = over_times(boundary, lambda t: self.at(t).conditions(mesh), self.times)
        columns = {
            "source": values.by_region(first.source, mesh, "source"),
            "diffusivity": values.coefficient(self.diffusivity, mesh, "diffusivity"),
            "capacity": values.coefficient(self.capacity, mesh, "capacity"),
            "initial": self.initial,
        }
        return Sample(
            mesh=mesh,
            boundary=boundary,
            inputs=np.stack([space.interpolate(v, n) for n, v in columns.items()], axis=1),
            times=self.times,
            names={
                "u": ["temperature"],
                "inputs": list(columns),
                "cell_inputs": list(columns)[:3],
            },
            meta={"problem": "Heat", "theta": self.theta, "substeps": self.substeps},
            cell_inputs=np.hstack([means(space, v, n) for n, v in list(columns.items())[:3]]),
        )

    def solve(self, mesh: Mesh, order: int = 1) -> Sample:
        """The sample with u [T, N, 1] at the nodes of the mesh.

        Raises:
            ValueError: see `system`.
            numpy.linalg.LinAlgError: the residual of a step stays above 1e-8.
        """
        u = np.stack([step[: mesh.num_nodes] for step in self._steps(mesh, order)])
        return self.sample(mesh).with_solution(u[:, :, None])

    @classmethod
    def draw(
        cls,
        mesh: Mesh,
        rng: np.random.Generator,
        *,
        steps: int = 20,
        duration: float = 0.1,
        length: float = 0.31,
        source_std: float = 1.0,
        **boundary: Any,
    ) -> "Heat":
        """A random problem, c = k = 1: smooth f, initial value and boundary values of order 1.

        The initial value jumps to the boundary values at t = 0. Lengths are in units of the
        largest side L of the bounding box. Times are in s and the same for every mesh, whatever
        its size: the samples of a family share one time step, as `MeshDataset` needs it.

        Args:
            mesh: the mesh.
            rng: random numbers.
            steps: number of time steps.
            duration: last time, s; the slowest mode of a square of side L decays in L² / 20.
            length: correlation length of f and of the initial value.
            source_std: standard deviation of f, in units of 1 / L².
            boundary: `boundary_length`, `boundary_max` (default 1) and the rest of `Poisson.draw`.
        """
        extent = float(np.ptp(mesh.points, axis=0).max())
        for_p, for_u = rng.spawn(2)
        options: dict[str, Any] = {"boundary_max": 1.0, "flux_max": 1.0} | boundary
        steady = Poisson.draw(mesh, for_p, source_length=length, source_std=source_std, **options)
        return cls(
            np.linspace(0, duration, steps + 1),
            fields.GaussianField.draw(mesh, length * extent, 1.0, for_u),
            steady.source,
            steady.diffusivity,
            dirichlet=steady.dirichlet,
            neumann=steady.neumann,
            robin=steady.robin,
        )

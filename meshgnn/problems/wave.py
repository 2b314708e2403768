"""`Wave`: the second-order wave equation."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from meshgnn.fem import Space, means, values
from meshgnn.fem.periodic import at_classes, prolongation
from meshgnn.fem.values import CellValue, Value
from meshgnn.mesh import Mesh
from meshgnn.problems.conditions import Conditions, check_parts
from meshgnn.problems.transient import check_times, frozen, is_zero, varies, warn_of_change
from meshgnn.problems.wave_draws import interval_waves, smooth_waves
from meshgnn.problems.wave_series import WaveSeries, series_on
from meshgnn.problems.wave_system import both_channels, oscillator, rate
from meshgnn.sample import Boundary, Sample

METHODS = ("newmark", "spectral")


@dataclass(frozen=True, eq=False)
class Wave:
    """u_tt = c² Δu + f in Ω × (0, T); u = g, ∂u/∂n = h or u_t + c ∂u/∂n = 0 on named parts.

    As u_tt / c² = Δu + f / c², so that u and ∂u/∂n are continuous where c jumps (sound in a fluid
    of one density). Newmark's scheme of average acceleration in time on P1 or P2 elements: order
    2, stable for every step, and without f, g, h and absorbing parts it keeps the energy
    ½ ∫ u_t² / c² + |∇u|² dx. Absorbing parts let waves of normal incidence out; those that come
    in at an angle θ to the normal are reflected by (1 - cos θ) / (1 + cos θ). Not covered:
    damping in the volume. c in m/s, t in s.

    The state has two channels, displacement u and velocity u_t: one state is enough to go on from.
    Functions for f, g and h take (x, t) where they have two arguments without a default, else x;
    those for c and the initial values take x. The velocity on Dirichlet parts is ∂g/∂t, by central
    differences of 1/100 of a step.

    Args:
        times: [T] increasing, s; the first is that of the initial values.
        displacement: u at times[0].
        velocity: u_t at times[0].
        speed: c > 0; also over cells or {region: constant}.
        source: f, taken as its interpolant.
        dirichlet: {part: g}.
        neumann: {part: h}; h = 0 is a free end, which reflects without a change of sign.
        absorbing: names of parts.
        periodic: {group: its translate}, see `mesh.twins`.
        substeps: equal steps between two of the times.
        method: "newmark", or "spectral" for the exact series on an interval, see `series`.
        flags: groups whose kind is a parameter "<name>_neumann" of the sample: 1, or 0 where u is
            prescribed.

    Raises:
        ValueError: times that do not increase or are fewer than two, no substep, another method;
            conditions that are no dict, a part both absorbing and Neumann.

    Source: absorbing parts as Engquist & Majda, Math. Comp. 31 (1977) 629-651, first order.
    """

    times: Float[np.ndarray, " T"]
    displacement: Value = 0.0
    velocity: Value = 0.0
    speed: CellValue = 1.0
    source: Value = 0.0
    dirichlet: Mapping[str, Value] = field(default_factory=dict)
    neumann: Mapping[str, Value] = field(default_factory=dict)
    absorbing: Sequence[str] = ()
    periodic: Mapping[str, str] = field(default_factory=dict)
    substeps: int = 1
    method: str = "newmark"
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_parts(dirichlet=self.dirichlet, neumann=self.neumann)
        check_times(self.times, self.substeps)
        if isinstance(self.absorbing, str):
            raise ValueError(f"absorbing: expected a sequence of names, got {self.absorbing!r}")
        _check_method(self.method)
        both = sorted(set(self.neumann) & set(self.absorbing))
        if both:
            raise ValueError(f"{both[0]!r} is absorbing and has a Neumann condition; keep one")

    def conditions(self, mesh: Mesh, time: float) -> Conditions:
        """The conditions on u at a time; absorbing parts as ∂u/∂n = 0.

        Raises:
            ValueError: see `Conditions`.
        """
        flux = {name: (0.0, h) for name, h in frozen(self.neumann, time).items()}
        flux |= dict.fromkeys(self.absorbing, (0.0, 0.0))
        return Conditions(mesh, 1, frozen(self.dirichlet, time), flux, self.periodic)

    def _held(self, mesh: Mesh, time: float) -> tuple[Conditions, Conditions]:
        """The conditions on u, and those on u_t."""
        step = 0.01 * float(np.diff(self.times).min()) / self.substeps
        slopes = {name: rate(g, time, step) for name, g in self.dirichlet.items()}
        now = self.conditions(mesh, time)
        return now, replace(now, dirichlet=slopes)

    def steps(self, mesh: Mesh, order: int) -> Iterator[Float[np.ndarray, "n 2"]]:
        """u and u_t at the degrees of freedom of these elements, at each of the times."""
        mesh.check()
        space, first = Space(mesh, order), self.conditions(mesh, float(self.times[0]))
        tie = prolongation(space, first.twin)
        mass, system = oscillator(space, first, self.speed, self.absorbing, tie)

        def at(time: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            now, slope = self._held(mesh, time)
            load = mass @ space.interpolate(frozen(self.source, time), "source") + now.load(space)
            held, speed = (
                at_classes(c.prescribed(space)[1][:, 0], tie.indices) for c in (now, slope)
            )
            return tie.T @ load, held, speed

        constant = at(float(self.times[0]))
        u, v = (
            np.where(system.free, at_classes(space.interpolate(value, name), tie.indices), held)
            for held, (name, value) in zip(constant[1:], self._initial().items(), strict=True)
        )
        drive = at if varies(self._drives()) else lambda time: constant
        for state in system.steps(drive, (u, v), self.times, self.substeps):
            yield tie @ np.stack(state, axis=1)

    def _initial(self) -> dict[str, Value]:
        return {"initial_displacement": self.displacement, "initial_velocity": self.velocity}

    def _drives(self) -> list[Value]:
        return [self.source, *self.neumann.values(), *self.dirichlet.values()]

    def sample(self, mesh: Mesh) -> Sample:
        """The data of the problem on this mesh, unsolved.

        Inputs: initial displacement and velocity; c where it is no number (also by cell) and f
        where it is not 0. Parameters: c where it is a number, then the flags. Absorbing parts have
        α = 1 / c in the column of the velocity, ∂u/∂n + α u_t = 0. Sources and fluxes are kept as
        they are at the first time, with a warning if they change.
        """
        start, space = float(self.times[0]), Space(mesh)
        warn_of_change([self.source, self.neumann], "Wave.sample: a source or flux", start)
        columns: dict[str, Any] = self._initial()
        numbers, speed = {}, values.coefficient(self.speed, mesh, "speed")
        if isinstance(speed, int | float):
            numbers["speed"] = float(speed)
        else:
            columns["speed"] = speed
        if not is_zero(self.source):
            columns["source"] = frozen(self.source, start)
        held = self.conditions(mesh, start).prescribed(space)[0][:, 0]
        numbers |= {f"{n}_neumann": float(not held[mesh.nodes_of(n)].any()) for n in self.flags}
        cells = ["speed"] if "speed" in columns else []
        return Sample(
            mesh=mesh,
            boundary=self._boundary(mesh, start),
            inputs=np.stack([space.interpolate(v, n) for n, v in columns.items()], axis=1),
            times=self.times,
            params=np.array(list(numbers.values())),
            names={
                "u": ["displacement", "velocity"],
                "inputs": list(columns),
                "params": list(numbers),
                "cell_inputs": cells,
            },
            meta={"problem": "Wave", "method": self.method, "substeps": self.substeps},
            cell_inputs=means(space, speed, "speed") if cells else np.zeros((0, 0)),
        )

    def _boundary(self, mesh: Mesh, start: float) -> Boundary:
        times = self.times if varies(self.dirichlet) else None
        first = self.conditions(mesh, start)
        held = partial(self._held, mesh)
        return both_channels(first, self.speed, self.absorbing, held, times, start)

    def series(self, mesh: Mesh) -> WaveSeries:
        """The exact solution on an interval; what it needs (else ValueError): `series_on`."""
        first = self.conditions(mesh, float(self.times[0]))
        held = first.prescribed(Space(mesh))[0][:, 0]
        outside = bool(self.absorbing or self.periodic)
        given = self.displacement, self.velocity
        return series_on(mesh, held, self.speed, given, self._drives(), outside)

    def solve(self, mesh: Mesh, order: int = 1, method: str | None = None) -> Sample:
        """The sample with u [T, N, 2], displacement and velocity at the nodes of the mesh.

        Args:
            mesh: the mesh.
            order: of the elements, 1 or 2; the spectral method has none.
            method: in place of the problem's own.

        Raises:
            ValueError: see `conditions`, `fem.Space`, and `series` for the spectral method.
            numpy.linalg.LinAlgError: the residual of a step stays above 1e-8.
        """
        chosen = self.method if method is None else _check_method(method)
        if chosen == "spectral":
            u = self.series(mesh)(mesh.points[:, 0], self.times - self.times[0])
        else:
            u = np.stack([step[: mesh.num_nodes] for step in self.steps(mesh, order)])
        sample = self.sample(mesh).with_solution(u)
        return replace(sample, meta=sample.meta | {"method": chosen})

    @classmethod
    def draw(
        cls,
        mesh: Mesh,
        rng: np.random.Generator,
        *,
        family: str | None = None,
        frames: int | None = None,
        duration: float | None = None,
        **options: Any,
    ) -> "Wave":
        """A random problem: a pulse on an interval, or smooth waves on any mesh.

        Families "WE1" (fixed ends), "WE2" (free ends), "WE3" (either, by chance; the parameters
        left_neumann and right_neumann say): see `wave_draws.interval_waves`; solved by the exact
        series. None: see `wave_draws.smooth_waves`.

        Args:
            mesh: the mesh; for a family an interval with the groups left and right.
            rng: random numbers.
            family: "WE1", "WE2", "WE3" or None.
            frames: number of times; by default 250, and 51 without a family.
            duration: last time, s; by default 100 (12.5 passages), 8 (one) without a family.
            options: those of `interval_waves` or `smooth_waves`.

        Raises:
            ValueError: an unknown family, or a mesh that does not fit it.
        """
        if family is None:
            times = np.linspace(0, 8.0 if duration is None else duration, frames or 51)
            return cls(times, **smooth_waves(mesh, rng, **options))
        times = np.linspace(0, 100.0 if duration is None else duration, frames or 250)
        return cls(times, **interval_waves(mesh, rng, family, **options))


def _check_method(method: str) -> str:
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    return method

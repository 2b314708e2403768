"""`Burgers`: momentum that carries itself and diffuses."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from meshgnn.fem import Space
from meshgnn.fem.convection import Convection
from meshgnn.fem.imex import Imex
from meshgnn.fem.periodic import at_classes, classes, prolongation, tied
from meshgnn.fem.values import VectorValue
from meshgnn.mesh import Mesh
from meshgnn.problems import flows
from meshgnn.problems.conditions import Conditions, check_parts
from meshgnn.problems.draws import log_uniform
from meshgnn.problems.transient import (
    check_times,
    frozen,
    is_zero,
    on_refined,
    over_times,
    varies,
    warn_of_change,
)
from meshgnn.sample import Sample


@dataclass(frozen=True, eq=False)
class Burgers:
    """∂u/∂t + (u·∇)u = ν Δu + f in Ω × (0, T), u = g or ν ∂u/∂n = g on parts, or periodic.

    u has d components on a domain of dimension d; in 1D it is u_t + u u_x = ν u_xx. Convection is
    explicit and diffusion implicit (`fem.imex.Imex`, order 2), with as many steps between two times
    as the Courant number asks for. Layers are ν / |u| thin: `refine` solves on a finer mesh, so
    that the values at the nodes of the given one are those of a resolved solution.

    Functions for f and g take (x, t) where they have two arguments without a default, else x,
    x[..., d] -> [..., d]. Arrays [N, d] and constants do not change with time. Vectors may be
    sequences of d scalar data; None leaves a component of a Dirichlet part free.

    Args:
        times: [T] increasing, s; the first is that of the initial value.
        initial: u at times[0], m/s; Dirichlet values replace it where they hold.
        viscosity: ν > 0, m²/s.
        source: f, m/s².
        dirichlet: {part: g}.
        neumann: {part: g}; 0.0 where momentum leaves or slips.
        periodic: {group: its translate}.
        refine: how often the mesh is refined before solving.
        substeps: multiplies the number of steps between two times.
        courant: largest share of a cell that is crossed in a step; half of it for order 2.
        check_labels: whether to solve once more, on the mesh refined once more and with half the
            steps' length, and keep the distance to that as `Sample.label_error`.

    Raises:
        ValueError: times that do not increase or are fewer than two, ν that is not positive,
            refine < 0, no substep, a Courant number that is not positive; conditions that are no
            dict of the form above.
    """

    times: Float[np.ndarray, " T"]
    initial: VectorValue = 0.0
    viscosity: float = 5e-3
    source: VectorValue = 0.0
    dirichlet: Mapping[str, Any] = field(default_factory=dict)
    neumann: Mapping[str, VectorValue] = field(default_factory=dict)
    periodic: Mapping[str, str] = field(default_factory=dict)
    refine: int = 0
    substeps: int = 1
    courant: float = 0.5
    check_labels: bool = False

    def __post_init__(self) -> None:
        check_parts(dirichlet=self.dirichlet, neumann=self.neumann, periodic=self.periodic)
        check_times(self.times, self.substeps)
        for name in ("viscosity", "courant"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected a positive value, got {getattr(self, name)}")
        if self.refine < 0:
            raise ValueError(f"refine: expected 0 or more refinements, got {self.refine}")

    def conditions(self, mesh: Mesh, time: float) -> Conditions:
        """The boundary conditions on this mesh at a time. Raises: ValueError: see `Conditions`."""
        flux = {name: (0.0, g) for name, g in frozen(self.neumann, time).items()}
        held, d = frozen(self.dirichlet, time), mesh.points.shape[1]
        return Conditions(mesh, d, held, flux, self.periodic)

    def sample(self, mesh: Mesh) -> Sample:
        """The data of the problem on this mesh, unsolved.

        Inputs at the nodes: the initial value as initial_ux, ... and, unless f is the number 0,
        source_ux, ... at times[0]; ν is the parameter. Dirichlet values are kept at all times,
        fluxes and sources as they are at the first, with a warning if they change.
        """
        first, space = float(self.times[0]), Space(mesh)
        boundary, d = self.conditions(mesh, first).boundary(), mesh.points.shape[1]
        warn_of_change(self._drives(), "Burgers.sample: a source or flux", first)
        if varies(self.dirichlet):
            boundary = over_times(boundary, lambda t: self.conditions(mesh, t), self.times)
        u = ["ux", "uy", "uz"][:d]
        columns, names = [_nodal(space, self.initial, "initial")], [f"initial_{c}" for c in u]
        if not is_zero(self.source):
            columns.append(_nodal(space, frozen(self.source, first), "source"))
            names += [f"source_{c}" for c in u]
        return Sample(
            mesh=mesh,
            boundary=boundary,
            inputs=np.hstack(columns),
            times=self.times,
            params=np.array([self.viscosity]),
            names={"u": u, "inputs": names, "params": ["viscosity"]},
            units={"viscosity": "m2/s"} | dict.fromkeys(u, "m/s"),
            meta={"problem": "Burgers", "refine": self.refine, "substeps": self.substeps},
        )

    def solve(self, mesh: Mesh, order: int = 1) -> Sample:
        """The sample with u [T, N, d] at the nodes of the mesh.

        Args:
            mesh: the mesh; dimension d in a space of dimension d.
            order: of the elements on the refined mesh; 2 for labels.

        Raises:
            ValueError: inverted or degenerate cells, a disconnected mesh, a surface in space; data
                that do not fit; see `Conditions`.
            numpy.linalg.LinAlgError: the solution grows without bound.
        Warns where |u| exceeds the maximum principle by a tenth: labels of too few cells.
        """
        mesh.check()
        if mesh.dim != mesh.points.shape[1]:
            raise ValueError(
                f"Burgers: the mesh has dimension {mesh.dim} in a space of dimension "
                f"{mesh.points.shape[1]}; curves and surfaces in space are not covered"
            )
        sample = self.sample(mesh)
        u = np.stack(list(self._march(mesh, order)))
        self._warn_growth(u, sample)
        if not self.check_labels:
            return sample.with_solution(u)
        finer = replace(
            self, refine=self.refine + 1, substeps=2 * self.substeps, courant=self.courant / 2
        )
        better, mass = np.stack(list(finer._march(mesh, order))), mesh.lumped_mass
        gap, size = (((v**2).sum(axis=2) @ mass).sum() for v in (u - better, better))
        return replace(sample, u=u, label_error=float(np.sqrt(gap / size)) if size else 0.0)

    def _warn_growth(self, u: Float[np.ndarray, "T N d"], sample: Sample) -> None:
        """|u| has no larger values than at first and on the boundary, where nothing drives it."""
        if not all(map(is_zero, self._drives())):
            return
        known = (u[0], sample.boundary.dirichlet_values)
        bound = max(np.linalg.norm(v, axis=-1).max() for v in known)
        largest = np.linalg.norm(u, axis=-1).max()
        if largest > 1.1 * bound:
            warnings.warn(
                f"Burgers: |u| reaches {largest / bound:.3g} times what the data allow: layers are "
                "thinner than the cells; refine more, or take a larger viscosity",
                stacklevel=3,
            )

    def _drives(self) -> list[Any]:
        return [self.source, *self.neumann.values()]

    def _march(self, mesh: Mesh, order: int) -> Iterator[Float[np.ndarray, "N d"]]:
        problem, fine = on_refined(self, mesh, ("initial", "source", "dirichlet", "neumann"))
        space, first = Space(fine, order), float(self.times[0])
        conditions = problem.conditions(fine, first)
        index, prolong = classes(space, conditions.twin), prolongation(space, conditions.twin)
        mask, held = conditions.prescribed(space)
        loads, holds = varies(self._drives()), varies(self.dirichlet)

        def load(now: Conditions, time: float) -> Float[np.ndarray, "n d"]:
            source = space.load(frozen(problem.source, time), "source", None, now.channels)
            return prolong.T @ (source + now.load(space)).reshape(space.size, -1)

        steady = load(conditions, first), at_classes(held, index)

        def at(time: float) -> tuple[np.ndarray, np.ndarray]:
            if not (loads or holds):
                return steady
            now = problem.conditions(fine, time)
            values = at_classes(now.prescribed(space)[1], index) if holds else steady[1]
            return load(now, time) if loads else steady[0], values

        start = np.where(mask, held, _nodal(space, problem.initial, "initial"))
        steps = Imex(
            tied(space.mass(), prolong),
            tied(space.stiffness(self.viscosity, "viscosity"), prolong),
            Convection(space, index),
            at,
            ~at_classes(mask, index),
            fine.dim,
            self.courant / space.order,
            self.substeps,
        )
        for u in steps.march(at_classes(start, index), self.times):
            yield u[index[: mesh.num_nodes]]

    @classmethod
    def draw(
        cls,
        mesh: Mesh,
        rng: np.random.Generator,
        *,
        periodic: bool = True,
        viscosity: float | tuple[float, float] = 5e-3,
        frames: int = 1600,
        dt: float = 1e-3,
        length: float = 0.15,
        largest: float = 1.0,
        refine: int = 1,
        check_labels: bool = False,
    ) -> "Burgers":
        """A random decay from a smooth velocity, periodic with the bounding box, at rest at walls.

        Args:
            mesh: the mesh.
            rng: random numbers.
            periodic: whether left and right, bottom and top, front and back are one, as far as
                they are translates of each other; all other parts hold u = 0.
            viscosity: ν, or (low, high) to draw it log-uniformly.
            frames: number of times after the first.
            dt: between the times, s.
            length: correlation length, in units of the largest side of the bounding box.
            largest: max |u| of the initial field without walls, m/s.
            refine: see the class.
            check_labels: likewise.

        Source: the data of Zeng et al., PhyMPGN, 2025: unit square, ν = 0.005, 1600 steps of 0.001.
        """
        nu, pairs = log_uniform(viscosity, rng), flows.opposite(mesh) if periodic else {}
        initial, walls = flows.initial_velocity(mesh, rng, length, largest, pairs)
        return cls(
            dt * np.arange(frames + 1),
            initial,
            nu,
            dirichlet={"*": 0.0} if walls else {},
            periodic=pairs,
            refine=refine,
            check_labels=check_labels,
        )


def _nodal(space: Space, value: Any, what: str) -> Float[np.ndarray, "n d"]:
    d = space.points.shape[1]
    return space.interpolate(value, what, None, None if d == 1 else d).reshape(-1, d)

"""`Elastodynamics`: large deformations of elastic bodies in motion, with walls to bounce off."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from meshgnn.fem import Space, means, values
from meshgnn.fem.elastic_solid import LAWS, Solid
from meshgnn.fem.explicit import BlowUp, Scene, State, march
from meshgnn.fem.values import CellValue, VectorValue
from meshgnn.mesh import Mesh
from meshgnn.problems.conditions import REST, Conditions, check_parts
from meshgnn.problems.elastic_draws import random_motion
from meshgnn.problems.elastic_parts import balance, held_parts, shortened, wall_arrays
from meshgnn.problems.transient import check_times, frozen, over_times, varies
from meshgnn.sample import Sample

Bounds = Sequence[float | int | None] | np.ndarray


@dataclass(frozen=True, eq=False)
class Elastodynamics:
    """ρ ü = ∇·P(I + ∇u) + ρ g - α ρ u̇ in the reference configuration; lo <= X + u <= hi.

    The body is a `Mesh` in its reference configuration X, triangles (plane strain) or tetrahedra;
    other cells are taken as their simplices. The state is the displacement u; x = X + u. Laws:
    see `fem.elastic_solid.Solid`; λ = E ν / ((1 + ν)(1 - 2ν)), μ = E / (2 (1 + ν)). P1, lumped
    masses, central differences with Δt <= courant · 2 / max ω, ω being the highest frequency of
    single cells at rest: so a courant of 1 is the limit at small strains, and 0.5 leaves room for
    what is compressed to half its length. u in m, E in Pa, ρ in kg/m³, t in s.

    Surfaces are free but for Dirichlet parts and the walls, which are planes across the axes.
    Nodes do not pass them, but where they are prescribed to: an impulse takes the speed that would,
    and at most `friction` times itself along the wall. A body bounces by its own elasticity; the
    energy of the layer of nodes that lands is lost, which falls with the size of the cells (8, 4.4
    and 2.4 % when a square with E = 20 ρ g L falls onto a corner from 0.6 L, on 132, 462 and 1,722
    nodes). Not covered: contact of the body with itself or another, viscosity, heat; ν above about
    0.45 locks.

    Functions take x [..., d] (the reference point X), those on Dirichlet parts (x, t) where they
    have two arguments without a default.

    Args:
        times: [T] increasing, s; the first is that of the initial values.
        young: E > 0; constant, function, array over nodes or cells, or {region: constant}.
        poisson: ν, -1 < ν < 1/2, likewise.
        density: ρ > 0, likewise.
        law: "neo-Hookean" or "fixed-corotated".
        gravity: [d] m/s²; None for none.
        velocity: u̇ at times[0]: constant, d of them, function, or [N, d].
        displacement: u at times[0], likewise.
        dirichlet: {part: u}; in a sequence None leaves a component free.
        walls: (lo, hi), each [d] with None where it is open, or None; None for no walls.
        friction: Coulomb's coefficient at the walls.
        damping: α, 1/s.
        courant: share of the stable step, at most 1; above 0.89 steps are halved at once.

    Raises:
        ValueError: times that do not increase; an unknown law; a friction, damping or
            courant that is NaN or outside its range; conditions that are no dict.
    """

    times: Float[np.ndarray, " T"]
    young: CellValue = 1e5
    poisson: CellValue = 0.3
    density: CellValue = 1000.0
    law: str = LAWS[0]
    gravity: Sequence[float | int] | np.ndarray | None = None
    velocity: VectorValue = 0.0
    displacement: VectorValue = 0.0
    dirichlet: Mapping[str, Any] = field(default_factory=dict)
    walls: Sequence[Bounds | None] | None = None
    friction: float = 0.0
    damping: float = 0.0
    courant: float = 0.5

    def __post_init__(self) -> None:
        check_times(self.times, 1)
        check_parts(dirichlet=self.dirichlet)
        if self.law not in LAWS:
            raise ValueError(f"law: expected one of {', '.join(LAWS)}, got {self.law!r}")
        limits = {"friction": np.inf, "damping": np.inf, "courant": 1}
        for name, most in limits.items():
            value = getattr(self, name)
            if not (0 <= value <= most and np.isfinite(value)) or (name == "courant" and not value):
                low = "above 0" if name == "courant" else "of at least 0"
                high = f" and at most {most}" if np.isfinite(most) else ""
                raise ValueError(f"{name}: expected a number {low}{high}, got {value}")

    def solid(self, mesh: Mesh) -> Solid:
        """The body without what acts on it.

        Raises:
            ValueError: a mesh of other than 2D cells in 2D or 3D cells in 3D, or that is inverted,
                degenerate or disconnected; moduli or densities outside their ranges.
        """
        if mesh.dim != mesh.points.shape[1] or mesh.dim < 2:
            raise ValueError(
                "Elastodynamics: expected 2D cells in 2D or 3D cells in 3D, got "
                f"{mesh.dim}D cells in {mesh.points.shape[1]}D; bars and shells are not covered"
            )
        mesh.check()
        young, nu, density = (self._by_cell(mesh, n)[mesh.simplex_cells] for n in _MATERIAL)
        values.positive(young, "young")
        values.positive(density, "density")
        if nu.min() <= -1 or nu.max() >= 0.5:
            raise ValueError(
                f"poisson: expected -1 < ν < 1/2, got values from {nu.min():g} to {nu.max():g}"
            )
        lame, shear = young * nu / ((1 + nu) * (1 - 2 * nu)), young / (2 * (1 + nu))
        return Solid(mesh, lame, shear, density, self.law)

    def _by_cell(self, mesh: Mesh, name: str) -> Float[np.ndarray, " M"]:
        return means(Space(mesh), values.coefficient(getattr(self, name), mesh, name), name)[:, 0]

    def scene(self, mesh: Mesh) -> Scene:
        """Gravity and walls on this mesh. Raises: ValueError: not d of them; lo above hi."""
        dim = mesh.points.shape[1]
        given = [0.0] * dim if self.gravity is None else list(self.gravity)
        gravity = values.per_channel(given, dim, "gravity")
        forces = values.finite(np.array(gravity, np.float64), "gravity")
        lo, hi = wall_arrays((None, None) if self.walls is None else self.walls, dim)
        return Scene(forces, lo, hi, float(self.friction), float(self.damping))

    def conditions(self, mesh: Mesh, time: float) -> Conditions:
        """The conditions at a time; what is not prescribed is free, P N = 0."""
        free = {} if REST in self.dirichlet else {REST: (0.0, 0.0)}
        return Conditions(mesh, mesh.points.shape[1], frozen(self.dirichlet, time), free)

    def start(self, mesh: Mesh) -> tuple[Float[np.ndarray, "N d"], Float[np.ndarray, "N d"]]:
        """u and u̇ at the nodes at times[0], u as prescribed where it is.

        Raises:
            ValueError: data that do not fit the mesh; a body that begins beyond a wall.
        """
        space, dim, scene = Space(mesh), mesh.points.shape[1], self.scene(mesh)
        u, v = (
            np.ascontiguousarray(space.interpolate(value, name, channels=dim))
            for name, value in (("displacement", self.displacement), ("velocity", self.velocity))
        )
        mask, prescribed = self.conditions(mesh, float(self.times[0])).prescribed(space)
        u = np.where(mask, prescribed, u)
        x = mesh.points + u
        beyond = np.maximum(scene.lo - x, x - scene.hi)
        if beyond.max() > 1e-9 * np.ptp(mesh.points, axis=0).max():
            node, axis = np.unravel_index(beyond.argmax(), beyond.shape)
            raise ValueError(
                f"walls: the body begins beyond them at {(beyond.max(axis=1) > 0).sum()} nodes, by "
                f"up to {beyond.max():.4g} m (node {node}, {'xyz'[axis]} = {x[node, axis]:.4g}); "
                "move the walls or give a displacement that brings it between them"
            )
        return u, np.where(mask, 0.0, v)

    def sample(self, mesh: Mesh) -> Sample:
        """The data of the problem on this mesh, unsolved.

        Inputs are u and u̇ at times[0]. Parameters are E, ν and ρ where they are numbers (else they
        are by cell), friction, damping and gravity_x, ...; `meta` has the law and
        {"walls": {"lo": [...], "hi": [...]}}, None where they are open.
        """
        dim, scene, start = mesh.points.shape[1], self.scene(mesh), float(self.times[0])
        axes = "xyz"[:dim]
        plain = [n for n in _MATERIAL if isinstance(getattr(self, n), int | float | np.number)]
        graded = [name for name in _MATERIAL if name not in plain]
        numbers = [*plain, "friction", "damping"]
        walls = {
            side: [float(w) if np.isfinite(w) else None for w in bounds]
            for side, bounds in (("lo", scene.lo), ("hi", scene.hi))
        }
        cells = [self._by_cell(mesh, name) for name in graded]
        sample = Sample(
            mesh=mesh,
            boundary=self.conditions(mesh, start).boundary(),
            inputs=np.hstack(self.start(mesh)),
            times=self.times,
            params=np.array([*(float(getattr(self, name)) for name in numbers), *scene.gravity]),
            names={
                "u": [f"u{a}" for a in axes],
                "inputs": [f"initial_{kind}{a}" for kind in "uv" for a in axes],
                "params": [*numbers, *(f"gravity_{a}" for a in axes)],
                "cell_inputs": graded,
            },
            units=_UNITS | {f"{n}{a}": unit for n, unit in _AXIS_UNITS.items() for a in axes},
            meta={"problem": "Elastodynamics", "law": self.law, "walls": walls},
            cell_inputs=np.stack(cells, axis=1) if cells else np.zeros((0, 0)),
        )
        if not varies(self.dirichlet):
            return sample
        over = over_times(sample.boundary, lambda t: self.conditions(mesh, t), self.times)
        return replace(sample, boundary=over)

    def solve(self, mesh: Mesh, order: int = 1) -> Sample:
        """The sample with u [T, N, d] at the nodes.

        `meta` has the "steps" between the times, and at each time "energy" {"kinetic", "strain",
        "potential" (of gravity, 0 at u = 0)} and "momentum" {"linear" [d], "angular" about x = 0,
        of the planes xy, xz, yz}.

        Args:
            mesh: the mesh.
            order: 1; there is no other.

        Raises:
            ValueError: see `solid`, `scene` and `start`; an initial displacement that turns a cell
                inside out.
            fem.explicit.BlowUp: a RuntimeError, with the frames so far as `sample`.
        """
        if order != 1:
            raise ValueError(f"order: expected 1, elastodynamics has P1 elements only, got {order}")
        solid, sample, states = self.solid(mesh), self.sample(mesh), list[State]()
        held = held_parts(lambda t: self.conditions(mesh, t), self.dirichlet, self.times)
        scene, step = self.scene(mesh), self.courant * solid.stable_step

        def filled() -> Sample:
            found = balance(solid, scene.gravity, states)
            u = np.stack([state.u for state in states])
            return replace(shortened(sample, len(u)), u=u, meta=sample.meta | found)

        try:
            for state in march(solid, scene, self.start(mesh), self.times, step, held):
                states.append(state)
        except BlowUp as error:
            error.sample = filled()
            raise
        return filled()

    @classmethod
    def draw(
        cls, mesh: Mesh, rng: np.random.Generator, *, kind: str = "throw", **options: Any
    ) -> "Elastodynamics":
        """A random problem: "throw", "drop" or "pull"; see `elastic_draws.random_motion`.

        Args:
            mesh: the body.
            rng: random numbers.
            kind: thrown and spinning in a box; dropped on a floor, turned at random; or clamped at
                one part, pulled and released.
            options: those of `random_motion`.
        """
        return cls(**random_motion(mesh, rng, kind, **options))


_MATERIAL = ("young", "poisson", "density")
_UNITS = {"young": "Pa", "density": "kg/m³", "damping": "1/s"}
_AXIS_UNITS = {"u": "m", "initial_u": "m", "initial_v": "m/s", "gravity_": "m/s²"}

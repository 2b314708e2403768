"""`MaterialPoints`: solids, fluids and grains in large motion, the nodes of a mesh as particles."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from meshgnn.fem.values import VectorValue, at_points, finite, is_array, nodal
from meshgnn.mesh import Mesh
from meshgnn.mpm import MATERIALS, Material, Particles, Scene, Unstable, march
from meshgnn.mpm.bodies import cell_size, check_body
from meshgnn.mpm.scene import Numbers, Walls
from meshgnn.problems.transient import check_times
from meshgnn.sample import Boundary, Sample

GRAVITY = 9.81
KINDS = ("throw", "drop")


@dataclass(frozen=True, eq=False)
class MaterialPoints:
    """ρ a = div σ + ρ g for a body of one material, by the material point method.

    The particles are the nodes of the mesh, with its lumped volumes; the mesh says what was where
    at the first time, and its cells carry no forces, so that fluids splash and grains part. What
    u = x - X means is the same as for a solid: the sample holds the displacement of every node.
    Explicit MLS-MPM, see `mpm.march`: free fall is exact, momentum and angular momentum are kept to
    rounding, and energy is lost on the grid: about a tenth in a bounce of a block of ten cells.
    Bodies touch at about a cell's distance, and a mesh of several pieces holds several bodies of
    one material. Not covered: several materials, held or driven parts, surface tension.

    Args:
        times: [T] increasing, s.
        material: a name in `mpm.MATERIALS` ("elastic", "water", "plasticine", "sand"), or a
            `mpm.Material`; dataclasses.replace(MATERIALS["sand"], young=3e5) changes a number.
        velocity: initial velocity in m/s: d numbers, a function of x or an array [N, d].
        gravity: d numbers, m/s²; None: 9.81 against the last axis.
        walls: (lo, hi), d coordinates of axis-aligned walls each, m; None for one or a side that
            is open. They let go what moves away.
        friction: Coulomb's coefficient at walls; inf: what touches sticks.
        cell: edge h of the grid's cells, m; None: twice the mean spacing (volume / N)^(1/d) of the
            nodes, or two thirds of the longest edge of the mesh where that is more.
        courant: Δt (c + |v|) / h at most, with the sound speed c of the material.

    Raises:
        ValueError: times that do not increase or are fewer than two; an unknown material; a courant
            number that is not in (0, 1].

    Source: Hu et al., A moving least squares material point method, 2018.
    """

    times: Float[np.ndarray, " T"]
    material: str | Material = "elastic"
    velocity: VectorValue = 0.0
    gravity: Numbers | None = None
    walls: Walls | None = None
    friction: float = 0.0
    cell: float | None = None
    courant: float = 0.4

    def __post_init__(self) -> None:
        check_times(self.times, 1)
        if isinstance(self.material, str) and self.material not in MATERIALS:
            raise ValueError(
                f"material: expected one of {', '.join(MATERIALS)} or a mpm.Material, got "
                f"{self.material!r}"
            )
        if not 0 < self.courant <= 1:
            raise ValueError(f"courant: expected a number in (0, 1], got {self.courant}")

    @property
    def law(self) -> Material:
        """The material, where it was given by its name."""
        return MATERIALS[self.material] if isinstance(self.material, str) else self.material

    def scene(self, mesh: Mesh) -> Scene:
        """Gravity, walls and cell size for this body.

        Raises:
            ValueError: a mesh that is no body or a cell that does not fit it (see `mpm.bodies`),
                walls it starts beyond, and what `mpm.Scene.of` refuses.
        """
        check_body(mesh)
        dim = mesh.dim
        down = [0.0] * (dim - 1) + [-GRAVITY] if self.gravity is None else self.gravity
        if len(down) != dim:
            raise ValueError(f"gravity: expected {dim} numbers in {dim}D, got {down}")
        scene = Scene.of(down, self.walls, cell_size(mesh, self.cell), self.friction)
        slack = 1e-9 * np.ptp(mesh.points, axis=0).max()  # rounding of the mesh generator
        gap = np.maximum(scene.lo - mesh.points, mesh.points - scene.hi)
        beyond = np.flatnonzero(gap.max(axis=1) > slack)
        if len(beyond):
            raise ValueError(
                f"walls: {len(beyond)} of {mesh.num_nodes} nodes start beyond them, the first "
                f"{beyond[0]} at {mesh.points[beyond[0]].tolist()}, lo {scene.lo.tolist()}, hi "
                f"{scene.hi.tolist()}; move the walls or the mesh"
            )
        return scene

    def particles(self, mesh: Mesh) -> Particles:
        """The nodes of the mesh, unstrained and with their initial velocities.

        Raises:
            ValueError: velocities of another shape, NaN or infinite.
        """
        velocity = self._velocity(mesh)
        return Particles.at_rest(mesh.points, velocity, mesh.lumped_mass, self.law.density)

    def _velocity(self, mesh: Mesh) -> Float[np.ndarray, "N d"]:
        dim = mesh.points.shape[1]
        if is_array(self.velocity, dim):
            return finite(nodal(self.velocity, mesh, "velocity", dim), "velocity")
        value = self.velocity if callable(self.velocity) else np.asarray(self.velocity, np.float64)
        return at_points(value, mesh.points, "velocity", dim).copy()

    def sample(self, mesh: Mesh) -> Sample:
        """The data of the problem on this mesh, unsolved; inputs are u = 0 and u̇ at
        times[0].

        Parameters: numbers of the material (with its yield stress or friction angle where it has
        one), gravity_x, ... and wall_friction. `meta["walls"]` is {"lo": [...], "hi": [...]}, None
        where open.

        Raises:
            ValueError: see `scene` and `particles`.
        """
        scene, dim = self.scene(mesh), mesh.points.shape[1]
        axes, law = "xyz"[:dim], self.law
        gravity = {f"gravity_{a}": g for a, g in zip(axes, scene.gravity.tolist(), strict=True)}
        numbers = law.numbers() | gravity
        walls = {
            side: [x if np.isfinite(x) else None for x in getattr(scene, side).tolist()]
            for side in ("lo", "hi")
        }
        if np.isfinite(scene.friction):
            numbers["wall_friction"] = scene.friction
        return Sample(
            mesh=mesh,
            boundary=Boundary.none(mesh.num_nodes, dim),
            inputs=np.hstack([np.zeros_like(mesh.points), self._velocity(mesh)]),
            times=self.times,
            params=np.array(list(numbers.values())),
            names={
                "u": [f"u{a}" for a in axes],
                "inputs": [f"initial_{kind}{a}" for kind in "uv" for a in axes],
                "params": list(numbers),
            },
            units={f"{kind}{a}": "m" for kind in ("u", "initial_u") for a in axes}
            | {f"initial_v{a}": "m/s" for a in axes},
            meta={
                "problem": "MaterialPoints",
                "material": self.material if isinstance(self.material, str) else law.law,
                "walls": walls,
                "sticks": bool(np.isinf(scene.friction)),
                "cell": scene.cell,
                "courant": self.courant,
            },
        )

    def solve(self, mesh: Mesh) -> Sample:
        """The sample with u [T, N, d] at the nodes of the mesh.

        `meta["energy"]` has the kinetic, strain and gravity energies at the times, J (J/m in the
        plane), `meta["steps"]` the number of steps to each.

        Raises:
            ValueError: see `scene` and `particles`.
            mpm.Unstable: a RuntimeError, see `mpm.march`; its sample has the times before.
        """
        sample, scene, points = self.sample(mesh), self.scene(mesh), self.particles(mesh)
        u, steps = [], []
        energy: dict[str, list[float]] = {"kinetic": [], "strain": [], "gravity": []}
        try:
            for count in march(points, scene, self.law, self.times, self.courant):
                steps.append(count)
                u.append(points.position - mesh.points)
                for name, value in points.energies(scene).items():
                    energy[name].append(value)
        except Unstable as error:
            error.sample = sample.with_solution(np.stack(u), self.times[: len(u)])
            raise
        sample.meta.update(energy=energy, steps=steps)
        return sample.with_solution(np.stack(u))

    @classmethod
    def draw(
        cls,
        mesh: Mesh,
        rng: np.random.Generator,
        *,
        kind: str = "throw",
        material: str | Material = "elastic",
        frames: int = 101,
        duration: float | None = None,
        room: float = 1.6,
        friction: float = 0.0,
        cell: float | None = None,
    ) -> "MaterialPoints":
        """A random throw of the body within a box, or its drop, under 9.81 m/s².

        With L the largest extent of the body and g = 9.81: a velocity of random direction up to
        1.35 √(g L) and a spin up to 0.68 √(g / L), which are 3 m/s and 3 /s for half a metre. The
        numbers of the material do not scale with L.

        Args:
            mesh: the body.
            rng: random numbers.
            kind: "throw", or "drop" for no initial velocity.
            material: see the class.
            frames: number of times.
            duration: last time, s; by default 2.2 √(L / g).
            room: side of the box in L, centred at the middle of the body.
            friction: see the class.
            cell: see the class.

        Raises:
            ValueError: another kind, a box that the body does not fit into.
        """
        if kind not in KINDS:
            raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
        lo, hi = mesh.points.min(axis=0), mesh.points.max(axis=0)
        extent, centre = float((hi - lo).max()), (lo + hi) / 2
        if not room >= 1:
            raise ValueError(f"room: expected a side of at least 1 extent of the body, got {room}")
        end = 2.2 * (extent / GRAVITY) ** 0.5 if duration is None else duration
        return cls(
            np.linspace(0, end, frames),
            material,
            random_motion(mesh, rng, GRAVITY) if kind == "throw" else 0.0,
            walls=tuple((centre + s * room * extent / 2).tolist() for s in (-1, 1)),
            friction=friction,
            cell=cell,
        )


def random_motion(mesh: Mesh, rng: np.random.Generator, gravity: float) -> Float[np.ndarray, "N d"]:
    """v + ω × (x - c) at the nodes: random directions, speeds as `MaterialPoints.draw` says."""
    x = mesh.points - (mesh.lumped_mass @ mesh.points) / mesh.lumped_mass.sum()
    extent, dim = float(np.ptp(mesh.points, axis=0).max()), mesh.points.shape[1]
    linear, axis = rng.normal(size=dim), rng.normal(size=dim if dim == 3 else 1)
    linear *= rng.uniform(0, 1.35 * (gravity * extent) ** 0.5) / np.linalg.norm(linear)
    axis *= rng.uniform(0, 0.68 * (gravity / extent) ** 0.5) / np.linalg.norm(axis)
    turned = np.cross(axis, x) if dim == 3 else axis * np.column_stack([-x[:, 1], x[:, 0]])
    return linear + turned

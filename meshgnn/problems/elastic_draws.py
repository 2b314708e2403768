"""Random motions of elastic bodies: thrown in a box, dropped on a floor, pulled and released."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from meshgnn.mesh import Mesh
from meshgnn.problems.draws import log_uniform

KINDS = ("throw", "drop", "pull")
_FACING = 0.5  # |∫ n ds| over the area of a part, 1 for plane ones, from which it is one side


@dataclass(frozen=True, eq=False)
class Affine:
    """v(X) = shift + A (X - centre): a rigid displacement, or the velocity of a rigid motion."""

    centre: Float[np.ndarray, " d"]
    matrix: Float[np.ndarray, "d d"]
    shift: Float[np.ndarray, " d"]

    def __call__(self, x: Float[np.ndarray, "*R d"]) -> Float[np.ndarray, "*R d"]:
        """v at points x[..., d]."""
        return self.shift + (x - self.centre) @ self.matrix.T


@dataclass(frozen=True, eq=False)
class Pull:
    """u(X) = s² t, s = max(0, (X - c)·n): nothing at the clamp and behind it, most far from it.

    Args:
        centre: c, of the clamp.
        normal: n / L, into the body.
        target: t, what a point at the distance L is displaced by.
    """

    centre: Float[np.ndarray, " d"]
    normal: Float[np.ndarray, " d"]
    target: Float[np.ndarray, " d"]

    def __call__(self, x: Float[np.ndarray, "*R d"]) -> Float[np.ndarray, "*R d"]:
        """u at points x[..., d]."""
        return np.maximum((x - self.centre) @ self.normal, 0)[..., None] ** 2 * self.target


def random_motion(
    mesh: Mesh,
    rng: np.random.Generator,
    kind: str,
    *,
    law: str = "neo-Hookean",
    stiffness: float | tuple[float, float] = (20.0, 60.0),
    poisson: float = 0.3,
    density: float = 1000.0,
    gravity: float = 9.81,
    speed: float = 1.0,
    spin: float = 2.0,
    height: float = 0.5,
    pull: float = 0.25,
    clamp: str | None = None,
    friction: float = 0.3,
    damping: float = 0.0,
    frames: int = 121,
    duration: float = 4.0,
) -> dict[str, Any]:
    """The arguments of a random `Elastodynamics`; down is the last axis, L the largest extent.

    "throw": a velocity and an angular velocity, each uniform in a ball, in a box whose walls are
    0.3 to 0.8 L away from the body. "drop": turned at random, at rest, up to `height` above a
    floor. "pull": one part clamped, the others displaced as `Pull` says in a direction that leads
    away from it, at rest, without gravity or walls.

    Args:
        mesh: the body.
        rng: random numbers.
        kind: "throw", "drop" or "pull".
        law: see `Elastodynamics`.
        stiffness: E / (ρ g L), or (low, high) for one drawn log-uniformly; at 10, a metre of
            density 1000 has E = 1e5 Pa.
        poisson: ν.
        density: ρ, kg/m³.
        gravity: g, m/s²; the unit of time is √(L / g) whatever acts.
        speed: largest of a throw, in √(g L).
        spin: largest angular velocity of a throw, in √(g / L).
        height: largest of a drop, in L.
        pull: largest displacement of a pull, in L.
        clamp: the part a pull leaves where it is; None is the least that faces one way.
        friction: at the walls.
        damping: α, in √(g / L).
        frames: number of times.
        duration: last time, in √(L / g).

    Raises:
        ValueError: another kind; a gravity that is not positive; a pull of a body without a group
            of facets that face one way.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    if not 0 < gravity < np.inf:
        raise ValueError(f"gravity: expected a positive number, the unit of time, got {gravity}")
    extent, dim = float(np.ptp(mesh.points, axis=0).max()), mesh.points.shape[1]
    time = np.sqrt(extent / gravity)
    for_material, for_motion = rng.spawn(2)
    result: dict[str, Any] = {
        "times": np.linspace(0, duration * time, frames),
        "young": log_uniform(stiffness, for_material) * density * gravity * extent,
        "poisson": poisson,
        "density": density,
        "law": law,
        "damping": damping / time,
    }
    if kind == "pull":
        return result | _pulled(mesh, for_motion, clamp, pull * extent)
    result |= {"gravity": [0.0] * (dim - 1) + [-gravity], "friction": friction}
    if kind == "drop":
        return result | _dropped(mesh, for_motion, height * extent)
    return result | _thrown(mesh, for_motion, extent, speed * extent / time, spin / time)


def _thrown(
    mesh: Mesh, rng: np.random.Generator, extent: float, speed: float, spin: float
) -> dict[str, Any]:
    dim = mesh.points.shape[1]
    gaps = extent * rng.uniform(0.3, 0.8, (2, dim))
    shift = speed * _in_ball(rng, dim)
    turn = np.zeros((dim, dim))
    pairs = np.triu_indices(dim, 1)
    turn[pairs] = spin * _in_ball(rng, len(pairs[0]))
    walls = mesh.points.min(axis=0) - gaps[0], mesh.points.max(axis=0) + gaps[1]
    return {
        "velocity": Affine(_centre(mesh), turn - turn.T, shift),
        "walls": tuple(side.tolist() for side in walls),
    }


def _dropped(mesh: Mesh, rng: np.random.Generator, height: float) -> dict[str, Any]:
    dim, centre = mesh.points.shape[1], _centre(mesh)
    if dim == 3:
        matrix = Rotation.from_quat(rng.standard_normal(4)).as_matrix()
    else:
        angle = rng.uniform(0, 2 * np.pi)
        matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    lowest = (centre + (mesh.points - centre) @ matrix.T)[:, -1].min()
    floor = float(lowest) - height * rng.uniform()
    return {
        "displacement": Affine(centre, matrix - np.eye(dim), np.zeros(dim)),
        "walls": ([None] * (dim - 1) + [floor], None),
    }


def _pulled(
    mesh: Mesh, rng: np.random.Generator, clamp: str | None, largest: float
) -> dict[str, Any]:
    name = _clamped(mesh) if clamp is None else clamp
    facets, area, normal = _faced(mesh, name)
    centre = mesh.facet_areas[facets] @ mesh.facet_centres[facets] / area
    size = float(np.linalg.norm(normal))
    if not size > _FACING * area:
        raise ValueError(f"clamp: the facets of {name!r} face all ways; name a part of one side")
    normal = -normal / size
    depth = ((mesh.points - centre) @ normal).max()
    direction = rng.standard_normal(len(centre))
    direction *= np.sign(direction @ normal)  # so that J >= 1 in all of the body
    target = largest * rng.uniform(0.3, 1) * direction / np.linalg.norm(direction)
    return {"displacement": Pull(centre, normal / depth, target), "dirichlet": {name: 0.0}}


def _faced(mesh: Mesh, name: str) -> tuple[Int[np.ndarray, " K"], float, Float[np.ndarray, " d"]]:
    """Boundary facets of a group, their area, and the integral of their outward normal."""
    facets = mesh.facets_of(name)
    areas = mesh.facet_areas[facets]
    return facets, float(areas.sum()), areas @ mesh.facet_normals[facets]


def _clamped(mesh: Mesh) -> str:
    """The group of boundary facets with the least area of those that face one way."""
    names = sorted(n for n, g in mesh.groups.items() if g.dim == mesh.dim - 1)
    parts = {name: _faced(mesh, name)[1:] for name in names}
    fit = [n for n, (area, normal) in parts.items() if np.linalg.norm(normal) > _FACING * area]
    if not fit:
        raise ValueError(
            "clamp: no group of facets faces one way; name a side of the body in gmsh, or add a "
            "Group of facets to the mesh"
        )
    return min(fit, key=lambda name: parts[name][0])


def _centre(mesh: Mesh) -> Float[np.ndarray, " d"]:
    return mesh.lumped_mass @ mesh.points / mesh.lumped_mass.sum()


def _in_ball(rng: np.random.Generator, dim: int) -> Float[np.ndarray, " d"]:
    x = rng.standard_normal(dim)
    return x / np.linalg.norm(x) * rng.uniform() ** (1 / dim)

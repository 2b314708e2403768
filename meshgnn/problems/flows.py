"""Random velocities: smooth, periodic with the box of the mesh, at rest at walls."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from meshgnn.mesh import Mesh, twins
from meshgnn.mesh.periodic import period_of
from meshgnn.mesh.topology import simplices
from meshgnn.operators import closest
from meshgnn.problems.periodic_field import PeriodicField

_NEAR = 8  # wall facets among which the nearest point is looked for


@dataclass(frozen=True, eq=False)
class Swirl:
    """v(x) [..., C], each component a Fourier series that repeats with the box, times a scale.

    Args:
        components: C scalar fields.
        scale: the factor.
    """

    components: tuple[PeriodicField, ...]
    scale: float = 1.0

    def __call__(self, x: Float[np.ndarray, "*R d"]) -> Float[np.ndarray, "*R C"]:
        """v at points x[..., d]."""
        return self.scale * np.stack([field(x) for field in self.components], axis=-1)

    @classmethod
    def draw(
        cls, mesh: Mesh, length: float, largest: float, channels: int, rng: np.random.Generator
    ) -> "Swirl":
        """Independent smooth components of correlation length l, max |v| = `largest`."""
        fields = tuple(PeriodicField.draw(mesh, length, 1.0, rng) for _ in range(channels))
        # a lattice for the maximum, which so depends on no mesh: four points or more for a length
        axes = [
            low + side * np.arange(count := ceil(4 * side / length)) / count
            for low, side in zip(fields[0].low, fields[0].lengths, strict=True)
        ]
        values = cls(fields)(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))
        return cls(fields, largest / float(np.linalg.norm(values, axis=-1).max()))


@dataclass(frozen=True, eq=False)
class AtRest:
    """v(x) = (1 - exp(-(s/l)²)) w(x), s the distance to the walls: zero there, as is ∂v/∂n.

    Args:
        field: w.
        points: [N, d] nodes.
        walls: [F, d] simplices of the walls, with their images a period away.
        length: l.
    """

    field: Callable[[Float[np.ndarray, "*R d"]], Float[np.ndarray, "*R C"]]
    points: Float[np.ndarray, "N d"]
    walls: Int[np.ndarray, "F n"]
    length: float

    def __call__(self, x: Float[np.ndarray, "*R d"]) -> Float[np.ndarray, "*R C"]:
        """v at points x[..., d]."""
        flat = x.reshape(-1, x.shape[-1])
        count = min(_NEAR, len(self.walls))
        centres = self.points[self.walls].mean(axis=1)
        near = np.reshape(KDTree(centres).query(flat, count)[1], (-1, count))
        distance = np.full(len(flat), np.inf)
        pos = torch.from_numpy(self.points.copy())
        for facets in near.T:
            corners = self.walls[facets]
            weights = closest(torch.from_numpy(flat), pos, torch.from_numpy(corners)).numpy()
            foot = np.einsum("qn,qnd->qd", weights, self.points[corners])
            distance = np.minimum(distance, np.linalg.norm(flat - foot, axis=1))
        damp = -np.expm1(-((distance / self.length) ** 2)).reshape(x.shape[:-1])
        return damp[..., None] * self.field(x)


@dataclass(frozen=True, eq=False)
class Stirred:
    """b = ∇ × ψ, free of divergence: (∂ψ/∂y, -∂ψ/∂x) in 2D; by central differences of ψ.

    Args:
        potential: ψ, one component in 2D, three in 3D.
        step: of the differences, m.
        scale: a factor.
    """

    potential: Callable[[Float[np.ndarray, "*R d"]], Float[np.ndarray, "*R C"]]
    step: float
    scale: float = 1.0

    def __call__(self, x: Float[np.ndarray, "*R d"]) -> Float[np.ndarray, "*R d"]:
        """b at points x[..., d]."""
        d = x.shape[-1]
        slopes = [
            (self.potential(x + shift) - self.potential(x - shift)) / (2 * self.step)
            for shift in self.step * np.eye(d)
        ]
        if d == 2:
            curl = [slopes[1][..., 0], -slopes[0][..., 0]]
        else:
            curl = [
                slopes[(i + 1) % 3][..., (i + 2) % 3] - slopes[(i + 2) % 3][..., (i + 1) % 3]
                for i in range(3)
            ]
        return self.scale * np.stack(curl, axis=-1)


def opposite(mesh: Mesh) -> dict[str, str]:
    """{left: right, bottom: top, front: back} as far as they are translates of each other."""
    pairs = {}
    for a, b in (("left", "right"), ("bottom", "top"), ("front", "back")):
        if {a, b} <= set(mesh.groups):
            with suppress(ValueError):
                twins(mesh, {a: b})
                pairs[a] = b
    return pairs


def walls_of(mesh: Mesh, periodic: Mapping[str, str]) -> Int[np.ndarray, "F n"]:
    """Simplices of the boundary facets in no periodic group."""
    names = [*periodic, *periodic.values()]
    wrapped = np.concatenate([np.zeros(0, np.int64), *map(mesh.facets_of, names)])
    walls, start = [np.zeros((0, mesh.dim), np.int64)], 0
    for name, rows in mesh.boundary_facets.items():
        own = np.setdiff1d(np.arange(start, start + len(rows)), wrapped) - start
        start += len(rows)
        if len(own):
            walls.append(simplices({name: rows[own]})[0])
    return np.concatenate(walls)


def at_rest(mesh: Mesh, field: Swirl, periodic: Mapping[str, str]) -> tuple[Swirl | AtRest, bool]:
    """The field, damped to 0 at the walls within a tenth of the box's longest side; if any."""
    walls, points = walls_of(mesh, periodic), mesh.points
    if not len(walls):
        return field, False
    for period in np.diag(period_of(points, twins(mesh, periodic))):
        if period.any():  # walls near one side are near the other too
            shifts = [-period, 0 * period, period]
            walls = np.concatenate([walls + k * len(points) for k in range(3)])
            points = np.concatenate([points + shift for shift in shifts])
    return AtRest(field, points, walls, 0.1 * float(np.ptp(mesh.points, axis=0).max())), True


def initial_velocity(
    mesh: Mesh,
    rng: np.random.Generator,
    length: float,
    largest: float,
    periodic: Mapping[str, str],
) -> tuple[Callable[..., np.ndarray], bool]:
    """A random velocity of d components, and whether there are walls, where it is zero.

    Walls are the boundary facets in no periodic group. The correlation length is in units of the
    box's longest side.
    """
    d, extent = mesh.points.shape[1], float(np.ptp(mesh.points, axis=0).max())
    field, walls = at_rest(mesh, Swirl.draw(mesh, length * extent, largest, d, rng), periodic)
    return (lambda x: field(x)[..., 0]) if d == 1 else field, walls


def stirred(
    mesh: Mesh,
    rng: np.random.Generator,
    length: float,
    largest: float,
    periodic: Mapping[str, str],
) -> tuple[float | Stirred, bool]:
    """A random velocity free of divergence, and whether there are walls, where it is zero.

    max |b| at the nodes is `largest`; in 1D it is that number, to the right or to the left.
    """
    d = mesh.points.shape[1]
    if d == 1:
        return largest * rng.choice([-1.0, 1.0]), len(walls_of(mesh, periodic)) > 0
    extent = float(np.ptp(mesh.points, axis=0).max())
    potential = Swirl.draw(mesh, length * extent, 1.0, 1 if d == 2 else 3, rng)
    damped, walls = at_rest(mesh, potential, periodic)
    unit = Stirred(damped, 1e-4 * extent)
    fastest = float(np.linalg.norm(unit(mesh.points), axis=1).max())
    return replace(unit, scale=largest / fastest), walls

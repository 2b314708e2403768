"""Random velocities: smooth and periodic with the box of the mesh, at rest at walls."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from meshgnn.mesh import Mesh
from meshgnn.mesh.topology import simplices
from meshgnn.operators.interpolation import closest
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
        walls: [F, d] simplices of the walls.
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


def initial_velocity(
    mesh: Mesh,
    rng: np.random.Generator,
    length: float,
    largest: float,
    periodic: Mapping[str, str],
) -> tuple[Swirl | AtRest, bool]:
    """A random velocity of d components, and whether there are walls, where it is zero.

    Walls are the boundary facets in no periodic group; their layer is a tenth of the box's longest
    side L thick. The correlation length is in units of L.
    """
    extent = float(np.ptp(mesh.points, axis=0).max())
    field = Swirl.draw(mesh, length * extent, largest, mesh.points.shape[1], rng)
    facets, start, walls = mesh.boundary_facets, 0, []
    names = [*periodic, *periodic.values()]
    wrapped = np.concatenate([np.zeros(0, np.int64), *map(mesh.facets_of, names)])
    for name, rows in facets.items():
        own = np.setdiff1d(np.arange(start, start + len(rows)), wrapped) - start
        start += len(rows)
        walls.append(simplices({name: rows[own]})[0])
    corners = np.concatenate(walls)
    if not len(corners):
        return field, False
    return AtRest(field, mesh.points, corners, 0.1 * extent), True

"""The fields and meshes of `movers.py`: functions with fronts on squares, polygons and holes.

Case i of a set is drawn from (seed, i). Seed 0 is for training, 1 for validation, 2 for tests.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from meshgnn.geometry.domains import FAMILIES
from meshgnn.mesh import Mesh

Function = Callable[[np.ndarray], np.ndarray]
TRAINED = ("cut_square", "plate_with_holes", "l_shape")
UNSEEN = ("polygon", "disc_with_holes", "annulus", "u_shape", "channel_with_obstacle")


@dataclass(frozen=True, eq=False)
class Case:
    """A mesh, a function on it and its values at the nodes."""

    family: str
    mesh: Mesh
    function: Function

    @property
    def field(self) -> np.ndarray:
        """u [N]."""
        return self.function(self.mesh.points)


def case(family: str, seed: int, i: int, size: float | None = None) -> Case:
    """Mesh number i of a family, with edges of `size`, and a function of its own."""
    rng = np.random.default_rng([seed, i])
    mesh = FAMILIES[family](rng, size)
    return Case(family, mesh, function(mesh, rng))


def function(mesh: Mesh, rng: np.random.Generator) -> Function:
    """One to three fronts, discs and bumps as thin as 2 to 5 edges, at random places."""
    points = mesh.points
    scale = float(np.ptp(points, axis=0).max())
    edge = float(np.median(np.linalg.norm(np.diff(points[mesh.edges], axis=1)[:, 0], axis=1)))
    parts = [_part(points, scale, edge, rng) for _ in range(rng.integers(1, 4))]
    weights = rng.uniform(0.5, 1.0, len(parts)) * rng.choice([-1.0, 1.0], len(parts))
    return lambda x: sum(w * part(x) for w, part in zip(weights, parts, strict=True))


def _part(points: np.ndarray, scale: float, edge: float, rng: np.random.Generator) -> Function:
    centre = points[rng.integers(len(points))]
    width = edge * rng.uniform(2.0, 5.0)
    kind = rng.integers(3)
    if kind == 0:  # a straight front
        normal = rng.normal(size=points.shape[1])
        normal /= np.linalg.norm(normal)
        return lambda x: np.tanh(((x - centre) @ normal) / width)
    if kind == 1:  # the rim of a disc
        radius = scale * rng.uniform(0.12, 0.3)
        return lambda x: np.tanh((np.linalg.norm(x - centre, axis=-1) - radius) / width)
    size = 3 * width
    return lambda x: np.exp(-(np.linalg.norm(x - centre, axis=-1) ** 2) / size**2)

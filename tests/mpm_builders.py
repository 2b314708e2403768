"""Particles for tests of the material point method."""

import numpy as np
from mesh_builders import lattice

from meshgnn.mpm import Scene

OPEN = {2: Scene.of([0, 0], None, 0.1), 3: Scene.of([0, 0, 0], None, 0.1)}


def block(dim: int, count: int, side: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Centres of equal cells of a cube about the origin, and their volumes."""
    points = lattice(*[count - 1] * dim)[0] * (1 - 1 / count) + 0.5 / count
    return side * (points - 0.5), np.full(count**dim, (side / count) ** dim)

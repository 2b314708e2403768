"""Interval meshes whose nodes stand for equal control volumes."""

import numpy as np
from jaxtyping import Float, Int

from meshgnn.mesh import Group, Mesh


def periodic_interval(cells: int, length: float = 1.0) -> Mesh:
    """n + 1 nodes at (k + 1/2) dx, k = 0 ... n, dx = L / n; the last is the twin of the first.

    The control volume of node k is [k dx, (k + 1) dx], so that n of them make up [0, L], and each
    is a union of those of a mesh whose number of cells is a multiple of n.
    Groups: left, right (the end nodes), domain.

    Raises:
        ValueError: fewer than 5 cells, the stencil of WENO5, or a length that is not positive.
    """
    if cells < 5 or not 0 < length < np.inf:
        raise ValueError(
            f"periodic_interval: expected 5 cells or more and a positive length, got {cells} and "
            f"{length}"
        )
    numbers = np.arange(cells + 1)
    lines = np.stack([numbers[:-1], numbers[1:]], axis=1)
    groups = {
        "left": Group(0, {"vertex": numbers[:1, None]}),
        "right": Group(0, {"vertex": numbers[-1:, None]}),
        "domain": Group(1, {"line": lines}),
    }
    return Mesh((numbers[:, None] + 0.5) * (length / cells), {"line": lines}, groups)


def control_volumes(
    mesh: Mesh,
) -> tuple[Float[np.ndarray, " E"], Int[np.ndarray, " N"]]:
    """Edges of the control volumes of all nodes, half an edge around each, and the nodes by x.

    Raises:
        ValueError: a mesh that is no interval on the x axis, or whose nodes are not equidistant.
    """
    if mesh.dim != 1 or mesh.points.shape[1] != 1:
        raise ValueError(f"finite volumes: expected an interval on the x axis, got {mesh!r}")
    order = np.argsort(mesh.points[:, 0])
    x = mesh.points[order, 0]
    gaps, dx = np.diff(x), (x[-1] - x[0]) / (len(x) - 1)
    if np.abs(gaps - dx).max() > 1e-6 * dx:
        raise ValueError(
            f"finite volumes: expected equidistant nodes, got edges from {gaps.min():.6g} to "
            f"{gaps.max():.6g}; make the mesh with volumes.periodic_interval, or with a constant "
            "size in gmsh"
        )
    return x[0] + dx * (np.arange(len(x) + 1) - 0.5), order


def restricted(u: Float[np.ndarray, "n B"], cells: int) -> Float[np.ndarray, "m B"]:
    """Averages over m cells, each of n / m equal ones."""
    return u.reshape(cells, -1, u.shape[1]).mean(axis=1)

"""Meshes whose opposite sides match node by node, for periodic conditions."""

from collections.abc import Sequence

import numpy as np

from meshgnn.geometry.polygon import Loop, circle, mesh_polygon
from meshgnn.mesh import Group, Mesh

_SIDES = ["bottom", "right", "top", "left"]


def periodic_interval(cells: int, length: float = 1.0) -> Mesh:
    """[0, L] in equal cells; node `cells` is the twin of node 0. Groups: left, right, domain.

    Node k is at k L / cells; `volumes.cell_interval` has the centres of control volumes instead.

    Args:
        cells: their number, at least 3: across fewer, edges of the graph would not be unique.
        length: L.

    Raises:
        ValueError: fewer than three cells.
    """
    if cells < 3:
        raise ValueError(f"periodic_interval: expected at least 3 cells, got {cells}")
    lines = np.stack([np.arange(cells), np.arange(1, cells + 1)], axis=1)
    groups = {
        "left": Group(0, {"vertex": np.array([[0]])}),
        "right": Group(0, {"vertex": np.array([[cells]])}),
        "domain": Group(1, {"line": lines}),
    }
    return Mesh(np.linspace(0, length, cells + 1)[:, None], {"line": lines}, groups)


def periodic_square(
    size: float, length: float = 1.0, holes: Sequence[tuple[float, float, float]] = ()
) -> Mesh:
    """[0, L]² less discs; right is meshed as left is, and top as bottom.

    With 0.048 the unit square has about 500 nodes. Groups: left, right, bottom, top, domain, and
    hole where there are discs. `problems` take it with periodic={"left": "right", "bottom": "top"}.

    Args:
        size: target edge length h.
        length: L.
        holes: (x, y, r) each, inside the square and apart from each other.

    Raises:
        ValueError: holes that touch, cross or leave the square.
        ImportError: gmsh is missing.
    """
    corners = length * np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    discs = [circle((x, y), r, "hole", size) for x, y, r in holes]
    return mesh_polygon([Loop(corners, _SIDES), *discs], size, matched=[(0, 2), (3, 1)])

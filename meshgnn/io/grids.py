"""VTK grids from elsewhere: their cell types as ours."""

import numpy as np
from jaxtyping import Int

from meshgnn.frames import VTK_TYPES, Grid
from meshgnn.io.raw import Block, Raw, Rows

# Corners come first in VTK's quadratic, Lagrange and Bézier cells.
_HIGHER = {
    "line": (21, 35, 68, 75),
    "triangle": (22, 34, 69, 76),
    "quad": (23, 28, 30, 70, 77),
    "tetra": (24, 71, 78),
    "hexahedron": (25, 29, 33, 72, 79),
    "wedge": (26, 31, 32, 73, 80),
    "pyramid": (27, 37, 74, 81),
}
_LINEAR = {
    **{number: name for name, number in VTK_TYPES.items()},
    **{number: name for name, numbers in _HIGHER.items() for number in numbers},
}
# Cells that are ours under another name: (type, number of vertices) -> name, order of the vertices.
_ALIASES = {
    (2, 1): ("vertex", [0]),
    (7, 3): ("triangle", [0, 1, 2]),
    (7, 4): ("quad", [0, 1, 2, 3]),
    (8, 4): ("quad", [0, 1, 3, 2]),
    (11, 8): ("hexahedron", [0, 1, 3, 2, 4, 5, 7, 6]),
}
# Polylines and triangle strips: every so many vertices in a row are a cell.
_CHAINS = {4: ("line", 2), 6: ("triangle", 3)}
_NAMES = {
    2: "poly vertex",
    7: "polygon",
    15: "pentagonal prism",
    16: "hexagonal prism",
    41: "convex point set",
    42: "polyhedron",
}


def raw_grid(grid: Grid) -> Raw:
    """The cells and arrays of a grid; polylines and triangle strips as lines and triangles.

    Raises:
        ValueError: a cell type that has no linear counterpart here, with its name.
    """
    blocks = []
    for number, rows, places in grid.blocks():
        if number == 0:
            continue
        size = rows.shape[1]
        if number in _CHAINS:
            blocks.append(_links(number, rows, places))
            continue
        if number in _LINEAR:
            name, order = _LINEAR[number], slice(None)
        elif (number, size) in _ALIASES:
            name, order = _ALIASES[number, size]
        else:
            raise ValueError(
                f"{len(rows)} cells of VTK type {number} ({_NAMES.get(number, 'unknown')}) with "
                f"{size} vertices have no counterpart here; the cells are {', '.join(VTK_TYPES)}. "
                "ParaView's filter Tetrahedralize (or Triangulate) makes such"
            )
        blocks.append((name, rows[:, order], places))
    axis = 0 if grid.times is None else 1
    return Raw(grid.points, blocks, {}, dict(grid.point), grid.cell, None, axis)


def _links(number: int, rows: Rows, places: Int[np.ndarray, " _"]) -> Block:
    """The cells of chains; each has the arrays of its chain."""
    name, size = _CHAINS[number]
    cells = np.lib.stride_tricks.sliding_window_view(rows, size, axis=1).copy()
    if name == "triangle":  # every other one of a strip runs the other way round
        cells[:, 1::2] = cells[:, 1::2, ::-1]
    return name, cells.reshape(-1, size), np.repeat(places, cells.shape[1])

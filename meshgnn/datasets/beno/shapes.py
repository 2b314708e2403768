"""Rectangles at the corners of a square of N x N cells, at least two cells apart.

`cuts` [4, 2] are their widths and heights in cells, at the corners (0, 0), (1, 0), (1, 1), (0, 1).
"""

import numpy as np
from jaxtyping import Bool, Int

from meshgnn.mesh import Mesh

GAP = 2  # least distance of two rectangles in one direction, in cells
_ATTEMPTS = 1000
_HIGH = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])


def draw(
    rng: np.random.Generator, corners: int, cells: int, sides: tuple[int, int]
) -> Int[np.ndarray, "4 2"]:
    """Rectangles at random corners, sides uniform in this range (ends included).

    Raises:
        ValueError: corners other than 0 to 4; sides for which no rectangles keep apart.
    """
    if not 0 <= corners <= 4:
        raise ValueError(f"CornerCut: expected 0 to 4 corners or None, got {corners}")
    if not 1 <= sides[0] <= sides[1]:
        raise ValueError(f"CornerCut: expected sides from 1 cell on, ascending, got {sides}")
    chosen = rng.permutation(4)[:corners]
    for _ in range(_ATTEMPTS):
        cuts = np.zeros((4, 2), np.int64)
        cuts[chosen] = rng.integers(sides[0], sides[1], (corners, 2), endpoint=True)
        if apart(cuts, cells):
            return cuts
    raise ValueError(
        f"CornerCut: {_ATTEMPTS} draws of {corners} rectangles with sides of {sides[0]} to "
        f"{sides[1]} cells gave none that are {GAP} cells apart in {cells}; take smaller ones"
    )


def apart(cuts: Int[np.ndarray, "4 2"], cells: int) -> bool:
    """Whether the rectangles leave gaps to opposite walls and, one way, to each other."""
    cut = (cuts > 0).all(axis=1)
    if (cuts < 0).any() or (cuts[~cut] != 0).any() or (cuts > cells - GAP).any():
        return False
    # two rectangles at the same end of an axis overlap along it whatever their sides are
    near = (cuts[:, None] + cuts > cells - GAP) | (_HIGH[:, None] == _HIGH)
    both = near.all(axis=2) & np.outer(cut, cut) & ~np.eye(4, dtype=bool)
    return not both.any()


def ends(cuts: Int[np.ndarray, "4 2"], cells: int) -> Int[np.ndarray, "4 2 2"]:
    """[corner, axis, (low, high)] of each rectangle, in cells."""
    low = _HIGH * (cells - cuts)
    return np.stack([low, low + cuts], axis=-1)


def inside(cuts: Int[np.ndarray, "4 2"], cells: int) -> Bool[np.ndarray, "N N"]:
    """The cells, by x and y, that no rectangle covers."""
    result = np.ones((cells, cells), bool)
    for (x, right), (y, top) in ends(cuts, cells).tolist():
        result[x:right, y:top] = False
    return result


def blocks(cuts: Int[np.ndarray, "4 2"], cells: int) -> Mesh:
    """A few quads that fill the polygon in the unit square, to say where its boundary is."""
    limits = ends(cuts, cells)
    lines = [np.unique(np.append(limits[:, axis], [0, cells])) for axis in (0, 1)]
    x, y = np.argwhere(inside(cuts, cells)[np.ix_(lines[0][:-1], lines[1][:-1])]).T
    rows = len(lines[1])
    quads = np.stack([(x + a) * rows + y + b for a, b in _HIGH], axis=1)
    grid = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 2)
    return Mesh(grid / cells, {"quad": quads})

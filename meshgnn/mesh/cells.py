"""The linear cell types, as tables: meshio names and vertex order, everything else derived.

Facets are listed with their outward winding for a cell of positive volume. Positive means
det(x_1 - x_0, x_2 - x_0, x_3 - x_0) > 0 for the first corner (vertex 0 and its
neighbours), as gmsh has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, eq=False)
class CellType:
    """One linear cell type.

    Args:
        dim: topological dimension.
        facets: {facet type: [F, k]} local vertices of the facets, outward.
        flip: local vertex order of the mirrored cell.
        corners: [C, dim+1] a vertex and its neighbours, right-handed; enough of them to see
            every way in which the cell can be inverted.
        reference: [k, dim] vertices of the regular cell of edge length 1, whose quality is 1.
    """

    dim: int
    facets: dict[str, Int[np.ndarray, "_ _"]]
    flip: tuple[int, ...]
    corners: Int[np.ndarray, "C n"]
    reference: Float[np.ndarray, "k dim"]

    @property
    def size(self) -> int:
        """Number of vertices k."""
        return len(self.flip)

    @property
    def edges(self) -> Int[np.ndarray, "E 2"]:
        """Local vertices of the edges, i < j: the sides of the facets, or the cell if a line."""
        if self.dim < 2:
            return np.array([[0, 1]] if self.dim else np.zeros((0, 2)), dtype=np.int64)
        rows = [row for block in self.facets.values() for row in block.tolist()]
        sides = (
            rows if self.dim == 2 else [s for r in rows for s in zip(r, r[1:] + r[:1], strict=True)]
        )
        return np.array(sorted({tuple(sorted(side)) for side in sides}), dtype=np.int64)

    def span(self, *vertices: int) -> frozenset[int]:
        """The smallest sub-entity (vertex, edge, facet or the cell) that has these vertices."""
        wanted = frozenset(vertices)
        rows = [row for block in self.facets.values() for row in block.tolist()]
        entities = [*([v] for v in range(self.size)), *self.edges.tolist(), *rows]
        entities = sorted(entities, key=len) + [list(range(self.size))]
        return next(frozenset(entity) for entity in entities if wanted <= frozenset(entity))


def _table(
    dim: int,
    facets: dict[str, list[str]],
    flip: str,
    corners: list[str],
    reference: Sequence[tuple[int | float, ...]],
) -> CellType:
    blocks = {
        name: np.array([[int(c) for c in row] for row in rows]) for name, rows in facets.items()
    }
    return CellType(
        dim,
        blocks,
        tuple(int(c) for c in flip),
        np.array([[int(c) for c in row] for row in corners]),
        np.array(reference, dtype=np.float64).reshape(len(flip), dim),
    )


# what an entity is called, by its dimension
KINDS = ("point", "curve", "surface", "volume")

_H = sqrt(3) / 2
_TRIANGLE = [(0, 0), (1, 0), (0.5, _H)]
_SQUARE = [(0, 0), (1, 0), (1, 1), (0, 1)]

CELL_TYPES: dict[str, CellType] = {
    "vertex": _table(0, {}, "0", ["0"], [()]),
    "line": _table(1, {"vertex": ["0", "1"]}, "10", ["01"], [(0,), (1,)]),
    "triangle": _table(2, {"line": ["01", "12", "20"]}, "021", ["012"], _TRIANGLE),
    "quad": _table(
        2, {"line": ["01", "12", "23", "30"]}, "0321", ["013", "120", "231", "302"], _SQUARE
    ),
    "tetra": _table(
        3,
        {"triangle": ["021", "013", "123", "032"]},
        "0213",
        ["0123"],
        [(0, 0, 0), (1, 0, 0), (0.5, _H, 0), (0.5, _H / 3, sqrt(2 / 3))],
    ),
    "hexahedron": _table(
        3,
        {"quad": ["0321", "4567", "0154", "1265", "2376", "3047"]},
        "03214765",
        ["0134", "1205", "2316", "3027", "4750", "5461", "6572", "7643"],
        [(x, y, z) for z in (0, 1) for x, y in _SQUARE],
    ),
    "wedge": _table(
        3,
        {"triangle": ["021", "345"], "quad": ["0143", "1254", "2035"]},
        "021354",
        ["0123", "1204", "2015", "3540", "4351", "5432"],
        [(x, y, z) for z in (0, 1) for x, y in _TRIANGLE],
    ),
    "pyramid": _table(
        3,
        {"triangle": ["014", "124", "234", "304"], "quad": ["0321"]},
        "03214",
        ["0134", "1204", "2314", "3024"],
        [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0.5, 0.5, sqrt(0.5))],
    ),
}


def cell_type(name: str) -> CellType:
    """The tables of a cell type.

    Raises:
        ValueError: a name that is none of the linear types.
    """
    if name not in CELL_TYPES:
        raise ValueError(
            f"unknown cell type {name!r}; expected one of {', '.join(CELL_TYPES)} (meshio names). "
            "Second-order cells must be reduced to their corners, as meshgnn.read does"
        )
    return CELL_TYPES[name]

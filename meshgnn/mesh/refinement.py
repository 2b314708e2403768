"""Uniform refinement: every cell cut in halves along each of its edges, groups alike."""

from functools import cache

import numpy as np
from jaxtyping import Float, Int

from meshgnn.mesh.cells import cell_type
from meshgnn.mesh.groups import Group, cell_positions
from meshgnn.mesh.measures import simplex_measures
from meshgnn.mesh.topology import Cells, row_keys

# What remains of a cell between the children at its vertices. A node is written as the vertices
# whose mean it is; the order of each cell is put right below.
_INNER = {
    "triangle": [[("triangle", "01 12 02")]],
    "wedge": [
        [("wedge", "01 12 02 0134 1245 0235"), ("wedge", "0134 1245 0235 34 45 35")],
    ],
    "pyramid": [
        [("pyramid", "04 14 24 34 0123")]
        + [("tetra", f"{i}{j} {i}4 {j}4 0123") for i, j in ("01", "12", "23", "03")],
    ],
    # the octahedron inside a tetrahedron is cut around one of its three diagonals
    "tetra": [
        [("tetra", f"{diagonal} {side}") for side in sides]
        for diagonal, sides in (
            ("01 23", ["02 03", "03 13", "13 12", "12 02"]),
            ("02 13", ["01 03", "03 23", "23 12", "12 01"]),
            ("03 12", ["01 02", "02 23", "23 13", "13 01"]),
        )
    ],
}


def refined(
    points: Float[np.ndarray, "N d"], cells: Cells, groups: dict[str, Group]
) -> tuple[Float[np.ndarray, "R d"], Cells, dict[str, Group]]:
    """Points, cells and groups of the mesh with half the edge lengths.

    New points are the means of edges, quadrilaterals and hexahedra, after the old ones and in this
    order. Line 2, triangle and quad 4, tetra, hexahedron and wedge 8 children of their own type;
    a pyramid becomes 6 pyramids and 4 tetrahedra. Of the three diagonals inside a tetrahedron the
    shortest is taken, the one that keeps quality (Zhang 1995). Every cell of the mesh gives rise to
    cells that fill it, so that groups, volume and boundary stay as they are (flat facets).

    Source: Bey, Tetrahedral grid refinement, Computing 55 (1995), 355-378, section 2; S. Zhang,
    Successive subdivisions of tetrahedra, Houston J. Math. 21 (1995), 541-556.
    """
    dim = max(cell_type(name).dim for name in cells)
    lower = {name: group for name, group in groups.items() if group.dim < dim}
    parts = [cells, *(group.cells for group in lower.values())]
    nodes, points = _new_nodes(points, parts)
    children = [
        {name: _children(name, table, points) for name, table in tables.items()} for tables in nodes
    ]
    result = {}
    for name, group in groups.items():
        if group.dim < dim:
            result[name] = Group(group.dim, _merged(children[1 + list(lower).index(name)]))
            continue
        chosen = np.zeros(sum(len(block) for block in cells.values()), dtype=bool)
        chosen[cell_positions(name, group, cells, len(points))] = True
        ends = np.cumsum([len(block) for block in cells.values()])
        masks = dict(zip(cells, np.split(chosen, ends[:-1]), strict=True))
        own = {
            parent: {kind: rows[masks[parent]] for kind, rows in kinds.items()}
            for parent, kinds in children[0].items()
        }
        result[name] = Group(dim, _merged(own))
    return points, _merged(children[0]), result


def _merged(children: dict[str, dict[str, np.ndarray]]) -> Cells:
    """{child type: [M', k]} of all parents, blocks in the order of the parents' types."""
    merged: dict[str, list[np.ndarray]] = {}
    for kinds in children.values():
        for kind, rows in kinds.items():
            merged.setdefault(kind, []).append(rows.reshape(-1, rows.shape[2]))
    return {kind: np.concatenate(rows) for kind, rows in merged.items()}


def _centred(name: str) -> list[tuple[int, ...]]:
    """Local vertices of the parts whose mean is a node: edges, quadrilaterals, the hexahedron."""
    kind = cell_type(name)
    parts = [*kind.edges.tolist(), *kind.facets.get("quad", np.zeros((0, 4), int)).tolist()]
    if kind.dim > 1 and kind.size == 2**kind.dim:
        parts.append(list(range(kind.size)))
    return [tuple(part) for part in parts]


def _new_nodes(
    points: Float[np.ndarray, "N d"], parts: list[Cells]
) -> tuple[list[Cells], Float[np.ndarray, "R d"]]:
    """Per block a table [M, k + new] of its nodes, numbered alike wherever blocks share them."""
    blocks = [
        (part, name, block) for part, cells in enumerate(parts) for name, block in cells.items()
    ]
    columns: list[list[np.ndarray]] = [[block] for _, _, block in blocks]
    nodes, count = [points], len(points)
    for size in (2, 4, 8):
        local = [[c for c in _centred(name) if len(c) == size] for _, name, _ in blocks]
        rows = [
            block[:, np.array(c)].reshape(-1, size) if c else np.zeros((0, size), np.int64)
            for (_, _, block), c in zip(blocks, local, strict=True)
        ]
        every = np.concatenate(rows)
        _, first, number = np.unique(
            row_keys(every, len(points)), return_index=True, return_inverse=True
        )
        nodes.append(points[every[first]].mean(axis=1))
        ends = np.cumsum([len(r) for r in rows])[:-1]
        for column, (_, _, block), c, ids in zip(
            columns, blocks, local, np.split(number, ends), strict=True
        ):
            column.append(ids.reshape(len(block), len(c)) + count)
        count += len(first)
    tables: list[Cells] = [{} for _ in parts]
    for (part, name, _), column in zip(blocks, columns, strict=True):
        tables[part][name] = np.concatenate(column, axis=1)
    return tables, np.concatenate(nodes)


@cache
def _templates(name: str) -> list[dict[str, Int[np.ndarray, "c k"]]]:
    """Ways to cut a cell: {child type: columns of its node table}, children of positive volume."""
    kind = cell_type(name)
    parts = [frozenset([v]) for v in range(kind.size)] + [frozenset(c) for c in _centred(name)]
    column = {part: i for i, part in enumerate(parts)}
    place = np.array([kind.reference[sorted(part)].mean(axis=0) for part in parts])
    at_vertices = [[column[kind.span(v, w)] for w in range(kind.size)] for v in range(kind.size)]
    ways = []
    for inner in _INNER.get(name, [[]]):
        cut = {name: list(at_vertices)}
        for child, text in inner:
            row = [column[frozenset(int(v) for v in node)] for node in text.split()]
            other = cell_type(child)
            corner = np.array(row)[other.corners[:1]]
            if simplex_measures(place, corner)[0] < 0:
                row = [row[i] for i in other.flip]
            cut.setdefault(child, []).append(row)
        ways.append({child: np.array(rows) for child, rows in cut.items()})
    return ways


def _children(
    name: str, table: Int[np.ndarray, "M n"], points: Float[np.ndarray, "R d"]
) -> dict[str, Int[np.ndarray, "M c k"]]:
    """{child type: children of every cell}."""
    ways = _templates(name)
    result = {child: table[:, rows] for child, rows in ways[0].items()}
    if name != "tetra":
        return result
    # columns 4 ... 9 are the mid points of 01 02 03 12 13 23: opposite ones bound a diagonal
    ends = points[table[:, 4:]]
    shortest = np.linalg.norm(ends[:, :3] - ends[:, [5, 4, 3]], axis=2).argmin(axis=1)
    for way in (1, 2):
        result[name][shortest == way] = table[shortest == way][:, ways[way][name]]
    return result

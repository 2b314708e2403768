"""Who touches whom: edges, boundary facets, components, the split into simplices."""

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from meshgnn.mesh.cells import cell_type

Cells = dict[str, Int[np.ndarray, "_ _"]]


def row_keys(rows: Int[np.ndarray, "R k"], num_nodes: int) -> Int[np.ndarray, " R"]:
    """One integer per row, equal exactly for rows with the same vertices in any order.

    key = ((v_0 n + v_1) n + v_2) ... over the sorted vertices; where that would overflow 63 bits
    the partial keys are replaced by their ranks first, so keys are exact at every size. They are
    comparable within one call only.
    """
    if rows.shape[1] == 2:
        low, high = np.minimum(rows[:, 0], rows[:, 1]), np.maximum(rows[:, 0], rows[:, 1])
        return low * num_nodes + high
    columns = np.sort(rows, axis=1).T
    key, bound = columns[0], num_nodes
    for column in columns[1:]:
        if bound * num_nodes >= 2**63:
            ranks, key = np.unique(key, return_inverse=True)
            bound = len(ranks)
        key, bound = key * num_nodes + column, bound * num_nodes
    return key


def match_rows(
    rows: Int[np.ndarray, "Q k"], table: Int[np.ndarray, "R k"], num_nodes: int
) -> Int[np.ndarray, " Q"]:
    """Position in `table` of the row with the same vertices (any order); -1 where there is none."""
    if not len(rows) or not len(table):
        return np.full(len(rows), -1)
    keys = row_keys(np.concatenate([rows, table]), num_nodes)
    wanted, keys = keys[: len(rows)], keys[len(rows) :]
    order = np.argsort(keys, kind="stable")
    place = np.searchsorted(keys[order], wanted)
    found = order[np.minimum(place, len(keys) - 1)]
    return np.where(keys[found] == wanted, found, -1)


def unique_edges(cells: Cells, num_nodes: int) -> Int[np.ndarray, "E 2"]:
    """Edges i < j of the cells, sorted by (i, j); a quad has 4 and never a diagonal."""
    keys = [
        row_keys(block[:, cell_type(name).edges].reshape(-1, 2), num_nodes)
        for name, block in cells.items()
    ]
    keys = np.sort(np.concatenate(keys))
    # np.unique hashes integers, at six times the cost of this
    keys = keys[np.diff(keys, prepend=-1) > 0]
    return np.stack(np.divmod(keys, num_nodes), axis=1)


def half_facets(cells: Cells) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{facet type: (rows [H, k] with the outward winding, owner cell [H])}, in cell order."""
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    start = 0
    for name, block in cells.items():
        for facet, local in cell_type(name).facets.items():
            owner = np.repeat(np.arange(start, start + len(block)), len(local))
            rows = block[:, local].reshape(-1, local.shape[1])
            parts.setdefault(facet, []).append((rows, owner))
        start += len(block)
    return {
        facet: (np.concatenate([r for r, _ in found]), np.concatenate([o for _, o in found]))
        for facet, found in parts.items()
    }


def boundary(cells: Cells, num_nodes: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The half facets that belong to one cell only: {facet type: (rows [F, k], owner [F])}."""
    result = {}
    for facet, (rows, owner) in half_facets(cells).items():
        keys = row_keys(rows, num_nodes)
        ordered = np.sort(keys)
        differs = np.concatenate([[True], ordered[1:] != ordered[:-1], [True]])
        single = ordered[differs[1:] & differs[:-1]]
        if len(single):
            place = np.minimum(np.searchsorted(single, keys), len(single) - 1)
            chosen = np.flatnonzero(single[place] == keys)
            result[facet] = (rows[chosen], owner[chosen])
    return result


def node_components(edges: Int[np.ndarray, "E 2"], num_nodes: int) -> Int[np.ndarray, " N"]:
    """Label of the connected component of every node; a node without edges is its own."""
    ones = np.ones(len(edges), dtype=bool)
    graph = coo_array((ones, (edges[:, 0], edges[:, 1])), shape=(num_nodes, num_nodes))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def split(name: str, block: Int[np.ndarray, "M k"]) -> Int[np.ndarray, "M S n"]:
    """Simplices of every cell, S of them: cones from the lowest vertex over the other facets.

    Facets that are quadrilaterals are cut at their own lowest vertex, so two cells that share one
    cut it alike: the split conforms whatever the cells are. It depends on the numbering only,
    never on the coordinates. Orientation is kept.

    Source: Dompierre, Labbé, Vallet, Camarero, How to Subdivide Pyramids, Prisms and Hexahedra
    into Tetrahedra, 8th International Meshing Roundtable, 1999 (the lowest-vertex rule).
    """
    kind = cell_type(name)
    if kind.size == kind.dim + 1:
        return block[:, None, :]
    lowest = block.argmin(axis=1)
    parts = np.empty((len(block), _SIMPLICES[name], kind.dim + 1), dtype=np.int64)
    for apex in range(kind.size):
        chosen = np.flatnonzero(lowest == apex)
        if not len(chosen):
            continue
        cones = []
        for facet, local in kind.facets.items():
            for row in local[(local != apex).all(axis=1)]:
                pieces = split(facet, block[chosen][:, row])
                tip = np.broadcast_to(block[chosen, apex, None, None], (*pieces.shape[:2], 1))
                cones.append(np.concatenate([tip, pieces], axis=2))
        parts[chosen] = np.concatenate(cones, axis=1)
    return parts


def simplices(cells: Cells) -> tuple[Int[np.ndarray, "S n"], Int[np.ndarray, " S"]]:
    """Simplices of all cells, in cell order, and the cell of each."""
    parts = [split(name, block) for name, block in cells.items()] or [np.zeros((0, 0, 1), np.int64)]
    counts = np.concatenate([np.full(len(part), part.shape[1]) for part in parts])
    rows = np.concatenate([part.reshape(-1, part.shape[2]) for part in parts])
    return rows, np.repeat(np.arange(len(counts)), counts)


_SIMPLICES = {"quad": 2, "hexahedron": 6, "wedge": 3, "pyramid": 2}


def winding(rows: Int[np.ndarray, "R k"]) -> Bool[np.ndarray, " R"]:
    """A bit that differs exactly between the two ways to go round the same vertices (k >= 2)."""
    if rows.shape[1] == 2:
        return rows[:, 0] < rows[:, 1]
    lowest, row = rows.argmin(axis=1), np.arange(len(rows))
    return rows[row, (lowest + 1) % rows.shape[1]] < rows[row, lowest - 1]

"""What a file holds to a mesh: linear cells of one dimension, no duplicates, no loose ends.

Nothing goes in silence: every kind of loss is one warning that gives its count.
"""

import warnings
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from meshgnn.io.raw import Block, Raw, Rows
from meshgnn.mesh import CELL_TYPES, Group, Mesh
from meshgnn.mesh.groups import labels
from meshgnn.mesh.topology import Cells, half_facets, match_rows, row_keys, unique_edges


def cleaned(raw: Raw) -> tuple[Mesh, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The mesh of the cells of the highest dimension, and the arrays on its nodes and cells.

    Cells of higher order become their corners, duplicates and nodes of no cell are dropped, cells
    of lower dimension live on in groups only; cells are oriented alike.

    Raises:
        ValueError: no cells.
    """
    dim = max((CELL_TYPES[kind].dim for kind, rows, _ in raw.blocks if len(rows)), default=0)
    if dim == 0:
        raise ValueError("expected cells of dimension 1, 2 or 3, got none; points are no mesh")
    top = [block for block in raw.blocks if CELL_TYPES[block[0]].dim == dim]
    cells, places = _cells(top, raw)
    used = np.zeros(len(raw.points), bool)
    for rows in cells.values():
        used[rows] = True
    _warn_of_nodes(used, top)
    _warn_of_dangling(raw, dim, cells, used)
    groups = _groups(raw, dim, cells, used)
    index = np.cumsum(used) - 1
    mesh = Mesh(
        raw.points[used],
        {kind: index[rows] for kind, rows in cells.items()},
        {
            name: Group(d, {kind: index[rows] for kind, rows in parts.items()})
            for name, (d, parts) in groups.items()
        },
    )
    point = {name: array.compress(used, raw.axis) for name, array in raw.point.items()}
    cell = {name: array.take(places, raw.axis) for name, array in raw.cell.items()}
    return mesh.oriented(), point, cell


def _cells(blocks: list[Block], raw: Raw) -> tuple[Cells, Int[np.ndarray, " M"]]:
    """Corners by type, each cell once, and where it was in the file."""
    cells, kept, duplicates = {}, [], 0
    for kind, parts in _by_type([(kind, (rows, places)) for kind, rows, places in blocks]).items():
        rows = np.concatenate([_corners(kind, rows) for rows, _ in parts])
        places = np.concatenate([places for _, places in parts])
        keys = row_keys(rows, len(raw.points))
        first = _first(keys)
        if len(first) < len(rows):
            where = np.zeros(len(rows), np.int64) if raw.region is None else raw.region[places]
            duplicates += len(rows) - len(np.unique(np.stack([keys, where], axis=1), axis=0))
        cells[kind] = rows[first]
        kept.append(places[first])
    if duplicates:
        warnings.warn(f"{duplicates} duplicate cells were dropped", stacklevel=5)
    return cells, np.concatenate(kept)


def _by_type(pairs: list[tuple[str, Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for kind, item in pairs:
        found.setdefault(kind, []).append(item)
    return found


def _corners(kind: str, rows: Rows) -> Rows:
    return rows[:, : CELL_TYPES[kind].size]


def _first(keys: Int[np.ndarray, " M"]) -> Int[np.ndarray, " K"]:
    """Where each key occurs first, ascending."""
    return np.sort(np.unique(keys, return_index=True)[1])


def _warn_of_nodes(used: Bool[np.ndarray, " N"], top: list[Block]) -> None:
    curved = [rows for kind, rows, _ in top if rows.shape[1] > CELL_TYPES[kind].size]
    known = used.copy()
    for rows in curved:
        known[rows] = True
    if curved:
        warnings.warn(
            f"{sum(map(len, curved))} cells of second or higher order became linear; the "
            f"{known.sum() - used.sum()} nodes that are no corners were dropped",
            stacklevel=5,
        )
    if not known.all():
        warnings.warn(f"{(~known).sum()} unused nodes were dropped", stacklevel=5)


def _warn_of_dangling(raw: Raw, dim: int, cells: Cells, used: Bool[np.ndarray, " N"]) -> None:
    """Beams and the like; loose points are unused nodes and counted there."""
    lost: dict[str, int] = {}
    for kind, rows, _ in raw.blocks:
        if 0 < CELL_TYPES[kind].dim < dim:
            loose = ~_attached(kind, _corners(kind, rows), dim, cells, used)
            lost[kind] = lost.get(kind, 0) + int(loose.sum())
    if any(lost.values()):
        counts = ", ".join(f"{count} {kind}" for kind, count in lost.items() if count)
        warnings.warn(
            f"cells that are no facet or edge of a cell of dimension {dim} were dropped: {counts}",
            stacklevel=5,
        )


def _attached(
    kind: str, rows: Rows, dim: int, cells: Cells, used: Bool[np.ndarray, " N"]
) -> Bool[np.ndarray, " M"]:
    """Which of these are cells of the mesh, or facets, edges or vertices of them."""
    d = CELL_TYPES[kind].dim
    if d == dim or not len(rows):
        return np.ones(len(rows), bool)
    if d == 0:
        return used[rows[:, 0]]
    marked = np.zeros(len(used), bool)
    marked[rows] = True
    near = {name: block[marked[block].sum(1) >= rows.shape[1]] for name, block in cells.items()}
    near = {name: block for name, block in near.items() if len(block)}
    if not near:
        return np.zeros(len(rows), bool)
    if d == dim - 1:
        table = half_facets(near).get(kind, (rows[:0], None))[0]
    else:
        table = unique_edges(near, len(used))
    return match_rows(rows, table, len(used)) >= 0


def _groups(
    raw: Raw, dim: int, cells: Cells, used: Bool[np.ndarray, " N"]
) -> dict[str, tuple[int, Cells]]:
    """{name: (dimension, vertices by type)} of what belongs to the cells, each entity once."""
    groups = {}
    for name, (d, parts) in _by_dimension(raw, dim).items():
        kept, lost = {}, 0
        for kind, blocks in _by_type(parts).items():
            rows = np.concatenate([_corners(kind, block) for block in blocks])
            rows = rows[_first(row_keys(rows, len(used)))]
            attached = _attached(kind, rows, dim, cells, used)
            lost += int((~attached).sum())
            if attached.any():
                kept[kind] = rows[attached]
        if lost:
            warnings.warn(
                f"group {name!r}: {lost} elements of dimension {d} belong to no cell and were "
                "dropped",
                stacklevel=5,
            )
        if kept:
            groups[name] = d, kept
        elif not lost:
            warnings.warn(f"group {name!r} has no elements in the file", stacklevel=5)
    return groups


def _by_dimension(raw: Raw, dim: int) -> dict[str, tuple[int, list[tuple[str, Rows]]]]:
    """Groups of one dimension each; a name that is used in several gets the kind behind it."""
    dims = {
        name: {CELL_TYPES[kind].dim for kind, _ in parts} or {dim}
        for name, parts in raw.groups.items()
    }
    return {
        label: (d, [part for part in raw.groups[name] if CELL_TYPES[part[0]].dim == d])
        for (name, d), label in labels(dims, dim, stacklevel=6).items()
    }

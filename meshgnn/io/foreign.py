"""What meshio reads: .inp, .med, .stl, .obj, .ply, .xdmf, .su2 and some twenty more.

The only module that imports meshio. Its sets become groups; so do the integer tags by which formats
without names mark the parts of the boundary.
"""

import io
import re
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import meshio
import numpy as np

from meshgnn.io.raw import Block, Raw, Rows
from meshgnn.mesh import CELL_TYPES, KINDS

# Integer cell arrays by which a format tells the parts of the boundary.
_TAGS = ("gmsh:physical", "medit:ref", "su2:tag", "netgen:index", "cell_tags", "tetgen:ref")
_FAMILY = re.compile(r"(vertex|line|triangle|quad|tetra|hexahedron|wedge|pyramid)\d*")


def read_foreign(path: Path) -> Raw:
    """Cells, sets, tags and arrays of a file that meshio reads.

    Raises:
        ValueError: meshio knows no such format, or cannot read the file; a cell type that has no
            linear counterpart here.
    """
    mesh = _read(path)
    blocks, start = [], 0
    for block in mesh.cells:
        blocks.append((*_linear(block), start + np.arange(len(block))))
        start += len(block)
    cell = {name: _whole(parts, mesh.cells) for name, parts in mesh.cell_data.items()}
    points = np.asarray(mesh.points, np.float64)
    groups = {**_sets(mesh, blocks), **_tagged(mesh, blocks)}
    point = {name: np.asarray(array) for name, array in mesh.point_data.items()}
    return Raw(points, blocks, groups, point, cell)


def _read(path: Path) -> meshio.Mesh:
    """meshio.read, whose complaints go to the console and whose failure ends the process."""
    known = {".msh", ".vtu", ".vtp", ".pvd", ".vtkhdf", *meshio.extension_to_filetypes}
    if path.suffix.lower() not in known:
        listed = " ".join(sorted(known))
        raise ValueError(f"unknown format {path.suffix!r}; known are geometry and {listed}")
    said, warned = io.StringIO(), io.StringIO()
    try:
        # Its .stl reader takes the first bytes of ASCII files for a number, which overflows.
        with redirect_stdout(said), redirect_stderr(warned), np.errstate(over="ignore"):
            mesh = meshio.read(path)
    except (Exception, SystemExit) as error:  # each of its readers fails in its own way
        reason = said.getvalue().strip() or str(error)
        raise ValueError(f"meshio cannot read it: {reason}") from error
    text = " ".join(warned.getvalue().split())
    if text:
        warnings.warn(f"{path.name}, read by meshio: {text}", stacklevel=6)
    return mesh


def _linear(block: meshio.CellBlock) -> tuple[str, Rows]:
    kind, rows = block.type, np.asarray(block.data)
    if match := _FAMILY.fullmatch(kind):
        return match[1], rows.astype(np.int64)
    if kind == "polygon" and rows.ndim == 2 and rows.shape[1] in (3, 4):
        return ("triangle", "quad")[rows.shape[1] - 3], rows.astype(np.int64)
    raise ValueError(
        f"{len(block)} cells of type {kind!r} have no counterpart here; the cells are "
        f"{', '.join(CELL_TYPES)}"
    )


def _whole(parts: Sequence[Any], blocks: Sequence[meshio.CellBlock]) -> np.ndarray:
    """One array for all cells, NaN on the blocks that have none."""
    shape = next(np.shape(part)[1:] for part in parts if part is not None)
    return np.concatenate(
        [
            np.full((len(block), *shape), np.nan) if part is None else np.asarray(part)
            for part, block in zip(parts, blocks, strict=True)
        ]
    )


def _sets(mesh: meshio.Mesh, blocks: list[Block]) -> dict[str, list[tuple[str, Rows]]]:
    groups: dict[str, list[tuple[str, Rows]]] = {}
    for name, nodes in mesh.point_sets.items():
        groups[name] = [("vertex", np.asarray(nodes, np.int64)[:, None])]
    for name, parts in mesh.cell_sets.items():
        if name.startswith("gmsh:"):
            continue
        for (kind, rows, _), chosen in zip(blocks, parts, strict=True):
            picked = rows[:0] if chosen is None else rows[np.asarray(chosen, np.int64)]
            if len(picked):
                groups.setdefault(name, []).append((kind, picked))
    return groups


def _tagged(mesh: meshio.Mesh, blocks: list[Block]) -> dict[str, list[tuple[str, Rows]]]:
    """Parts by tag, under the names that the file gives the tag, else as `curve_7`."""
    names: dict[tuple[int, int], list[str]] = {}
    fields: dict[str, Any] = dict(mesh.field_data)
    for name, value in fields.items():
        # [tag, dimension]; other formats keep other things there
        if len(value) == 2 and all(isinstance(number, int | np.integer) for number in value):
            names[int(value[1]), int(value[0])] = [name]
    groups: dict[str, list[tuple[str, Rows]]] = {}
    for tags in (mesh.cell_data[name] for name in _TAGS if name in mesh.cell_data):
        for (kind, rows, _), values in zip(blocks, map(np.asarray, tags), strict=True):
            dim = CELL_TYPES[kind].dim
            for tag in np.unique(values[values != 0]).tolist():
                # .med: a tag stands for the set of groups that a cell is in
                listed = getattr(mesh, "cell_tags", {}).get(tag) or names.get((dim, tag))
                for name in listed or [f"{KINDS[dim]}_{abs(tag)}"]:
                    groups.setdefault(name, []).append((kind, rows[values == tag]))
    for tag, listed in getattr(mesh, "point_tags", {}).items():
        nodes = np.flatnonzero(np.asarray(mesh.point_data["point_tags"]) == tag)
        for name in listed:
            groups.setdefault(name, []).append(("vertex", nodes[:, None]))
    return groups

"""What meshio reads: .inp, .med, .stl, .obj, .ply, .xdmf, .su2 and some twenty more.

The only module that imports meshio. Its sets become groups; so do the integer tags by which formats
without names mark the parts of the boundary.
"""

import io
import re
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import meshio
import numpy as np

from meshgnn.io.raw import Block, Raw, Rows
from meshgnn.mesh import CELL_TYPES

_KIND = ("point", "curve", "surface", "volume")
# Integer cell arrays by which a format tells the parts of the boundary.
_TAGS = ("gmsh:physical", "medit:ref", "su2:tag", "netgen:index", "cell_tags", "tetgen:ref")
_FAMILY = re.compile(r"(vertex|line|triangle|quad|tetra|hexahedron|wedge|pyramid)\d*")
_LAGRANGE = {
    "CURVE": "line",
    "TRIANGLE": "triangle",
    "QUADRILATERAL": "quad",
    "TETRAHEDRON": "tetra",
    "HEXAHEDRON": "hexahedron",
    "WEDGE": "wedge",
    "PYRAMID": "pyramid",
}


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
    cell = {
        name: np.concatenate([np.asarray(part) for part in parts])
        for name, parts in mesh.cell_data.items()
    }
    points = np.asarray(mesh.points, np.float64)
    groups = {**_sets(mesh, blocks), **_tagged(mesh, blocks)}
    return Raw(points, blocks, groups, dict(mesh.point_data), cell)


def _read(path: Path) -> meshio.Mesh:
    """meshio.read, whose complaints go to the console and whose failure ends the process."""
    said, warned = io.StringIO(), io.StringIO()
    try:
        # Its .stl reader takes the first bytes of ASCII files for a number, which overflows.
        with redirect_stdout(said), redirect_stderr(warned), np.errstate(over="ignore"):
            mesh = meshio.read(path)
    except (Exception, SystemExit) as error:  # each of its readers fails in its own way
        reason = said.getvalue().strip() or str(error)
        raise ValueError(f"meshio cannot read it: {reason}") from error
    text = " ".join(warned.getvalue().split())
    if "cannot handle" in text:
        raise ValueError(f"meshio leaves cells out: {text}; save it as .vtu, in ParaView say")
    if text:
        warnings.warn(f"{path.name}, read by meshio: {text}", stacklevel=6)
    return mesh


def _linear(block: meshio.CellBlock) -> tuple[str, Rows]:
    kind, rows = block.type, np.asarray(block.data)
    if match := _FAMILY.fullmatch(kind):
        return match[1], rows.astype(np.int64)
    if kind.startswith(("VTK_LAGRANGE_", "VTK_BEZIER_")):
        return _LAGRANGE[kind.rsplit("_", 1)[1]], rows.astype(np.int64)
    if kind == "polygon" and rows.ndim == 2 and rows.shape[1] in (3, 4):
        return ("triangle", "quad")[rows.shape[1] - 3], rows.astype(np.int64)
    if kind == "pixel":
        return "quad", rows[:, [0, 1, 3, 2]].astype(np.int64)
    raise ValueError(
        f"{len(block)} cells of type {kind!r} have no counterpart here; the cells are "
        f"{', '.join(CELL_TYPES)}"
    )


def _sets(mesh: meshio.Mesh, blocks: list[Block]) -> dict[str, list[tuple[str, Rows]]]:
    groups: dict[str, list[tuple[str, Rows]]] = {}
    for name, nodes in mesh.point_sets.items():
        groups[name] = [("vertex", np.asarray(nodes, np.int64)[:, None])]
    for name, parts in mesh.cell_sets.items():
        if name.startswith("gmsh:"):
            continue
        for (kind, rows, _), chosen in zip(blocks, parts, strict=True):
            if chosen is not None and len(chosen):
                groups.setdefault(name, []).append((kind, rows[np.asarray(chosen)]))
    return groups


def _tagged(mesh: meshio.Mesh, blocks: list[Block]) -> dict[str, list[tuple[str, Rows]]]:
    """Parts by tag, under the name that the file gives the tag, else as `curve_7`."""
    names = {
        (int(value[1]), int(value[0])): name
        for name, value in mesh.field_data.items()
        if np.shape(value) == (2,)
    }
    groups: dict[str, list[tuple[str, Rows]]] = {}
    for tags in (mesh.cell_data[name] for name in _TAGS if name in mesh.cell_data):
        for (kind, rows, _), values in zip(blocks, tags, strict=True):
            dim = CELL_TYPES[kind].dim
            for tag in np.unique(values[values != 0]):
                name = names.get((dim, int(tag)), f"{_KIND[dim]}_{tag}")
                groups.setdefault(name, []).append((kind, rows[values == tag]))
    return groups

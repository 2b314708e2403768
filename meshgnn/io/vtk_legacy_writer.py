"""Frames to a binary legacy .vtk file, version 4.2, which every VTK reads."""

from pathlib import Path
from urllib.parse import quote

import numpy as np

from meshgnn.atomic import replacing
from meshgnn.frames import Frames, flattened, in_space, marks, packed
from meshgnn.io.vtk_xml_reader import GROUPS, INDEX

_NAMES = {
    **{"i1": "char", "i2": "short", "i4": "int", "i8": "vtktypeint64"},
    **{"u1": "unsigned_char", "u2": "unsigned_short", "u4": "unsigned_int", "u8": "vtktypeuint64"},
    **{"f4": "float", "f8": "double"},
}


def write_legacy(path: Path, frames: Frames) -> None:
    """Write one state; groups are arrays `group:<name>`, and whole in field data."""
    mesh = frames.mesh
    index, groups = packed(frames)
    connectivity, offsets, types = flattened(mesh)
    cells = np.insert(connectivity, offsets[:-1], np.diff(offsets))
    point, cell = marks(mesh)
    parts = [
        b"# vtk DataFile Version 4.2\nmeshgnn\nBINARY\nDATASET UNSTRUCTURED_GRID\n",
        _field({INDEX: np.frombuffer(index, np.uint8), GROUPS: groups}),
        f"POINTS {mesh.num_nodes} double\n".encode(),
        _big(in_space(mesh.points), "f8"),
        f"CELLS {mesh.num_cells} {len(cells)}\n".encode(),
        _big(cells, "i4"),
        f"CELL_TYPES {mesh.num_cells}\n".encode(),
        _big(types, "i4"),
        f"POINT_DATA {mesh.num_nodes}\n".encode(),
        _field({**point, **frames.point}),
        f"CELL_DATA {mesh.num_cells}\n".encode(),
        _field({**cell, **frames.cell}),
    ]
    with replacing(path) as aside:
        aside.write_bytes(b"".join(parts))


def _field(arrays: dict[str, np.ndarray]) -> bytes:
    parts = [f"FIELD FieldData {len(arrays)}\n".encode()]
    for name, array in arrays.items():
        kind = array.dtype.str[1:]
        columns = array.shape[1] if array.ndim == 2 else 1
        parts += [
            f"{quote(name, safe=':()[],')} {columns} {len(array)} {_NAMES[kind]}\n".encode(),
            _big(array, kind),
        ]
    return b"".join(parts)


def _big(array: np.ndarray, kind: str) -> bytes:
    return np.ascontiguousarray(array, f">{kind}").tobytes() + b"\n"

"""Frames to .vtu with raw appended data, and to .pvd series of them.

Source: VTK file formats, https://docs.vtk.org/en/latest/design_documents/VTKFileFormats.html.
"""

from contextlib import ExitStack
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from meshgnn.atomic import replacing
from meshgnn.frames import Frames, flattened, in_space, marks, packed
from meshgnn.io.vtk_xml_reader import GROUPS, INDEX

_KINDS = {"i": "Int", "u": "UInt", "f": "Float"}


def write_vtu(path: Path, frames: Frames) -> None:
    """Write one state to a .vtu file; groups are arrays `group:<name>`, and whole in field data."""
    index, groups = packed(frames)
    with replacing(path) as aside:
        aside.write_bytes(_vtu(frames, index, groups))


def write_pvd(path: Path, frames: Frames) -> None:
    """Write a .vtu file for each time into a folder called like the file, then the .pvd.

    All files are written aside before the first takes its place, so that an interrupted write
    leaves the series that was there. Files in that folder that are named as those of later times
    would be, of a longer series that was there before, are removed at the end.

    Raises:
        FileExistsError: a file has the name of the folder.
        OSError: the folder cannot be made or written to.
    """
    index, groups = packed(frames)
    folder = path.with_suffix("")
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(
            f"cannot write {path}: the folder of its series would be {folder}, which is a file; "
            "give another name"
        )
    with ExitStack() as renames:  # in reverse order: the .pvd comes last
        aside = renames.enter_context(replacing(path))
        folder.mkdir(exist_ok=True)
        times = [0.0] if frames.times is None else frames.times.tolist()
        lines = []
        for k, time in enumerate(times):
            file = _piece(path, k)
            piece = renames.enter_context(replacing(file))
            piece.write_bytes(_vtu(frames.at(k), index, groups))
            name = quoteattr(f"{folder.name}/{file.name}")
            lines.append(f'    <DataSet timestep="{time!r}" part="0" file={name}/>')
        listed = "\n".join(lines)
        aside.write_text(
            f'<VTKFile type="Collection" version="0.1" byte_order="LittleEndian">\n  <Collection>\n'
            f"{listed}\n  </Collection>\n</VTKFile>\n",
            encoding="utf-8",
        )
    for file in folder.glob("*.vtu"):
        number = file.stem.removeprefix(f"{path.stem}_")
        if number.isdecimal() and int(number) >= len(times) and file == _piece(path, int(number)):
            file.unlink()


def _piece(path: Path, k: int) -> Path:
    """The file of time k in the series of a .pvd."""
    return path.with_suffix("") / f"{path.stem}_{k:05d}.vtu"


class _Appended:
    """Arrays behind the XML, and the elements that point at them."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self.at = 0

    def element(self, name: str, array: np.ndarray, tuples: bool = False) -> str:
        """The DataArray element of an array that is appended."""
        data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        kind = f"{_KINDS[array.dtype.kind]}{8 * array.dtype.itemsize}"
        columns = array.shape[1] if array.ndim == 2 else 1
        count = f' NumberOfTuples="{len(array)}"' if tuples else ""
        text = (
            f'<DataArray type="{kind}" Name={quoteattr(name)} NumberOfComponents="{columns}"{count}'
            f' format="appended" offset="{self.at}"/>\n'
        )
        self.blocks += [np.array(len(data), "<u8").tobytes(), data]
        self.at += 8 + len(data)
        return text


def _vtu(frames: Frames, index: bytes, groups: np.ndarray) -> bytes:
    mesh, appended = frames.mesh, _Appended()
    connectivity, offsets, types = flattened(mesh)
    point, cell = marks(mesh)
    cells = {"connectivity": connectivity, "offsets": offsets[1:], "types": types}
    parts = {
        "PointData": {**point, **frames.point},
        "CellData": {**cell, **frames.cell},
        "Points": {"Points": in_space(mesh.points)},
        "Cells": cells,
    }
    beside = "".join(
        appended.element(name, array, tuples=True)
        for name, array in ((INDEX, np.frombuffer(index, np.uint8)), (GROUPS, groups))
    )
    elements = "".join(
        f"<{tag}>\n{''.join(appended.element(name, a) for name, a in arrays.items())}</{tag}>\n"
        for tag, arrays in parts.items()
    )
    head = (
        '<?xml version="1.0"?>\n<VTKFile type="UnstructuredGrid" version="1.0" '
        'byte_order="LittleEndian" header_type="UInt64">\n<UnstructuredGrid>\n'
        f"<FieldData>\n{beside}</FieldData>\n"
        f'<Piece NumberOfPoints="{mesh.num_nodes}" NumberOfCells="{mesh.num_cells}">\n{elements}'
        '</Piece>\n</UnstructuredGrid>\n<AppendedData encoding="raw">\n_'
    )
    return b"".join([head.encode(), *appended.blocks, b"\n</AppendedData>\n</VTKFile>\n"])

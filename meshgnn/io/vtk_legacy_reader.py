"""VTK's legacy files (.vtk, versions 1 to 5, ASCII and binary) to grids.

meshio's reader knows neither surfaces (POLYDATA) nor the 64-bit arrays that VTK writes today.

Source: VTK file formats, https://docs.vtk.org/en/latest/design_documents/VTKFileFormats.html.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from jaxtyping import Int

from meshgnn.frames import Grid
from meshgnn.io.vtk_xml_reader import GROUPS, INDEX

_DTYPES = {
    "unsigned_char": "u1",
    "char": "i1",
    "unsigned_short": "u2",
    "short": "i2",
    "unsigned_int": "u4",
    "int": "i4",
    "vtkidtype": "i4",
    "unsigned_long": "u8",
    "long": "i8",
    "vtktypeint64": "i8",
    "vtktypeuint64": "u8",
    "float": "f4",
    "double": "f8",
}
_POLYDATA = {"VERTICES": 2, "LINES": 4, "POLYGONS": 7, "TRIANGLE_STRIPS": 6}
_AXES = ("X_COORDINATES", "Y_COORDINATES", "Z_COORDINATES")
# Lines "<word> <name> <type>" and their number of components.
_COLUMNS = {
    **dict.fromkeys(("VECTORS", "NORMALS"), 3),
    **dict.fromkeys(("GLOBAL_IDS", "PEDIGREE_IDS", "EDGE_FLAGS"), 1),
    "TENSORS": 9,
    "TENSORS6": 6,
}
_LATTICE = {
    1: (3, "0 1"),
    2: (9, "00 10 11 01"),
    3: (12, "000 100 110 010 001 101 111 011"),
}


class _Text:
    """A file taken from front to back, lines of words and blocks of numbers."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        if not data.startswith(b"# vtk DataFile Version"):
            raise ValueError("expected '# vtk DataFile Version' in the first line")
        self.version = int(self.line().split()[-1].split(".")[0])
        self.line()
        self.binary = self.line().upper() == "BINARY"

    def line(self) -> str:
        """The next line."""
        end = self._data.find(b"\n", self._at)
        end = len(self._data) if end < 0 else end
        text, self._at = self._data[self._at : end], end + 1
        return text.decode("utf-8", "replace").strip()

    def words(self) -> list[str]:
        """The next line that says something; [] at the end of the file."""
        while self._at < len(self._data):
            words = self.line().split()
            if words and words[0].upper() == "METADATA":  # to the next empty line
                while self._at < len(self._data) and self.line():
                    pass
            elif words:
                return words
        return []

    def numbers(self, count: int, kind: str) -> np.ndarray:
        """The next numbers of a type of VTK."""
        if kind.lower() not in _DTYPES:
            raise ValueError(f"arrays of {kind!r} are not known here; save the file as .vtu")
        dtype = np.dtype(_DTYPES[kind.lower()])
        if self.binary:
            found = np.frombuffer(self._data, dtype.newbyteorder(">"), count, self._at)
            self._at += found.nbytes
            return found.astype(dtype)
        found = self._data[self._at :].split(None, count)
        rest = found.pop() if len(found) > count else b""
        self._at = len(self._data) - len(rest)
        if len(found) < count:
            raise ValueError("the file was cut off")
        exact = np.float64 if dtype.kind == "f" else np.int64
        return np.array(found, "S").astype(exact).astype(dtype)


@dataclass
class _Found:
    """What the lines of a file have given so far."""

    points: np.ndarray | None = None
    cells: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    types: np.ndarray | None = None
    lattice: dict[str, np.ndarray] = field(default_factory=dict)
    arrays: dict[str, dict[str, np.ndarray]] = field(
        default_factory=lambda: {"": {}, "POINT_DATA": {}, "CELL_DATA": {}}
    )
    active: str = ""
    count: int = 0


def read_legacy(path: Path) -> Grid:
    """The grid of a .vtk file: unstructured, a surface, or the cells of a structured one.

    Raises:
        ValueError: a file that was cut off, a line or an array of a kind that is not known.
    """
    text, found = _Text(path.read_bytes()), _Found()
    while words := text.words():
        words[0] = words[0].upper()
        if not (_geometry(text, words, found) or _attribute(text, words, found)):
            raise ValueError(f"unknown line: {' '.join(words)[:80]!r}")
    ours = found.arrays[""]
    return Grid(
        *_grid(found),
        found.arrays["POINT_DATA"],
        found.arrays["CELL_DATA"],
        index=json.loads(ours[INDEX].tobytes()) if INDEX in ours else {},
        groups=ours.get(GROUPS, np.zeros(0, np.int64)),
    )


def _geometry(text: _Text, words: list[str], found: _Found) -> bool:
    word = words[0]
    if word in ("POINT_DATA", "CELL_DATA"):
        found.active, found.count = word, int(words[1])
    elif word == "POINTS":
        found.points = text.numbers(3 * int(words[1]), words[2]).reshape(-1, 3)
    elif word == "CELLS" or word in _POLYDATA:
        found.cells[word] = _cells(text, int(words[1]), int(words[2]))
    elif word == "CELL_TYPES":
        found.types = text.numbers(int(words[1]), "int")
    elif word in ("DIMENSIONS", "ORIGIN", "SPACING", "ASPECT_RATIO"):
        found.lattice[word.replace("ASPECT_RATIO", "SPACING")] = np.array(words[1:], np.float64)
    elif word in _AXES:
        found.lattice[word] = text.numbers(int(words[1]), words[2])
    else:
        return word == "DATASET"
    return True


def _cells(text: _Text, count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Connectivity and the ends of the cells in it."""
    if text.version >= 5:
        offsets = text.numbers(count, text.words()[1])
        return text.numbers(size, text.words()[1]), offsets[1:]
    flat = text.numbers(size, "int")
    listed, at, starts = flat.tolist(), 0, []
    for _ in range(count):
        starts.append(at)
        at += 1 + listed[at]
    return np.delete(flat, starts), np.cumsum(flat[starts])


def _attribute(text: _Text, words: list[str], found: _Found) -> bool:
    """One array, or a FIELD of several."""
    word, arrays, count = words[0], found.arrays[found.active], found.count
    if word == "FIELD":
        for _ in range(int(words[2])):
            name, columns, rows, kind = text.words()
            values = text.numbers(int(columns) * int(rows), kind)
            arrays[unquote(name)] = values.reshape(int(rows), -1) if columns != "1" else values
        return True
    if word == "LOOKUP_TABLE":  # colours
        text.numbers(4 * int(words[2]), "unsigned_char" if text.binary else "float")
        return True
    if word == "SCALARS":
        kind, columns = words[2], int((words[3:] or ["1"])[0])
        text.words()  # the name of its colours
    elif word == "COLOR_SCALARS":
        kind, columns = "unsigned_char" if text.binary else "float", int(words[2])
    elif word == "TEXTURE_COORDINATES":
        kind, columns = words[3], int(words[2])
    elif word in _COLUMNS:
        kind, columns = words[2], _COLUMNS[word]
    else:
        return False
    values = text.numbers(columns * count, kind)
    arrays[unquote(words[1])] = values.reshape(count, columns) if columns > 1 else values
    return True


def _grid(found: _Found) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points, connectivity, offsets and types."""
    points = found.points
    if "DIMENSIONS" in found.lattice:
        dims = found.lattice["DIMENSIONS"].astype(np.int64)
        if points is None:
            axes = [found.lattice.get(name) for name in _AXES]
            if axes[0] is None:
                origin, step = found.lattice["ORIGIN"], found.lattice["SPACING"]
                axes = [o + s * np.arange(n) for o, s, n in zip(origin, step, dims, strict=True)]
            grid = np.meshgrid(*axes[::-1], indexing="ij")
            points = np.stack([axis.ravel() for axis in grid[::-1]], axis=1)
        parts = [_lattice(dims)]
    elif found.types is not None:
        parts = [(*found.cells["CELLS"], found.types)]
    else:
        parts = [
            (*found.cells[w], np.full(len(found.cells[w][1]), _POLYDATA[w]))
            for w in _POLYDATA
            if w in found.cells
        ]
    if points is None or not parts:
        raise ValueError("the file has no points or no cells")
    starts = np.cumsum([0, *(len(connectivity) for connectivity, _, _ in parts)])
    ends = [ends.astype(np.int64) + n for (_, ends, _), n in zip(parts, starts, strict=False)]
    return (
        points.astype(np.float64),
        np.concatenate([connectivity for connectivity, _, _ in parts]).astype(np.int64),
        np.concatenate([np.zeros(1, np.int64), *ends]),
        np.concatenate([types for _, _, types in parts]).astype(np.uint8),
    )


def _lattice(dims: Int[np.ndarray, " 3"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lines, quads or hexahedra between the points of a lattice, x fastest."""
    number = np.arange(dims.prod()).reshape(dims[::-1]).T
    along = np.flatnonzero(dims > 1)
    if not len(along):
        raise ValueError("the lattice is a single point")
    kind, corners = _LATTICE[len(along)]
    side = {"0": slice(None, -1), "1": slice(1, None)}
    columns = []
    for corner in corners.split():
        index = [slice(None)] * 3
        for axis, bit in zip(along, corner, strict=True):
            index[axis] = side[bit]
        columns.append(number[tuple(index)].ravel("F"))
    rows = np.stack(columns, axis=1)
    return rows.ravel(), rows.shape[1] * np.arange(1, len(rows) + 1), np.full(len(rows), kind)

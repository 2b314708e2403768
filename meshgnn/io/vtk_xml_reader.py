"""VTK's XML files of any encoding to grids: .vtu, .vtp, and .pvd series of them.

meshio's reader keeps the cells of the last piece only, passes over cell types that it does not
know, and stops at text arrays, which ParaView writes.

Source: VTK file formats, https://docs.vtk.org/en/latest/design_documents/VTKFileFormats.html.
"""

import base64
import json
import lzma
import zlib
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from meshgnn.frames import Grid

_TYPES = {
    **{f"Int{bits}": f"i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"UInt{bits}": f"u{bits // 8}" for bits in (8, 16, 32, 64)},
    "Float32": "f4",
    "Float64": "f8",
}
_COMPRESSORS = {"vtkZLibDataCompressor": zlib, "vtkLZMADataCompressor": lzma}
INDEX, GROUPS = "meshgnn", "meshgnn_groups"
# Cells of a .vtp, in the order of its cell data.
_POLYDATA = {"Verts": 2, "Lines": 4, "Polys": 7, "Strips": 6}


class _File:
    """One XML file: its elements, and the arrays that they stand for."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        head, mark, tail = data.partition(b"<AppendedData")
        self.root = _root(data, head + b"</VTKFile>" if mark else data)
        self._tail = b""
        if mark:
            tag, _, tail = tail.partition(b">")
            self._base64 = b"base64" in tag
            self._tail = tail[tail.index(b"_") + 1 :]
        self._order = ">" if self.root.get("byte_order") == "BigEndian" else "<"
        self._header = np.dtype(self._order + _TYPES[self.root.get("header_type", "UInt32")])
        self._compressor = self.root.get("compressor")

    def array(self, element: ElementTree.Element) -> np.ndarray | None:
        """Values of a DataArray, [n] or [n, components]; None for text."""
        kind = element.get("type", "String")
        if kind not in _TYPES:
            return None
        dtype = np.dtype(self._order + _TYPES[kind])
        form, text = element.get("format", "ascii"), (element.text or "").strip()
        if form == "ascii":
            values = np.array(text.split(), dtype)
        elif form == "appended":
            payload = self._payload(self._tail, int(element.get("offset", 0)), self._base64)
            values = np.frombuffer(payload, dtype)
        else:
            values = np.frombuffer(self._payload(text.encode(), 0, True), dtype)
        columns = int(element.get("NumberOfComponents") or 1)
        values = values.astype(dtype.newbyteorder("="))
        return values.reshape(-1, columns) if columns > 1 else values

    def arrays(self, parent: ElementTree.Element | None) -> dict[str, np.ndarray]:
        """{name: values} of the numbers in an element; text is left out."""
        found = {} if parent is None else {e.get("Name", ""): self.array(e) for e in parent}
        return {name: array for name, array in found.items() if array is not None}

    def _payload(self, source: bytes, at: int, encoded: bool) -> bytes:
        def fetch(at: int, count: int) -> tuple[bytes, int]:
            if not encoded:
                return source[at : at + count], at + count
            length = -(-count // 3) * 4
            return base64.b64decode(source[at : at + length])[:count], at + length

        width = self._header.itemsize
        first = int(np.frombuffer(fetch(at, width)[0], self._header)[0])
        if not self._compressor:
            return fetch(at, width + first)[0][width:]
        if self._compressor not in _COMPRESSORS:
            raise ValueError(f"{self._compressor} is not known here; save it with ZLib or without")
        decompress = _COMPRESSORS[self._compressor].decompress
        header, at = fetch(at, (3 + first) * width)
        sizes = np.frombuffer(header, self._header)[3:]
        blocks, ends = fetch(at, int(sizes.sum()))[0], np.cumsum(sizes, dtype=np.int64)
        try:
            return b"".join(
                decompress(blocks[end - size : end])
                for size, end in zip(sizes.tolist(), ends.tolist(), strict=True)
            )
        except (zlib.error, lzma.LZMAError) as error:
            raise ValueError(f"its compressed data are damaged ({error}); save it anew") from error


def _root(data: bytes, text: bytes) -> ElementTree.Element:
    """The elements of a file, whose data may be behind them."""
    cut = b"<VTKFile" in data and b"</VTKFile>" not in data[-100:]
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        if cut or not data.strip():
            raise ValueError(f"the file was cut off or is empty ({error})") from error
        raise
    if cut and len(root):
        raise ValueError("the file was cut off, for it does not end with </VTKFile>")
    return root


def read_xml(path: Path) -> Grid:
    """The grid of a .vtu or .vtp file, its pieces joined.

    Raises:
        ValueError: another kind of data set, or an encoding that is not known.
    """
    file = _File(path)
    kind = file.root.get("type")
    if kind not in ("UnstructuredGrid", "PolyData"):
        raise ValueError(
            f"expected an UnstructuredGrid or PolyData, got {kind}; in ParaView, Threshold "
            "(of images), Append Datasets or Extract Surface makes such"
        )
    extra = file.arrays(file.root.find(f"{kind}/FieldData"))
    index = json.loads(extra.pop(INDEX).tobytes()) if INDEX in extra else {}
    parts = [p for p in file.root.iter("Piece") if p.get("NumberOfPoints") != "0"]
    if not parts:
        raise ValueError("it holds no points or cells")
    pieces = [_piece(file, piece) for piece in parts]
    nodes = np.cumsum([0, *(len(piece.points) for piece in pieces)])
    ends = np.cumsum([0, *(len(piece.connectivity) for piece in pieces)])
    return Grid(
        np.concatenate([piece.points for piece in pieces]),
        np.concatenate([p.connectivity + n for p, n in zip(pieces, nodes, strict=False)]),
        np.concatenate([[0], *(p.offsets[1:] + n for p, n in zip(pieces, ends, strict=False))]),
        np.concatenate([piece.types for piece in pieces]),
        {n: np.concatenate([p.point[n] for p in pieces]) for n in pieces[0].point},
        {n: np.concatenate([p.cell[n] for p in pieces]) for n in pieces[0].cell},
        index=index,
        groups=extra.pop(GROUPS, np.zeros(0, np.int64)),
    )


def _piece(file: _File, piece: ElementTree.Element) -> Grid:
    blocks = []
    if cells := file.arrays(piece.find("Cells")):
        blocks.append((cells["connectivity"], cells["offsets"], cells["types"]))
    for tag, number in _POLYDATA.items():
        cells = file.arrays(piece.find(tag))
        if cells:
            types = np.full(len(cells["offsets"]), number)
            blocks.append((cells["connectivity"], cells["offsets"], types))
    ends = np.cumsum([0, *(len(connectivity) for connectivity, _, _ in blocks)])
    offsets = [o.astype(np.int64) + n for (_, o, _), n in zip(blocks, ends, strict=False)]
    points = next(iter(file.arrays(piece.find("Points")).values()), np.zeros(0))
    if not blocks or not len(points):
        raise ValueError("it holds no points or cells")
    return Grid(
        points.reshape(-1, 3).astype(np.float64),
        np.concatenate([connectivity for connectivity, _, _ in blocks]).astype(np.int64),
        np.concatenate([np.zeros(1, np.int64), *offsets]),
        np.concatenate([types for _, _, types in blocks]).astype(np.uint8),
        file.arrays(piece.find("PointData")),
        file.arrays(piece.find("CellData")),
    )


def read_pvd(path: Path) -> Grid:
    """The files of a series as one grid with times.

    Raises:
        ValueError: no file, several parts at one time, or cells that change in time.
        FileNotFoundError: a file of the series is missing.
    """
    entries = list(ElementTree.parse(path).getroot().iter("DataSet"))
    times = np.array([float(entry.get("timestep", 0)) for entry in entries])
    if not len(times) or len(np.unique(times)) < len(times):
        raise ValueError(f"expected one file for each time, got {len(times)} for {set(times)}")
    files = [path.parent / entry.get("file", "") for entry in entries]
    if missing := [str(file) for file in files if not file.is_file()]:
        raise FileNotFoundError(f"{path}: {len(missing)} of its files are missing: {missing[0]}")
    grids = [read_xml(file) for file in files]
    first = grids[0]
    for file, grid in zip(files, grids, strict=True):
        if not np.array_equal(grid.connectivity, first.connectivity):
            raise ValueError(f"{file.name}: its cells are not those of {files[0].name}")
    if not first.index.get("series", True):
        return first
    points = np.stack([grid.points for grid in grids])
    return replace(
        first,
        point={n: np.stack([grid.point[n] for grid in grids]) for n in first.point},
        cell={n: np.stack([grid.cell[n] for grid in grids]) for n in first.cell},
        times=times,
        moving=points if (points != points[0]).any() else None,
    )

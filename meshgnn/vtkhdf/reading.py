"""A .vtkhdf file, from this package or another program, to Frames or to its plain grid."""

import json
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5s
from jaxtyping import Int

from meshgnn.frames import Frames, Grid
from meshgnn.vtkhdf.writing import GROUPS, INDEX


def read_vtkhdf(path: str | Path) -> Frames:
    """What `write_vtkhdf` wrote: mesh, groups, arrays, times, extra and meta.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or was written by another program.
    """
    frames = read_grid(path).frames()
    if frames is None:
        raise ValueError(
            f"{path} was not written by meshgnn, or changed since; meshgnn.read and "
            "meshgnn.io.read_frames read it"
        )
    return frames


def read_grid(path: str | Path) -> Grid:
    """The unstructured grid of a .vtkhdf from any program, its parts joined, over all its times.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, holds no unstructured grid, or its cells change.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        with h5py.File(path, "r") as file:
            return _grid(file)
    except (OSError, KeyError, IndexError) as error:
        raise ValueError(f"{path} is damaged or no .vtkhdf file: {error}") from error


def _grid(file: h5py.File) -> Grid:
    root = file["VTKHDF"]
    kind = bytes(np.bytes_(root.attrs["Type"])).decode()
    if kind != "UnstructuredGrid":
        raise ValueError(
            f"{file.filename}: expected an UnstructuredGrid, got {kind}; in ParaView, Append "
            "Datasets or Tetrahedralize makes one"
        )
    extra = {name: _get(file["meshgnn"], name) for name in file.get("meshgnn", ())}
    index = json.loads(extra.pop(INDEX).item()) if INDEX in extra else {}
    steps = root.get("Steps")
    counts = [_get(root, f"NumberOf{what}") for what in ("Points", "Cells", "ConnectivityIds")]
    begin = _beginnings(steps, len(counts[0]))
    grid = [_get(root, name) for name in ("Connectivity", "Offsets", "Types")]
    cells = _cells_at(grid, counts, begin[0])
    for row in np.unique(begin, axis=0):
        if not all(map(np.array_equal, cells, _cells_at(grid, counts, row))):
            raise ValueError(f"{file.filename}: its cells change in time; extract one time first")
    first, number = begin[0, :2]
    nodes = int(counts[0][first : first + number].sum())
    points = _over_time(root, "Points", steps, "PointOffsets", nodes)
    point, cell = (
        {
            name: _over_time(root, f"{kind}/{name}", steps, f"{kind}Offsets/{name}", count)
            for name in root.get(kind, ())
        }
        for kind, count in (("PointData", nodes), ("CellData", len(cells[2])))
    )
    moves = points.ndim == 3 and points.strides[0] != 0
    return Grid(
        np.array(points if steps is None else points[0], np.float64),
        *cells,
        point,
        cell,
        None if steps is None else _get(steps, "Values").astype(np.float64),
        points.astype(np.float64) if moves else None,
        extra,
        index,
        extra.pop(GROUPS, np.zeros(0, np.int64)),
    )


def _beginnings(steps: h5py.Group | None, parts: int) -> Int[np.ndarray, "T 4"]:
    """For every time: its first part, how many parts, where its cells and connectivity begin."""
    if steps is None:
        return np.array([[0, parts, 0, 0]])
    names = ("PartOffsets", "NumberOfParts", "CellOffsets", "ConnectivityIdOffsets")
    values = [
        _get(steps, name).reshape(steps.attrs["NSteps"], -1)[:, 0]
        for name in names
        if name in steps
    ]
    return np.stack(values, axis=1).astype(np.int64)


def _cells_at(
    grid: list[np.ndarray], counts: list[np.ndarray], begin: Int[np.ndarray, " 4"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Connectivity, offsets and types of one time; the parts come one behind the other."""
    first, number, cell, link = begin.tolist()
    node = total = 0
    found: list[list[np.ndarray]] = [[], [np.zeros(1, np.int64)], []]
    for part in range(first, first + number):
        points, cells, size = (int(count[part]) for count in counts)
        found[0].append(grid[0][link : link + size] + node)
        # every part has one offset more than cells
        found[1].append(grid[1][cell + part + 1 : cell + part + cells + 1] + total)
        found[2].append(grid[2][cell : cell + cells])
        node, total, cell, link = node + points, total + size, cell + cells, link + size
    connectivity, offsets, types = (np.concatenate(blocks) for blocks in found)
    return connectivity.astype(np.int64), offsets.astype(np.int64), types.astype(np.uint8)


def _over_time(
    root: h5py.Group, name: str, steps: h5py.Group | None, table: str, count: int
) -> np.ndarray:
    """An array [count, ...] of a file without times, else [T, count, ...]."""
    array = _get(root, name)
    if steps is None:
        return array[:count]
    begin = _get(steps, table) if table in steps else np.zeros(steps.attrs["NSteps"], np.int64)
    if (begin == begin[0]).all():
        part = array[begin[0] : begin[0] + count]
        return np.broadcast_to(part, (len(begin), *part.shape))
    if np.array_equal(begin, count * np.arange(len(begin))):
        return array[: count * len(begin)].reshape(-1, count, *array.shape[1:])
    return array[begin[:, None] + np.arange(count)]


def _get(folder: h5py.Group, name: str) -> np.ndarray:
    data = h5d.open(folder.id, name.encode())
    array = np.empty(data.shape, data.dtype)
    data.read(h5s.ALL, h5s.ALL, array)
    return array

"""Frames to a .vtkhdf file."""

from functools import cache
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t
from jaxtyping import Float

from meshgnn.atomic import replacing
from meshgnn.frames import Frames, flattened, in_space, marks, packed
from meshgnn.mesh import Mesh

_COMPACT = 16_000  # bytes
_VERSION = (2, 2)  # the first that leaves room for other groups beside VTKHDF
INDEX, GROUPS = "index", "group_connectivity"


def write_vtkhdf(path: str | Path, frames: Frames) -> None:
    """Write a mesh, its groups and its arrays; the file appears whole or not at all.

    ParaView and vtkHDFReader show every point and cell array, and the groups as arrays
    `group:<name>` of 0 and 1.

    Raises:
        ValueError: a name with "/", which separates folders in HDF5.
        OSError: the path cannot be written (see `replacing`).
    """
    for name in (*frames.point, *frames.cell, *frames.extra):
        if not name.strip(".") or "/" in name:
            raise ValueError(f"array name {name!r}: HDF5 does not allow it; rename it, without '/'")
    seen = marks(frames.mesh)
    arrays = {
        kind: {**{name.replace("/", "_"): mark for name, mark in shown.items()}, **given}
        for kind, shown, given in zip(
            ("PointData", "CellData"), seen, (frames.point, frames.cell), strict=True
        )
    }
    index, connectivity = packed(frames)
    beside = {INDEX: np.array(index), GROUPS: connectivity}
    with replacing(path) as aside, h5py.File(aside, "w") as file:
        root, ours = file.create_group("VTKHDF"), file.create_group("meshgnn")
        root.attrs["Version"] = np.array(_VERSION)
        root.attrs["Type"] = np.bytes_("UnstructuredGrid")
        _write_grid(root, frames, arrays)
        if frames.times is not None:
            _write_steps(root.create_group("Steps"), frames.times, frames, arrays)
        for name, array in {**beside, **frames.extra}.items():
            _put(ours, name, array)


def _write_grid(root: h5py.Group, frames: Frames, arrays: dict[str, dict[str, np.ndarray]]) -> None:
    connectivity, offsets, types = flattened(frames.mesh)
    points = frames.mesh.points if frames.points is None else frames.points
    counts = _counts(frames.mesh)
    grid = {
        "Points": in_space(points).reshape(-1, 3),
        "Connectivity": connectivity,
        "Offsets": offsets,
        "Types": types,
        "NumberOfPoints": np.array([frames.mesh.num_nodes]),
        "NumberOfCells": np.array([frames.mesh.num_cells]),
        "NumberOfConnectivityIds": np.array([len(connectivity)]),
    }
    for name, array in grid.items():
        _put(root, name, array)
    for kind, named in arrays.items():
        folder = root.create_group(kind)
        for name, array in named.items():
            flat = frames.over_time(array, counts[kind])
            _put(folder, name, array.reshape(-1, *array.shape[2:]) if flat else array)


def _write_steps(
    steps: h5py.Group,
    times: Float[np.ndarray, " T"],
    frames: Frames,
    arrays: dict[str, dict[str, np.ndarray]],
) -> None:
    """Where the part of each time begins: k · stride. Equal tables are one, with several names."""
    counts = _counts(frames.mesh)
    strides: dict[str, int] = dict.fromkeys(
        ("PartOffsets", "CellOffsets", "ConnectivityIdOffsets"), 0
    )
    strides["PointOffsets"] = 0 if frames.points is None else frames.mesh.num_nodes
    steps.attrs["NSteps"] = len(times)
    _put(steps, "Values", times)
    _put(steps, "NumberOfParts", np.ones(len(times), np.int64))
    for kind, named in arrays.items():
        steps.create_group(f"{kind}Offsets")
        for name, array in named.items():
            # Static arrays need a table too: without one VTK takes that of the points.
            over_time = frames.over_time(array, counts[kind])
            strides[f"{kind}Offsets/{name}"] = counts[kind] if over_time else 0
    tables: dict[int, h5py.Dataset] = {}
    for name, stride in strides.items():
        if stride in tables:
            steps[name] = tables[stride]
        else:
            _put(steps, name, stride * np.arange(len(times)))
            tables[stride] = steps[name]


def _counts(mesh: Mesh) -> dict[str, int]:
    return {"PointData": mesh.num_nodes, "CellData": mesh.num_cells}


def _put(folder: h5py.Group, name: str, array: np.ndarray) -> None:
    array = np.ascontiguousarray(array)
    space, layout = h5s.create_simple(array.shape), _layout(0 < array.nbytes <= _COMPACT)
    made = h5d.create(folder.id, name.encode(), _kind(array.dtype), space, layout)
    made.write(h5s.ALL, h5s.ALL, array)


_kind = cache(h5t.py_create)  # a sample has some 25 arrays of few types: half of its price


@cache
def _layout(compact: bool) -> h5p.PropDCID:
    layout = h5p.create(h5p.DATASET_CREATE)
    layout.set_obj_track_times(False)  # equal content, equal bytes
    if compact:  # in the header itself: no space of its own to find
        layout.set_layout(h5d.COMPACT)
    return layout

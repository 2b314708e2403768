"""A .vtkhdf that grows: states are added at its end while it stays a file that VTK plays."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from h5py import h5o
from jaxtyping import Float

from meshgnn.atomic import replacing
from meshgnn.frames import Frames
from meshgnn.vtkhdf.writing import write_vtkhdf

Add = Callable[[Float[np.ndarray, " n"], dict[str, np.ndarray]], None]
_OWN = ("Values", "NumberOfParts")  # of every time
_CHUNK = 1 << 18  # bytes; HDF5 holds about 1 kB for every chunk while a file is open


@contextmanager
def growing(path: str | Path, frames: Frames) -> Iterator[Add]:
    """Write frames as `write_vtkhdf` does, then `add(times [n], {name: [n, N, ...]})` more of them.

    Every point array that is over time in the frames is given again with each addition. After each
    one the file is whole: it may be read meanwhile, and holds all that was added when the block
    ends by an error, or the process is killed. An addition that is interrupted is taken back.

    Raises:
        ValueError: frames without times, or with points or cell arrays over time; what
            `write_vtkhdf` refuses; in `add`: other names, shapes, or times that do not ascend.
        OSError: the path cannot be written.
    """
    mesh = frames.mesh
    moving = [n for n, a in frames.cell.items() if frames.over_time(a, mesh.num_cells)]
    if frames.times is None or frames.points is not None or moving:
        raise ValueError(
            f"{path}: expected frames with times whose points and cell arrays do not change, got "
            f"{'no times' if frames.times is None else moving or 'moving points'}"
        )
    names = [n for n, a in frames.point.items() if frames.over_time(a, mesh.num_nodes)]
    with replacing(path) as aside:  # nobody sees arrays that are being replaced
        write_vtkhdf(aside, frames)
        with h5py.File(aside, "r+") as file:
            _prepare(file, names, mesh.num_nodes)
    # without a lock, so that a viewer may open it; there is one writer
    with h5py.File(path, "r+", locking=False, rdcc_nbytes=2 * _CHUNK) as file:
        yield _Growth(file, names, mesh.num_nodes).add


class _Growth:
    """The data sets of a file that grow."""

    def __init__(self, file: h5py.File, names: list[str], nodes: int) -> None:
        self.file, self.nodes = file, nodes
        root, self.steps = file["VTKHDF"], file["VTKHDF/Steps"]
        self.last = self.steps["Values"][-1]
        self.data = {name: root["PointData"][name] for name in names}
        over_time = {f"PointDataOffsets/{name}" for name in names}
        self.tables = [
            (self.steps[links[0]], nodes if over_time & {*links} else 0)
            for links in _tables(self.steps)
        ]

    def add(self, times: Float[np.ndarray, " n"], point: dict[str, np.ndarray]) -> None:
        """The next states; the number of steps is raised when all of them are there."""
        before, count = int(self.steps.attrs["NSteps"]), len(times)
        if not (np.diff([self.last, *times]) > 0).all():
            raise ValueError(f"times: expected ascending ones after {self.last:g}, got {times}")
        if point.keys() != self.data.keys():
            raise ValueError(f"expected arrays {sorted(self.data)}, got {sorted(point)}")
        for name, array in point.items():
            shape = (count, self.nodes, *self.data[name].shape[1:])
            if array.shape != shape or not np.isfinite(array).all():
                raise ValueError(
                    f"point array {name!r}: expected finite numbers of shape {list(shape)}, got "
                    f"{list(array.shape)}"
                )
        try:
            self._write(times, point, before)
        except BaseException:  # of Ctrl-C as well: VTK reads beyond its memory where rows are left
            self._cut(before)
            raise
        self.file.flush()
        self.last = times[-1] if count else self.last

    def _write(self, times: np.ndarray, point: dict[str, np.ndarray], before: int) -> None:
        for name, array in point.items():
            _extend(self.data[name], array.reshape(-1, *array.shape[2:]))
        steps = np.arange(before, before + len(times))
        for table, stride in self.tables:
            _extend(table, stride * steps)
        for name, values in zip(_OWN, (times, np.ones(len(times), np.int64)), strict=True):
            _extend(self.steps[name], values)
        self.steps.attrs.modify("NSteps", before + len(times))

    def _cut(self, steps: int) -> None:
        """Back to so many steps."""
        self.steps.attrs.modify("NSteps", steps)
        for data in self.data.values():
            data.resize(steps * self.nodes, axis=0)
        for table in (*(table for table, _ in self.tables), *(self.steps[name] for name in _OWN)):
            table.resize(steps, axis=0)


def _tables(steps: h5py.Group) -> list[list[str]]:
    """Where the part of each time begins: the names of every table, for equal ones are one."""
    found: dict[int, list[str]] = {}
    for folder in ("", "PointDataOffsets/", "CellDataOffsets/"):
        for name, item in steps[folder or "."].items():
            if isinstance(item, h5py.Dataset) and name not in _OWN:
                found.setdefault(h5o.get_info(item.id).addr, []).append(folder + name)
    return list(found.values())


def _prepare(file: h5py.File, names: list[str], nodes: int) -> None:
    """Replace what will grow by data sets that can."""
    steps = file["VTKHDF/Steps"]
    for name in names:
        _growable(file["VTKHDF/PointData"], [name], nodes)
    for links in [*_tables(steps), *([name] for name in _OWN)]:
        _growable(steps, links, 1)


def _growable(folder: h5py.Group, links: list[str], rows: int) -> None:
    """The same data under the same names, in chunks of whole times of so many rows."""
    old = folder[links[0]][()]
    size = rows * old[:1].nbytes
    rows *= max(1, (_CHUNK if rows > 1 else _CHUNK // 64) // size)
    for name in links:
        del folder[name]
    made = folder.create_dataset(
        links[0],
        data=old,
        chunks=(rows, *old.shape[1:]),
        maxshape=(None, *old.shape[1:]),
        track_times=False,
    )
    for name in links[1:]:
        folder[name] = made


def _extend(data: h5py.Dataset, rows: np.ndarray) -> None:
    before = len(data)
    data.resize(before + len(rows), axis=0)
    data[before:] = rows

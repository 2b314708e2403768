"""`Frames`: a mesh with named arrays on it, at one time or over time; what every file holds."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from meshgnn.mesh import Mesh


@dataclass(frozen=True, eq=False)
class Frames:
    """Named arrays on one mesh: static ones, and ones that change over T times t_k.

    Args:
        mesh: the mesh; its cells do not change. Where it moves, it is the one at the first time.
        point: {name: array} at the nodes, [N] or [N, C], over time [T, N] or [T, N, C].
        cell: {name: array} on the cells, [M] or [M, C], over time [T, M] or [T, M, C].
        times: [T] s, ascending; None when there is one state without a time.
        points: [T, N, d] positions over time where the mesh moves; else None.
        extra: {name: array} of any shape, kept in .vtkhdf beside the grid.
        meta: anything JSON can hold, kept in .vtkhdf.

    Raises:
        ValueError: an array whose shape fits neither one state nor all times, that holds NaN or
            infinity, or whose type is not a number (all with its name); times that do not ascend.
    """

    mesh: Mesh
    point: dict[str, np.ndarray] = field(default_factory=dict)
    cell: dict[str, np.ndarray] = field(default_factory=dict)
    times: Float[np.ndarray, " T"] | None = None
    points: Float[np.ndarray, "T N d"] | None = None
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.times is not None and not (np.diff(self.times) > 0).all():
            raise ValueError(f"times: expected ascending numbers, got {self.times}")
        for kind, count in (("point", self.mesh.num_nodes), ("cell", self.mesh.num_cells)):
            arrays = {
                name: _stored(f"{kind} array {name!r}", array)
                for name, array in getattr(self, kind).items()
            }
            for name, array in arrays.items():
                self._check_shape(f"{kind} array {name!r}", array, count)
            object.__setattr__(self, kind, arrays)
        if self.points is not None:
            points = _stored("points", self.points)
            expected = (self.num_times, *self.mesh.points.shape)
            if self.times is None or points.shape != expected:
                raise ValueError(
                    f"points: expected [T, N, d] = {list(expected)} and times, got "
                    f"{list(points.shape)}"
                )
            object.__setattr__(self, "points", points)
            object.__setattr__(self, "mesh", self.mesh.moved(points[0].astype(np.float64)))

    @property
    def num_times(self) -> int:
        """Number of times T, 1 for a single state."""
        return 1 if self.times is None else len(self.times)

    def over_time(self, array: np.ndarray, count: int) -> bool:
        """Whether an array has a leading time axis, for `count` nodes or cells."""
        return self.times is not None and array.shape[:2] == (self.num_times, count)

    def at(self, k: int) -> "Frames":
        """The state at time t_k alone."""
        point, cell = (
            {n: a[k] if self.over_time(a, count) else a for n, a in arrays.items()}
            for arrays, count in (
                (self.point, self.mesh.num_nodes),
                (self.cell, self.mesh.num_cells),
            )
        )
        mesh = self.mesh if self.points is None else self.mesh.moved(self.points[k])
        return Frames(mesh, point, cell, extra=self.extra, meta=self.meta)

    def _check_shape(self, who: str, array: np.ndarray, count: int) -> None:
        fits = array.ndim in (1, 2) and len(array) == count
        fits |= self.over_time(array, count) and array.ndim in (2, 3)
        if not fits:
            over = "" if self.times is None else f", or [{self.num_times}, {count}, ...] over time"
            raise ValueError(
                f"{who}: expected shape [{count}] or [{count}, components]{over}, "
                f"got {list(array.shape)}"
            )


def _stored(who: str, array: np.ndarray) -> np.ndarray:
    """The array as files hold it: contiguous, little integers for booleans, finite."""
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        array = array.astype(np.float64)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{who}: expected real numbers, got dtype {array.dtype}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))
        raise ValueError(
            f"{who}: {len(bad)} values are NaN or infinite, the first at index "
            f"{tuple(bad[0].tolist())}; repair them or leave the array out"
        )
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))

"""Meshes, solutions and the errors of solutions to files."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from meshgnn.frames import Frames
from meshgnn.io.gmsh_writer import write_gmsh
from meshgnn.io.vtk_legacy_writer import write_legacy
from meshgnn.io.vtk_xml_writer import write_pvd, write_vtu
from meshgnn.mesh import Mesh
from meshgnn.vtkhdf import write_vtkhdf

_SERIES = {".vtkhdf": write_vtkhdf, ".pvd": write_pvd}
_SINGLE = {".vtu": write_vtu, ".vtk": write_legacy, ".msh": write_gmsh}


@runtime_checkable
class HasFrames(Protocol):
    """What can be written beside a mesh: a `Sample`.

    Its frames name the components of the solution in `meta["u"]` (None without a solution).
    """

    def frames(self) -> Frames:
        """The arrays to write."""
        ...


def write(
    path: str | Path,
    what: Mesh | Frames | HasFrames,
    *,
    truth: HasFrames | None = None,
    fields: Mapping[str, Any] | None = None,
    cell_fields: Mapping[str, Any] | None = None,
    times: Float[np.ndarray, " T"] | None = None,
    points: Float[np.ndarray, "T N d"] | None = None,
) -> None:
    """Write a mesh or a sample with its fields: .vtu, .vtk, .msh (one state), .pvd, .vtkhdf.

    A sample gives an array for every component of the solution and every input, under its name.
    With a truth there are `<name>_truth` and `<name>_error` = u - truth besides. Components that
    are named like a vector (`ux`, `uy`: x, y, z behind a common name, as many as the mesh has
    coordinates) are given together as well, as one array `u` of 3 components, by which ParaView can
    warp and draw arrows. Groups are arrays `group:<name>` of 0 and 1; they survive in all formats.
    A .vtkhdf of a sample is what `Sample.save` writes and more, and `Sample.load` reads it.

    The file appears whole or not at all; of a .pvd the series is written first.

    Args:
        path: the file; its suffix says the format.
        what: a mesh, or a sample.
        truth: the sample to compare with, on the same nodes and times.
        fields: more arrays {name: [N], [N, C], [T, N] or [T, N, C]}; [M, ...] go to the cells
            unless M = N. Lists and tensors on the CPU are taken as arrays.
        cell_fields: more arrays on the cells, {name: [M, ...]} or {name: [T, M, ...]}.
        times: [T] s, ascending, for fields over time on a mesh; a sample has its own.
        points: [T, N, d] positions over time, where the mesh moves.

    Raises:
        ValueError: an unknown format; an array that does not fit, is not finite or has a taken
            name; a truth that does not fit; several times for a format that holds one state.
        OSError: the path cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (*_SERIES, *_SINGLE):
        raise ValueError(
            f"{path}: expected a path ending in {', '.join((*_SERIES, *_SINGLE))}; for other "
            "formats write .vtu and convert it with meshio"
        )
    frames = _with_truth(_frames(what, times, points), truth)
    frames = _extended(frames, fields or {}, cell_fields or {})
    if suffix in _SERIES:
        _SERIES[suffix](path, frames)
        return
    if frames.num_times > 1:
        raise ValueError(
            f"{path}: {suffix} holds one state, got {frames.num_times} times; write .vtkhdf or .pvd"
        )
    _SINGLE[suffix](path, frames.at(0))


def _frames(
    what: Mesh | Frames | HasFrames,
    times: Float[np.ndarray, " T"] | None,
    points: Float[np.ndarray, "T N d"] | None,
) -> Frames:
    if isinstance(what, Mesh):
        return Frames(what, times=times, points=points)
    if times is not None:
        raise ValueError("times go with a mesh; a sample has its own")
    frames = what if isinstance(what, Frames) else what.frames()
    return frames if points is None else replace(frames, points=points)


def _with_truth(frames: Frames, truth: HasFrames | None) -> Frames:
    """Arrays of the truth and of the error besides, and vectors of all three."""
    names, added = frames.meta.get("u") or [], {}
    if truth is not None:
        names, added = _compared(frames, truth.frames())
    arrays = {**frames.point, **added}
    for end in ("", "_truth", "_error"):
        added |= _vectors(arrays, names, end, frames.mesh.points.shape[1])
    return _extended(frames, added, {})


def _compared(frames: Frames, truth: Frames) -> tuple[list[str], dict[str, np.ndarray]]:
    """Names of the components; {name_truth, name_error: array}."""
    ours, theirs = frames.meta.get("u"), truth.meta.get("u")
    if theirs is None:
        raise ValueError("truth: expected a solved sample, this one has no u")
    if ours is not None and len(ours) != len(theirs):
        raise ValueError(f"truth: expected the components {ours}, got {theirs}")
    if not np.array_equal(truth.mesh.points, frames.mesh.points):
        raise ValueError(
            f"truth: expected the same {frames.mesh.num_nodes} nodes, got {truth.mesh.num_nodes} "
            "others; interpolate it to this mesh first"
        )
    if not np.array_equal(_times(frames), _times(truth)):
        raise ValueError(
            f"truth: expected the same {frames.num_times} times, got {truth.num_times}"
        )
    added = {}
    for name, other in zip(ours or theirs, theirs, strict=True):
        added[f"{name}_truth"] = truth.point[other]
        if ours is not None:
            added[f"{name}_error"] = frames.point[name] - truth.point[other]
    return ours or theirs, added


def _times(frames: Frames) -> np.ndarray:
    return np.zeros(1) if frames.times is None else frames.times


def _vectors(
    arrays: dict[str, np.ndarray], names: list[str], end: str, d: int
) -> dict[str, np.ndarray]:
    """{"u": [..., 3]} from "ux", "uy", and the like for all that ends so."""
    vectors = {}
    for stem in [name[:-1] for name in names if name.endswith("x")]:
        parts = [f"{stem}{axis}{end}" for axis in "xyz"[:d]]
        if d == 1 or not all(part in arrays for part in parts):
            continue
        title = f"{stem.rstrip('_') or 'vector'}{end}"
        zeros = [np.zeros_like(arrays[parts[0]])] * (3 - d)
        vector = np.stack([*(arrays[part] for part in parts), *zeros], axis=-1)
        vectors[f"{title}_vector" if title in arrays else title] = vector
    return vectors


def _as_arrays(fields: Mapping[str, Any]) -> dict[str, np.ndarray]:
    arrays = {}
    for name, values in fields.items():
        try:
            array = np.asarray(values)
        except (ValueError, TypeError, RuntimeError) as error:  # ragged; a tensor with a gradient
            raise ValueError(f"fields: {name!r} is no array: {error}") from error
        if not array.ndim:
            raise ValueError(f"fields: expected an array for {name!r}, got {values!r}")
        arrays[name] = array
    return arrays


def _extended(frames: Frames, fields: Mapping[str, Any], cell_fields: Mapping[str, Any]) -> Frames:
    """More arrays; those of `fields` that fit the cells only go there."""
    nodes, cells = frames.mesh.num_nodes, frames.mesh.num_cells
    fields, cell_fields = _as_arrays(fields), _as_arrays(cell_fields)

    def fits(array: np.ndarray, count: int) -> bool:
        return len(array) == count or frames.over_time(array, count)

    on_cells = {n for n, a in fields.items() if not fits(a, nodes) and fits(a, cells)}
    point = {name: array for name, array in fields.items() if name not in on_cells}
    cell = {name: fields[name] for name in on_cells} | cell_fields
    if taken := sorted({*point} & {*frames.point} | {*cell} & {*frames.cell}):
        raise ValueError(f"fields: there are arrays {taken} already; give others names")
    if not point and not cell:
        return frames
    return replace(frames, point={**frames.point, **point}, cell={**frames.cell, **cell})

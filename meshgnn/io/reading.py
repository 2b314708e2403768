"""Files to meshes and arrays, whatever the format."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from meshgnn.frames import Frames, Grid
from meshgnn.io.cleaning import cleaned
from meshgnn.io.foreign import read_foreign
from meshgnn.io.gmsh_reader import read_gmsh
from meshgnn.io.grids import raw_grid
from meshgnn.io.raw import Raw
from meshgnn.io.vtk_legacy_reader import read_legacy
from meshgnn.io.vtk_xml_reader import read_pvd, read_xml
from meshgnn.mesh import Mesh
from meshgnn.mesher import mesh_file
from meshgnn.vtkhdf import read_grid

_GEOMETRY = {".geo", ".geo_unrolled", ".step", ".stp", ".brep", ".iges", ".igs"}
_GRIDS = {
    # read_xml says of those with other data sets what to do
    **dict.fromkeys((".vtu", ".vtp", ".vti", ".vtr", ".vts", ".pvtu"), read_xml),
    ".pvd": read_pvd,
    ".vtk": read_legacy,
    ".vtkhdf": read_grid,
}
_MOVING = "points over time"


def read(path: str | Path, size: float | None = None) -> Mesh:
    """The mesh of a file, with its named groups.

    .msh (2 and 4.1), .vtu, .vtp, .pvd, .vtk, .vtkhdf, and all that meshio reads (.inp, .med, .stl,
    .obj, .ply, .xdmf, .su2, ...) need no gmsh; .geo, .step, .stp, .brep and .iges are meshed by it,
    and an .stl when a size is given.

    The cells are those of the highest dimension. Cells of higher order become their corners;
    duplicates, unused nodes and loose cells of lower dimension are dropped; each with a warning
    that gives the count. Cells are oriented alike.

    Args:
        path: the file.
        size: target edge length h of the mesh, for geometry; in the unit of the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: an unknown or damaged format, cells without a linear counterpart, points that
            are not finite, a size for a file that is a mesh already.
        ImportError: gmsh is needed and missing.
    """
    path = _checked(path)
    suffix = path.suffix.lower()
    if suffix in _GEOMETRY or (suffix == ".stl" and size is not None):
        return mesh_file(path, size)
    if size is not None:
        raise ValueError(
            f"{path}: a size applies to geometry ({', '.join(sorted(_GEOMETRY))}) "
            "and .stl; this file is a mesh already"
        )
    return _contents(path)[0]


def read_fields(
    path: str | Path,
) -> tuple[Mesh, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Mesh, arrays at the nodes and on the cells: {name: [N, ...]}, over time [T, N, ...].

    Raises: as `read`.
    """
    path = _checked(path)
    if path.suffix.lower() in _GEOMETRY:
        return mesh_file(path), {}, {}
    return _contents(path)[:3]


def read_frames(path: str | Path) -> Frames:
    """Mesh and arrays with their times.

    Raises: as `read`; ValueError: an array that holds NaN or infinity.
    """
    path = _checked(path)
    mesh, point, cell, rest = _contents(path)
    return Frames(mesh, point, cell, **rest)


def _checked(path: str | Path) -> Path:
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    if path.is_dir():
        raise IsADirectoryError(f"expected a file, got the folder {path}")
    return path


def _contents(
    path: Path,
) -> tuple[Mesh, dict[str, np.ndarray], dict[str, np.ndarray], dict[str, Any]]:
    try:
        found = _parsed(path)
        if isinstance(found, Raw):
            return *cleaned(found), {}
        frames = found.frames()
        if frames is not None:
            rest = {n: getattr(frames, n) for n in ("times", "points", "extra", "meta")}
            return frames.mesh, frames.point, frames.cell, rest
        if found.index:
            warnings.warn(
                f"{path.name}: its cells have changed since meshgnn wrote it; the named groups are "
                "lost, only their marks (arrays 'group:...') remain",
                stacklevel=3,
            )
        raw = raw_grid(found)
        if found.moving is None:
            return *cleaned(raw), {"times": found.times}
        raw.point[_MOVING] = found.moving  # loses the same nodes as the arrays
        mesh, point, cell = cleaned(raw)
        points = point.pop(_MOVING)[:, :, : mesh.points.shape[1]]
        return mesh, point, cell, {"times": found.times, "points": points}
    except (ValueError, IndexError, KeyError, SyntaxError, OverflowError) as error:
        raise ValueError(f"{path}: {error}") from error


def _parsed(path: Path) -> Raw | Grid:
    suffix = path.suffix.lower()
    if suffix in _GRIDS:
        return _GRIDS[suffix](path)
    if suffix == ".msh":
        with path.open("rb") as file:
            if file.read(1) == b"$":  # other programs have .msh files, too
                return read_gmsh(path)
    return read_foreign(path)

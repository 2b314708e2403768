"""Geometry files (.geo, CAD, .stl) to `Mesh`."""

from math import pi
from pathlib import Path
from types import ModuleType

import numpy as np

from meshgnn.mesh import Mesh
from meshgnn.mesher.model import KIND, current_mesh
from meshgnn.mesher.session import errors_at_end, session

_SCRIPT, _STL = {".geo", ".geo_unrolled"}, {".stl"}
_CAD = {".step", ".stp", ".brep", ".iges", ".igs"}
_SUFFIXES = _SCRIPT | _CAD | _STL


def mesh_file(path: str | Path, size: float | None = None, dim: int | None = None) -> Mesh:
    """Mesh a .geo script, a CAD file (.step, .stp, .brep, .iges) or the inside of an .stl.

    Groups are the file's physical groups. A CAD file gets one for every region and every boundary
    part: its CAD label (the last part of it) where there is one, else `volume_1`, `surface_3`.
    An .stl is cut into patches along its edges (40 degrees) and meshed anew; when it is closed the
    inside is meshed. Parts of an assembly are meshed one by one, not glued together.

    Args:
        path: the file; lengths are in its unit.
        size: target edge length h, everywhere; None keeps the sizes of the file (gmsh's default
            is a tenth of the diagonal).
        dim: dimension of the cells; None takes the highest that gives any.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: unknown suffix, a size that is not positive, gmsh's own message for a broken
            file or a failed mesh, or no cells.
        ImportError: gmsh or a system library of it is missing.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise ValueError(
            f"{path}: '{suffix}' is no geometry file; expected {', '.join(sorted(_SUFFIXES))}"
        )
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file to mesh")
    if size is not None and not 0 < size < np.inf:
        raise ValueError(f"size: expected a positive edge length, got {size}")
    if suffix in _SCRIPT:
        _check_last_line(path)
    with session() as gmsh:
        # Variables of scripts outlive their model.
        gmsh.parser.clear()
        gmsh.onelab.clear()
        with errors_at_end(gmsh, f"read {path}"):
            gmsh.merge(str(path))
        if suffix in _STL and gmsh.model.getEntities(2):
            with errors_at_end(gmsh, f"find the surfaces of {path}"):
                _reconstruct(gmsh)
        if size is not None:
            gmsh.option.setNumber("Mesh.MeshSizeMin", size)
            gmsh.option.setNumber("Mesh.MeshSizeMax", size)
        top = gmsh.model.getDimension() if dim is None else dim
        if suffix in _CAD:
            _name_parts(gmsh, top)
        with errors_at_end(gmsh, f"mesh {path}"):
            gmsh.model.mesh.generate(top)
        return current_mesh(dim)


def _check_last_line(path: Path) -> None:
    """gmsh drops all but the first statement of a last line that no newline ends."""
    text = path.read_text(encoding="utf-8", errors="replace")
    last = text.rsplit("\n", 1)[-1].split("//")[0].strip()
    if ";" in last.rstrip(";"):
        raise ValueError(
            f"{path}: the last line, '{last}', is not ended by a newline, and gmsh would read its "
            "first statement only; end the file with a newline"
        )


def _reconstruct(gmsh: ModuleType) -> None:
    """Discrete triangles to parametrised patches, and a volume when they enclose one."""
    triangles = gmsh.model.mesh.getElements(2)[2][0].reshape(-1, 3)
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), 1)
    closed = (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
    gmsh.model.mesh.classifySurfaces(40 * pi / 180, True, True, pi)
    gmsh.model.mesh.createGeometry()
    if closed:
        loop = gmsh.model.geo.addSurfaceLoop([tag for _, tag in gmsh.model.getEntities(2)])
        gmsh.model.geo.addVolume([loop])
        gmsh.model.geo.synchronize()


def _name_parts(gmsh: ModuleType, top: int) -> None:
    """A physical group for each region and each part of its boundary; equal labels share one."""
    for dim in range(max(top - 1, 0), top + 1):
        parts: dict[str, list[int]] = {}
        for _, tag in gmsh.model.getEntities(dim):
            label = gmsh.model.getEntityName(dim, tag).rsplit("/", 1)[-1]
            parts.setdefault(label or f"{KIND[dim]}_{tag}", []).append(tag)
        for label, tags in parts.items():
            gmsh.model.addPhysicalGroup(dim, tags, name=label)

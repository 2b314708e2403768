"""Geometry files (.geo, CAD, .stl) to `Mesh`."""

from math import pi
from pathlib import Path
from types import ModuleType

import numpy as np

from meshgnn.mesh import Mesh
from meshgnn.mesher.model import KIND, current_mesh
from meshgnn.mesher.session import session, set_quiet

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
    with session() as gmsh:
        try:
            _generate(gmsh, path, suffix, size, dim)
        except Exception as error:  # gmsh raises nothing more specific
            raise ValueError(f"gmsh could not mesh {path}: {error}") from error
        return current_mesh(dim)


def _generate(
    gmsh: ModuleType, path: Path, suffix: str, size: float | None, dim: int | None
) -> None:
    # Variables of scripts outlive their model.
    gmsh.parser.clear()
    gmsh.onelab.clear()
    gmsh.merge(str(path))
    set_quiet(gmsh)
    if suffix in _STL:
        _reconstruct(gmsh)
    if size is not None:
        gmsh.option.setNumber("Mesh.MeshSizeMin", size)
        gmsh.option.setNumber("Mesh.MeshSizeMax", size)
    top = gmsh.model.getDimension() if dim is None else dim
    if suffix in _CAD:
        _name_parts(gmsh, top)
    gmsh.model.mesh.generate(top)


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

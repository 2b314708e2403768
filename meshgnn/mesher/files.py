"""Geometry files (.geo, CAD, .stl) to `Mesh`."""

from math import pi
from pathlib import Path
from types import ModuleType

import numpy as np

from meshgnn.mesh import KINDS, Mesh
from meshgnn.mesher.model import current_mesh
from meshgnn.mesher.session import errors_at_end, session

_SCRIPT, _STL = {".geo", ".geo_unrolled"}, {".stl"}
_IGES = {".iges", ".igs"}
_CAD = {".step", ".stp", ".brep"} | _IGES
_SUFFIXES = _SCRIPT | _CAD | _STL


def mesh_file(
    path: str | Path, size: float | None = None, dim: int | None = None, glue: bool = True
) -> Mesh:
    """Mesh a .geo script, a CAD file (.step, .stp, .brep, .iges) or the inside of an .stl.

    Groups are the file's physical groups. A CAD file gets one for every region and every boundary
    part: its CAD label (the last part of it) where there is one, else `volume_1`, `surface_3`.
    An .stl is cut into patches along its edges (40 degrees) and meshed anew; when it is closed the
    inside is meshed. Options of gmsh that the process had set are at their defaults afterwards (see
    `session`). Most files give the same mesh each time; the algorithms of some (BAMG) do not.

    Args:
        path: the file; lengths are in its unit.
        size: target edge length h; everywhere in a .geo or .stl, the longest in a CAD file, whose
            curved parts get at least 12 edges a turn (none shorter than h/8). None keeps the sizes
            of a script, takes the median edge of an .stl, and a tenth of the diagonal for CAD.
        dim: dimension of the cells; None takes the highest that gives any.
        glue: join the solids of a CAD assembly where they touch, and the faces of an .iges file to
            a solid; else each is meshed by itself.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: unknown suffix, a size that is not positive, a last line that gmsh would drop,
            gmsh's own message for a broken file or a failed mesh, or no cells.
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
        # Faces of an .iges file come one by one, without a solid.
        for option in ("OCCSewFaces", "OCCMakeSolids"):
            gmsh.option.setNumber(f"Geometry.{option}", glue and suffix in _IGES)
        with errors_at_end(gmsh, f"read {path}"):
            gmsh.open(str(path))  # merge would keep the macros of the script before
        with errors_at_end(gmsh, f"prepare the geometry of {path}"):
            if suffix in _STL:
                size = _reconstruct(gmsh, size)
            if suffix in _CAD and glue and len(solids := gmsh.model.getEntities(3)) > 1:
                gmsh.model.occ.fragment(solids, [])
                gmsh.model.occ.synchronize()
        top = gmsh.model.getDimension() if dim is None else dim
        if suffix in _CAD:
            _name_parts(gmsh, top)
            gmsh.option.setNumber("Mesh.MeshSizeFromCurvature", 12)
        if size is not None:
            gmsh.option.setNumber("Mesh.MeshSizeMin", size / 8 if suffix in _CAD else size)
            gmsh.option.setNumber("Mesh.MeshSizeMax", size)
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


def _reconstruct(gmsh: ModuleType, size: float | None) -> float | None:
    """Discrete triangles to parametrised patches, and a volume when they enclose one.

    Returns the size, or the median edge length where none is given.
    """
    if not gmsh.model.getEntities(2):
        return size
    triangles = gmsh.model.mesh.getElementsByType(2)[1].reshape(-1, 3).astype(np.int64)
    tags, coordinates, _ = gmsh.model.mesh.getNodes()
    points = np.zeros((int(tags.max()) + 1, 3))
    points[tags] = coordinates.reshape(-1, 3)
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), 1)
    keys = edges[:, 0] * len(points) + edges[:, 1]
    closed = (np.unique(keys, return_counts=True)[1] == 2).all()
    gmsh.model.mesh.classifySurfaces(40 * pi / 180, True, True, pi)
    gmsh.model.mesh.createGeometry()
    if closed:
        loop = gmsh.model.geo.addSurfaceLoop([tag for _, tag in gmsh.model.getEntities(2)])
        gmsh.model.geo.addVolume([loop])
        gmsh.model.geo.synchronize()
    return size or float(np.median(np.linalg.norm(np.diff(points[edges], axis=1), axis=2)))


def _name_parts(gmsh: ModuleType, top: int) -> None:
    """A physical group for each region and each part of its boundary; equal labels share one."""
    for dim in range(max(top - 1, 0), top + 1):
        parts: dict[str, list[int]] = {}
        for _, tag in gmsh.model.getEntities(dim):
            label = gmsh.model.getEntityName(dim, tag).rsplit("/", 1)[-1]
            parts.setdefault(label or f"{KINDS[dim]}_{tag}", []).append(tag)
        for label, tags in parts.items():
            gmsh.model.addPhysicalGroup(dim, tags, name=label)

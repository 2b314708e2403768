"""Where a family starts: a mesh, a file, or anything that PyVista reads."""

from pathlib import Path
from typing import Any

import numpy as np

from meshgnn.io import read
from meshgnn.mesh import CELL_TYPES, Mesh

# VTK's numbers of linear cells
_VTK = {
    3: "line",
    5: "triangle",
    9: "quad",
    10: "tetra",
    12: "hexahedron",
    13: "wedge",
    14: "pyramid",
}
# VTK's boxes, whose vertices count along the axes
_BOXES = {8: ("quad", [0, 1, 3, 2]), 11: ("hexahedron", [0, 1, 3, 2, 4, 5, 7, 6])}
# What `read` does not read and PyVista does
_FOREIGN = {".glb", ".gltf", ".vtm", ".vtmb", ".facet", ".3ds", ".wrl", ".vrml", ".foam", ".case"}


def start(source: Mesh | str | Path | Any, size: float | None = None) -> Mesh:
    """A mesh from a mesh, a file, or a PyVista data set.

    Files are those of `meshgnn.read` (.stl, .ply, .obj, .vtp as surfaces in space, which `filled`
    fills; .step, .geo and, with a size, .stl meshed inside by gmsh) and those that only PyVista
    reads (.glb, .gltf, .vtm, .facet, .3ds, .wrl, .foam, .case). Of a data set the cells of the
    highest dimension are taken; polygons are cut into triangles, points that coincide are joined.

    Args:
        source: the mesh, the path or the data set.
        size: target edge length h, for geometry.

    Raises:
        ValueError: something else, a file or data set without linear cells; as `meshgnn.read`.
        FileNotFoundError: there is no such file.
        ImportError: PyVista or gmsh is needed and missing.
    """
    if isinstance(source, Mesh):
        return source
    if isinstance(source, str | Path):
        path = Path(source)
        if path.suffix.lower() not in _FOREIGN:
            return read(path, size)
        if not path.is_file():
            raise FileNotFoundError(f"no such file: {path}")
        return _from_grid(_pyvista().read(path))
    if not hasattr(source, "n_cells") and not hasattr(source, "n_blocks"):
        raise ValueError(
            f"start: expected a Mesh, a path or a PyVista data set, got {type(source).__name__}"
        )
    return _from_grid(source)


def _from_grid(data: Any) -> Mesh:
    pyvista = _pyvista()
    if isinstance(data, pyvista.MultiBlock):
        data = data.combine()
    if isinstance(data, pyvista.PolyData):
        data = data.triangulate()
    grid = data.cast_to_unstructured_grid().clean()
    cells: dict[str, np.ndarray] = {}
    for kind, rows in ((int(kind), rows) for kind, rows in grid.cells_dict.items()):
        name, order = _BOXES.get(kind, (_VTK.get(kind), slice(None)))
        if name is not None:
            found = np.asarray(rows, np.int64)[:, order]
            cells[name] = np.concatenate([cells.get(name, found[:0]), found])
    if not cells:
        raise ValueError(
            f"start: the data set has no linear cells, but VTK types {[*map(int, grid.cells_dict)]}"
            "; reduce them first"
        )
    dim = max(CELL_TYPES[name].dim for name in cells)
    cells = {name: rows for name, rows in cells.items() if CELL_TYPES[name].dim == dim}
    used, place = np.unique(
        np.concatenate([r.ravel() for r in cells.values()]), return_inverse=True
    )
    ends = np.cumsum([rows.size for rows in cells.values()])[:-1]
    blocks = zip(cells.items(), np.split(place, ends), strict=True)
    points = np.asarray(grid.points, np.float64)[used]
    return Mesh(points, {name: part.reshape(r.shape) for (name, r), part in blocks}).oriented()


def _pyvista() -> Any:
    try:
        import pyvista
    except ImportError as error:
        raise ImportError(f"this needs PyVista: pip install 'meshgnn[viz]' ({error})") from error
    return pyvista

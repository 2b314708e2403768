"""A `Mesh` as scikit-fem's, for weak forms of one's own."""

from typing import Any

import numpy as np
import skfem

from meshgnn.fem.elements import VERTICES
from meshgnn.mesh import Mesh
from meshgnn.mesh.topology import match_rows

_CLASSES: dict[str, type[skfem.Mesh]] = {
    "line": skfem.MeshLine1,
    "triangle": skfem.MeshTri,
    "quad": skfem.MeshQuad,
    "tetra": skfem.MeshTet,
    "hexahedron": skfem.MeshHex,
}


def skfem_mesh(mesh: Mesh) -> skfem.Mesh:
    """The mesh for `skfem.Basis`, groups as its `boundaries` and `subdomains`, nodes as they are.

    With an order-1 element the degrees of freedom are those of `Space` and `LinearSystem` (node-
    major for `skfem.ElementVector`), so that a matrix assembled from any form goes into a
    `LinearSystem`, or next to the matrices of `Space`.

    Raises:
        ValueError: cells of several types, wedges, pyramids, or a curve or surface in space.
    """
    name = next(iter(mesh.cells))
    if len(mesh.cells) > 1 or name not in _CLASSES or mesh.dim != mesh.points.shape[1]:
        raise ValueError(
            f"skfem_mesh: expected cells of one type out of {', '.join(_CLASSES)} that fill their "
            f"space, got {', '.join(mesh.cells)} in {mesh.points.shape[1]}D; `Space` takes any mesh"
        )
    cells = np.empty_like(mesh.cells[name])
    cells[:, VERTICES.get(name, slice(None))] = mesh.cells[name]
    result = _CLASSES[name](mesh.points.T.copy(), cells.T.copy())
    boundaries: dict[str, Any] = {}
    for group, part in mesh.groups.items():
        if part.dim == mesh.dim - 1:
            rows = np.concatenate(list(part.cells.values()))
            found = match_rows(rows, np.asarray(result.facets).T, mesh.num_nodes)
            boundaries[group] = found[found >= 0]
    subdomains: dict[str, Any] = {
        n: mesh.cells_of(n) for n, part in mesh.groups.items() if part.dim == mesh.dim
    }
    return result.with_boundaries(boundaries).with_subdomains(subdomains)

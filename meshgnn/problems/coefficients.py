"""Coefficients that are given by cells, as values at the nodes."""

import numpy as np
from jaxtyping import Float

from meshgnn.fem import values
from meshgnn.fem.values import CellValue
from meshgnn.mesh import Mesh


def nodal_coefficient(value: CellValue, mesh: Mesh, what: str) -> Float[np.ndarray, " N"]:
    """A coefficient at the nodes; by cells: the mean over the cells around, weighted by volume.

    Raises:
        ValueError: data of another length, or that are NaN or infinite.
    """
    data = values.by_region(value, mesh, what)
    array = values.is_array(data, None)
    if not array or values.array_kind(data, mesh, what, cells=True) == "nodes":
        return values.at_nodes(data, mesh, what)
    values.finite(data, what)
    corners = mesh.simplices.shape[1]
    weights = np.repeat(np.abs(mesh.simplex_volumes), corners)
    parts, owned = mesh.simplices.ravel(), np.repeat(data[mesh.simplex_cells], corners)
    total = np.bincount(parts, weights * owned, mesh.num_nodes)
    return total / np.bincount(parts, weights, mesh.num_nodes)

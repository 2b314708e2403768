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
    volumes, total = np.abs(mesh.volumes), np.zeros((2, mesh.num_nodes))
    start = 0
    for block in mesh.cells.values():
        own = slice(start, start + len(block))
        for row, weights in enumerate((volumes[own] * data[own], volumes[own])):
            each = np.repeat(weights, block.shape[1])
            total[row] += np.bincount(block.ravel(), each, mesh.num_nodes)
        start += len(block)
    return total[0] / total[1]

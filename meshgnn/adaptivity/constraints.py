"""Which nodes of a mesh slide where, with its groups kept."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix
from torch import Tensor

from meshgnn.mesh import Mesh
from meshgnn.mesh.topology import half_facets, match_rows, row_keys
from meshgnn.operators import Walls, neighbour_steps, track, walls
from meshgnn.operators.sliding import CORNER


def mesh_walls(mesh: Mesh, corner: float = CORNER) -> Walls:
    """`walls` of a mesh of simplices that keep its groups: their parts are the labels.

    Walls are the boundary, the facets of groups of dimension dim - 1 and the interfaces between
    regions, which are cells that are in different groups. A node does not leave its groups; where
    they end it is a corner. Nodes of groups of a lower dimension, such as points, and
    nodes of no cell do not move.
    """
    names = [name for name, group in mesh.groups.items() if group.dim == mesh.dim - 1]
    rows = [
        block
        for cells in (mesh.boundary_facets, *(mesh.groups[name].cells for name in names))
        for block in cells.values()
    ]
    facets = np.concatenate([np.zeros((0, mesh.dim), np.int64), *rows, _interfaces(mesh)])
    keys = facets[:, 0] if mesh.dim == 1 else row_keys(facets, mesh.num_nodes)
    facets = facets[np.unique(keys, return_index=True)[1]]
    member = np.zeros((len(facets), len(names)), bool)
    for column, name in enumerate(names):
        for block in mesh.groups[name].cells.values():
            member[:, column] |= match_rows(facets, block, mesh.num_nodes) >= 0
    labels = np.unique(member, axis=0, return_inverse=True)[1].reshape(-1)
    points, simplices = torch.tensor(mesh.points), torch.tensor(mesh.simplices)
    found = walls(points, simplices, torch.tensor(facets), torch.tensor(labels), corner)
    tangents = found.tangents.clone()
    tangents[torch.tensor(mesh.lumped_mass == 0)] = 0  # nodes of no cell
    for name, group in mesh.groups.items():
        if group.dim < mesh.dim - 1:
            tangents[torch.tensor(mesh.nodes_of(name))] = 0
    return replace(found, tangents=tangents)


def _interfaces(mesh: Mesh) -> Int[np.ndarray, "F k"]:
    """Facets between cells that are not in the same groups of cells."""
    names = [name for name, group in mesh.groups.items() if group.dim == mesh.dim]
    member = np.zeros((mesh.num_cells, len(names)), bool)
    for column, name in enumerate(names):
        member[mesh.cells_of(name), column] = True
    region = np.unique(member, axis=0, return_inverse=True)[1].reshape(-1)
    ((rows, owner),) = half_facets(mesh.cells).values()
    keys = rows[:, 0] if mesh.dim == 1 else row_keys(rows, mesh.num_nodes)
    order = np.argsort(keys, kind="stable")
    first, second = order[:-1], order[1:]
    between = (keys[first] == keys[second]) & (region[owner[first]] != region[owner[second]])
    return rows[first[between]]


class Slider:
    """Steps within the walls: a basis of what nodes may do, and the way back onto curves."""

    def __init__(self, mesh: Mesh):
        self.pos, self.simplices = torch.tensor(mesh.points), torch.tensor(mesh.simplices)
        self.walls: Walls = mesh_walls(mesh)
        self.steps = neighbour_steps(self.simplices, mesh.num_nodes)

    def basis(self, x: Float[np.ndarray, "N d"]) -> csr_matrix:
        """[N d, K] orthonormal: what nodes that are at x may do."""
        size, axes = np.linalg.eigh(self.walls.along(torch.tensor(x), self.pos).numpy())
        free, d = size > 0.5, x.shape[1]
        node = np.nonzero(free)[0]
        rows = node[:, None] * d + np.arange(d)
        columns = np.broadcast_to(np.arange(len(node))[:, None], rows.shape)
        values = axes.transpose(0, 2, 1)[free]
        shape = (x.size, len(node))
        places = (rows.reshape(-1), columns.reshape(-1))
        return csr_matrix((values.reshape(-1), places), shape=shape)

    def onto(
        self, x: Float[np.ndarray, "N d"], before: Float[np.ndarray, "N d"]
    ) -> Float[np.ndarray, "N d"]:
        """x on the walls; nodes outside, beyond a chord of a curve, stay where they were."""
        found: Tensor = self.walls.onto(torch.tensor(x), self.pos)
        inside = track(found, self.pos, self.simplices, self.steps).inside.numpy()
        return np.where(inside[:, None], found.numpy(), before)

"""Which nodes of a mesh slide where, with its groups kept."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int

from meshgnn.mesh import Mesh
from meshgnn.mesh.topology import half_facets, match_rows, row_keys
from meshgnn.operators import Walls, walls
from meshgnn.operators.sliding import CORNER


def mesh_walls(mesh: Mesh, corner: float = CORNER) -> Walls:
    """`walls` of a mesh of simplices that keep its groups: their parts are the labels.

    Walls are the boundary, the facets of groups of dimension dim - 1 and the interfaces between
    regions, which are cells that are in different groups. A node does not leave its groups; where
    they end it is a corner. Nodes of groups of a lower dimension, such as points, do not move.
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

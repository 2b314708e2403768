"""The graph of the same mesh with its nodes elsewhere."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch_geometric.data import Data

from meshgnn.models.mp_pde.library import with_stencils
from meshgnn.nn import segment_sum
from meshgnn.operators import Transfer, hat_gradients, interpolate, neighbour_steps


def with_topology(graph: Data) -> Data:
    """Adds what moving needs of the mesh, once: neighbours of simplices, nodes that have to stay.

    Attributes: neighbour_steps [Z, n]; pinned [N], the nodes of boundary facets on which conditions
    change, so that no node leaves the part it belongs to; near_index [2, E], the edges.

    Raises:
        ValueError: a periodic mesh, a surface or curve in space.
    """
    d, corners = graph.pos.shape[1], len(graph.simplex_index)
    if "edge_shift" in graph or corners != d + 1:
        raise ValueError(
            "MMPDE: expected a mesh without periodic sides that fills its space (d + 1 = "
            f"{d + 1} corners), got {corners} corners"
            f"{' and periodic sides' if 'edge_shift' in graph else ''}; such meshes are not moved, "
            "use mover='identity' or MPPDE"
        )
    simplices = graph.simplex_index.t()
    graph.neighbour_steps = neighbour_steps(simplices, len(graph.pos))
    facets, _ = _facets(simplices, graph.neighbour_steps)
    kind = torch.cat([graph.bc, graph.dirichlet_mask.to(graph.bc.dtype)], dim=1)
    changes = (kind[facets] != kind[facets[:, :1]]).flatten(1).any(dim=1)
    graph.pinned = torch.zeros(len(graph.pos), dtype=torch.bool, device=graph.pos.device)
    graph.pinned[facets[changes].reshape(-1)] = True
    inside = torch.ones_like(graph.pinned)
    inside[facets.reshape(-1)] = False
    graph.pinned |= inside & graph.dirichlet_mask.any(dim=1)  # held where they are
    graph.near_index = graph.edge_index
    return graph


def added(graph: Data, asked: dict[str, Any]) -> dict[str, Any]:
    """What a mover's own transform has made of the graph, less states and what is there already."""
    left_out = ("u", "y", "dirichlet", "known")
    return {k: v for k, v in asked.items() if k not in left_out and not _same(graph.get(k), v)}


def _same(here: Any, there: Any) -> bool:
    if isinstance(here, Tensor) and isinstance(there, Tensor):
        return here.shape == there.shape and torch.equal(here, there)
    return type(here) is type(there) and here == there


def moved_graph(graph: Data, moved: Float[Tensor, "N d"], transfer: Transfer) -> Data:
    """A graph with the same edges and simplices, whose nodes, fields and measures are the new ones.

    States by `transfer.to_moved`, inputs by interpolation, boundary data from the nodes of the
    boundary alone, along which the nodes slide; mass, normals, areas, fluxes and the stencils of
    `MPPDE` as the moved mesh has them. The means over cells `cell_a` and the target are left out.

    Args:
        graph: transformed by `with_topology` and by an `MPPDE`; or a batch.
        moved: x.
        transfer: between the two.
    """
    part, mask = copy.copy(graph), graph.dirichlet_mask
    for name in ("y", "cell_a"):
        if name in part:
            del part[name]
    part.pos, part.mass = moved, transfer.moved_mass
    part.u = carried(graph.u, mask, transfer.to_moved)
    part.a = interpolate(graph.a, transfer.simplices, transfer.there)
    known = mask[:, None].expand_as(graph.dirichlet)
    values = transfer.known_to_moved(graph.dirichlet.flatten(1), known.flatten(1))
    part.dirichlet = torch.where(known, values.view_as(graph.dirichlet), 0.0)
    part.normal, part.area = _boundary(moved, transfer.simplices, graph.neighbour_steps)
    for name in ("flux", "robin"):
        part[name], part[f"{name}_load"] = _fluxes(graph, name, part.area, transfer)
    part.edge_index = graph.near_index
    part = with_stencils(part)
    part.edge_index = graph.edge_index
    part.grading = torch.log(part.spacing / _mean(part.spacing, transfer.batch))
    return part


def carried(
    u: Float[Tensor, "N K C"], fixed: Bool[Tensor, "N C"], way: Callable[[Tensor, Tensor], Tensor]
) -> Float[Tensor, "N K C"]:
    """Several states through a transfer; what is prescribed takes no part in keeping the means."""
    held = fixed[:, None].expand_as(u).flatten(1)
    return way(u.flatten(1), held).view_as(u)


def _fluxes(graph: Data, name: str, area: Tensor, transfer: Transfer) -> tuple[Tensor, Tensor]:
    """A density of a flux on the boundary, and its loads: of the same share of the boundary."""
    density, load = graph[name], graph[f"{name}_load"]
    known = graph.bc[:, 2:].bool().any(dim=1, keepdim=True) | (density != 0)
    there = torch.where(known, transfer.known_to_moved(density, known), 0.0)
    total = density * graph.area[:, None]
    share = torch.where(total != 0, load / torch.where(total != 0, total, 1.0), 1.0)
    return there, there * area[:, None] * share


def _facets(
    simplices: Int[Tensor, "S n"], steps: Int[Tensor, "S n"]
) -> tuple[Int[Tensor, "F m"], Int[Tensor, "F 2"]]:
    """Nodes of the boundary facets; their simplices and the corners these are opposite to."""
    place = torch.nonzero(steps == 0)
    rows = simplices[place[:, 0]]
    others = torch.arange(simplices.shape[1], device=rows.device) != place[:, 1:]
    return rows[others].view(len(rows), -1), place


def _boundary(
    pos: Float[Tensor, "N d"], simplices: Int[Tensor, "S n"], steps: Int[Tensor, "S n"]
) -> tuple[Float[Tensor, "N d"], Float[Tensor, " N"]]:
    """Unit outward normals ∫ φ_i n ds, made unit, and lumped areas ∫ φ_i ds; 0 inside.

    The facet of s opposite to corner k has the normal −∇φ_k / |∇φ_k| and the area d |s| |∇φ_k|.
    """
    facets, place = _facets(simplices, steps)
    hats, volume = hat_gradients(pos, simplices[place[:, 0]])
    flow = -hats[torch.arange(len(place), device=pos.device), place[:, 1]]
    flow = flow * volume.abs()[:, None]  # ∫ φ_i n over the facet, of each of its d corners
    both = torch.cat([flow, flow.norm(dim=1, keepdim=True)], dim=1)
    both = both[:, None].expand(-1, facets.shape[1], -1).flatten(0, 1)
    sums = pos.new_zeros(len(pos), both.shape[1]).index_add(0, facets.reshape(-1), both)
    length = sums[:, :-1].norm(dim=1, keepdim=True)
    normal = sums[:, :-1] / torch.where(length > 0, length, 1.0)
    return normal, sums[:, -1]


def _mean(values: Float[Tensor, " N"], batch: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Of the graph of each node."""
    columns = torch.stack([values, torch.ones_like(values)], dim=1)
    sums = segment_sum(columns, batch, int(batch[-1]) + 1)
    return (sums[:, 0] / sums[:, 1])[batch]

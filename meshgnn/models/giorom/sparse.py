"""What a graph needs for a march of few of its nodes: which ones, how near, and what follows."""

import warnings

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Data

from meshgnn.decoders import local_rbf, nearest_source
from meshgnn.decoders.linear import weighted_sum
from meshgnn.graph.radius import connected_radius, radius_edges
from meshgnn.graph.sampling import farthest_points, random_points
from meshgnn.mesh.topology import node_components

SAMPLINGS = {"farthest": farthest_points, "random": random_points}
_NEIGHBOURS, _POWER, _FADE = 24, 3.0, 0.05  # best on held-out motions, see docs/lagrangian.md


def with_sources(
    graph: Data, chosen: Int[np.ndarray, " n"], reach: float, radius: float | None = None
) -> Data:
    """The graph with a sparse set, its radius, and the weights that decode it to all nodes.

    R = max(least radius of connected graphs, reach · (volume / n)^(1/d)), in the reference
    configuration. Weights are those of a continuous cubic `local_rbf`, found once. Pieces that no
    edge of the graph joins are bodies of their own: no bond and no weight leads from one to the
    other, and R joins the points of each.

    Args:
        graph: of one body or several with N nodes; it is changed.
        chosen: n different nodes.
        reach: R in mean spacings, at least.
        radius: R itself, m, instead; there is a warning if that leaves points of a body apart.

    Raises:
        ValueError: fewer than d + 2 points of a body.
    """
    points, mass = graph.pos.double().numpy(), graph.mass.double().numpy()
    chosen = np.sort(chosen)
    body = node_components(graph.edge_index.t().numpy(), len(points))
    _check_number(body, chosen, points.shape[1])
    least, own = 0.0, np.empty_like(body)
    index = np.empty((len(points), _NEIGHBOURS), np.int64)
    weight = np.empty(index.shape)
    for k in range(body.max() + 1):
        nodes, sources = np.flatnonzero(body == k), chosen[body[chosen] == k]
        places, local = points[nodes], np.searchsorted(nodes, sources)
        least = max(least, connected_radius(places[local]))
        own[nodes] = sources[nearest_source(places, local).index[:, 0]]
        near, weight[nodes] = _weights(places, local)
        index[nodes] = sources[near]
    spacing = (mass.sum() / len(chosen)) ** (1 / points.shape[1])
    if radius is None:
        radius = max(least, reach * spacing)
    elif radius < least:
        warnings.warn(
            f"GIOROM: R = {radius:.4g} leaves some of the {len(chosen)} points apart from the "
            f"others; the least that joins those of every body is {least:.4g}",
            stacklevel=2,
        )
    bonds = chosen[radius_edges(points[chosen], radius)]
    graph.source_index = torch.from_numpy(chosen)
    graph.source_mass = torch.from_numpy(np.bincount(own, mass, len(points))[chosen]).float()
    graph.bond_index = torch.from_numpy(bonds[:, body[bonds[0]] == body[bonds[1]]])
    graph.radius = torch.tensor([radius], dtype=torch.float32)
    # _index: counts nodes and is joined along its last axis in a batch
    graph.decode_index = torch.from_numpy(index.T.copy())
    graph.decode_weight = torch.from_numpy(weight).float()
    return graph


def _check_number(body: Int[np.ndarray, " N"], chosen: Int[np.ndarray, " n"], dim: int) -> None:
    number = np.bincount(body[chosen], minlength=body.max() + 1)
    if number.min() < dim + 2:
        which = f" (that of node {np.argmax(body == number.argmin())})" if len(number) > 1 else ""
        raise ValueError(
            f"GIOROM: expected at least {dim + 2} points of a body in {dim}D, got {number.min()}"
            f"{which}; give more points, or a finer mesh"
        )


def _weights(
    places: Float[np.ndarray, "M d"], sources: Int[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, "M k"], Float[np.ndarray, "M k"]]:
    """The decoder of one body; always as wide, so that graphs can be joined in a batch."""
    if len(sources) == len(places):
        near, own = np.arange(len(places))[:, None], np.ones((len(places), 1))
    else:
        decoder = local_rbf(places, sources, _NEIGHBOURS, _POWER, fade=_FADE)
        near, own = decoder.index, decoder.weight
    missing = (0, 0), (0, _NEIGHBOURS - near.shape[1])
    return np.pad(near, missing, "edge"), np.pad(own, missing)


def chosen_points(
    graph: Data, points: float | int, sampling: str, seed: int
) -> Int[np.ndarray, " n"]:
    """So many nodes, or such a share of them below 1, of a body; all where there are no more."""
    number = len(graph.pos)
    count = min(round(points * number) if points < 1 else int(points), number)
    return SAMPLINGS[sampling](graph.pos.double().numpy(), max(count, 1), seed)


def decoded(graph: Data, values: Float[Tensor, "n d"]) -> Float[Tensor, "N d"]:
    """The field at all nodes from its values at the sources, these exactly."""
    chosen, weight = graph.source_index, graph.decode_weight
    sources = weight.new_zeros(len(weight), values.shape[1])
    sources = sources.index_copy(0, chosen, values.to(weight.dtype))
    whole = weighted_sum(graph.decode_index.t().contiguous(), weight, sources)
    return whole.to(values.dtype).index_copy(0, chosen, values)

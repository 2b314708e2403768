"""What a graph needs for a march of few of its nodes: which ones, how near, and what follows."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Data

from meshgnn.decoders import local_rbf, nearest_source
from meshgnn.decoders.linear import weighted_sum
from meshgnn.graph.radius import connected_radius, radius_edges
from meshgnn.graph.sampling import farthest_points, random_points

SAMPLINGS = {"farthest": farthest_points, "random": random_points}
_NEIGHBOURS, _POWER, _FADE = 24, 3.0, 0.05  # best on held-out motions, see docs/lagrangian.md


def with_sources(
    graph: Data, chosen: Int[np.ndarray, " n"], reach: float, radius: float | None = None
) -> Data:
    """The graph with a sparse set, its radius, and the weights that decode it to all nodes.

    R = max(least radius of a connected graph, reach · (volume / n)^(1/d)), in the reference
    configuration. Weights are those of a continuous cubic `local_rbf`, found once.

    Args:
        graph: of a body with N nodes; it is changed.
        chosen: n different nodes.
        reach: R in mean spacings, at least.
        radius: R itself, m, instead.

    Raises:
        ValueError: fewer than d + 2 points.
    """
    points, mass = graph.pos.double().numpy(), graph.mass.double().numpy()
    dim = points.shape[1]
    if len(chosen) < dim + 2:
        raise ValueError(
            f"GIOROM: expected at least {dim + 2} points of a body in {dim}D, got {len(chosen)}; "
            "give more points, or a finer mesh"
        )
    chosen = np.sort(chosen)
    own = nearest_source(points, chosen).index[:, 0]
    spacing = (mass.sum() / len(chosen)) ** (1 / dim)
    if radius is None:
        radius = max(connected_radius(points[chosen]), reach * spacing)
    graph.source_index = torch.from_numpy(chosen)
    graph.source_mass = torch.from_numpy(np.bincount(own, mass, len(chosen))).float()
    graph.bond_index = torch.from_numpy(chosen[radius_edges(points[chosen], radius)])
    graph.radius = torch.tensor([radius], dtype=torch.float32)
    if len(chosen) < len(points):
        decoder = local_rbf(points, chosen, _NEIGHBOURS, _POWER, fade=_FADE)
        # _index: counts nodes and is joined along its last axis in a batch
        graph.decode_index = torch.from_numpy(chosen[decoder.index].T.copy())
        graph.decode_weight = torch.from_numpy(decoder.weight).float()
    return graph


def chosen_points(
    graph: Data, points: float | int, sampling: str, seed: int
) -> Int[np.ndarray, " n"]:
    """So many nodes, or such a share of them below 1, of a body."""
    number = len(graph.pos)
    count = round(points * number) if points < 1 else int(points)
    count = min(max(count, graph.pos.shape[1] + 2), number)
    return SAMPLINGS[sampling](graph.pos.double().numpy(), count, seed)


def decoded(graph: Data, values: Float[Tensor, "n d"]) -> Float[Tensor, "N d"]:
    """The field at all nodes from its values at the sources, these exactly."""
    count, chosen = len(graph.pos), graph.source_index
    whole = values.new_zeros(count, values.shape[1])
    if "decode_index" in graph:
        weight = graph.decode_weight
        at_sources = weight.new_zeros(whole.shape).index_copy(0, chosen, values.to(weight.dtype))
        whole = weighted_sum(graph.decode_index.t().contiguous(), weight, at_sources)
    return whole.to(values.dtype).index_copy(0, chosen, values)

"""What a graph needs for a march of few of its nodes: which ones, how near, and what follows."""

import warnings
from contextlib import suppress

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import ConvexHull, QhullError
from torch import Tensor
from torch_geometric.data import Data

from meshgnn.decoders import nearest_source
from meshgnn.decoders.linear import weighted_sum
from meshgnn.decoders.neighbours import Neighbourhood, neighbourhood_along
from meshgnn.decoders.radial import rbf_weights
from meshgnn.graph.radius import connected_radius
from meshgnn.graph.sampling import covering, farthest_points, random_points
from meshgnn.mesh.topology import boundary, node_components
from meshgnn.models.giorom.patches import with_patches

SAMPLINGS = {"farthest": farthest_points, "random": random_points}
_NEIGHBOURS, _POWER, _FADE = 24, 3.0, 0.05  # best on held-out motions, see docs/lagrangian.md


def with_sources(
    graph: Data,
    chosen: Int[np.ndarray, " n"],
    reach: float,
    radius: float | None = None,
    patches: bool = True,
) -> Data:
    """The graph with a sparse set, its radius, and the weights that decode it to all nodes.

    R = max(least radius of connected graphs, reach · (volume / n)^(1/d)), in the reference
    configuration. Weights are those of a continuous cubic `local_rbf`, found once, of points that
    are near along the body: none leads across a gap. Pieces that no edge of the graph joins are
    bodies of their own: no patch and no weight leads from one to the other, and R joins the points
    of each.

    Args:
        graph: of one body or several with N nodes; it is changed.
        chosen: n different nodes.
        reach: R in mean spacings, at least.
        radius: R itself, m, instead; there is a warning if that leaves points of a body apart.
        patches: with those that a solid needs (`with_patches`), which take most of the time.

    Raises:
        ValueError: fewer than d + 2 points of a body.
    """
    points, mass = graph.pos.double().numpy(), graph.mass.double().numpy()
    chosen, edges = np.sort(chosen), graph.edge_index.t().numpy()
    body = node_components(edges, len(points))
    _check_number(body, chosen, points.shape[1])
    least, own, bodies = 0.0, np.empty_like(body), []
    index = np.empty((len(points), _NEIGHBOURS), np.int64)
    weight = np.empty(index.shape)
    for k in range(body.max() + 1):
        nodes, sources = np.flatnonzero(body == k), chosen[body[chosen] == k]
        places, local = points[nodes], np.searchsorted(nodes, sources)
        least = max(least, connected_radius(places[local]))
        own[nodes] = sources[nearest_source(places, local).index[:, 0]]
        joined = np.searchsorted(nodes, edges[body[edges[:, 0]] == k])
        near = neighbourhood_along(places, local, joined, _NEIGHBOURS)
        whole, weight[nodes] = _weights(near, len(local))
        index[nodes] = sources[whole]
        bodies.append((nodes, sources, near))
    spacing = (mass.sum() / len(chosen)) ** (1 / points.shape[1])
    radius = _joining(radius, least, reach * spacing, len(chosen))
    graph.source_index = torch.from_numpy(chosen)
    share = np.bincount(own, mass, len(points))[chosen]
    graph.source_mass = torch.from_numpy(share).float()
    skin = np.bincount(own, mass * _on_surface(graph), len(points))[chosen]
    graph.source_skin = torch.from_numpy(skin / share).float()
    graph.radius = torch.tensor([radius], dtype=torch.float32)
    # _index: counts nodes and is joined along its last axis in a batch
    graph.decode_index = torch.from_numpy(index.T.copy())
    graph.decode_weight = torch.from_numpy(weight).float()
    return with_patches(graph, chosen, share, bodies) if patches else graph


def _joining(radius: float | None, least: float, wanted: float, number: int) -> float:
    """The radius given, or one that joins the points of every body."""
    if radius is None:
        return max(least, wanted)
    if radius < least:
        warnings.warn(
            f"GIOROM: R = {radius:.4g} leaves some of the {number} points apart from the "
            f"others; the least that joins those of every body is {least:.4g}",
            stacklevel=3,
        )
    return radius


def _on_surface(graph: Data) -> Bool[np.ndarray, " N"]:
    """Nodes of facets of one simplex; all of a mesh that has no inside, as a shell."""
    simplices, number = graph.simplex_index.t().numpy(), len(graph.pos)
    if simplices.shape[1] != graph.pos.shape[1] + 1:
        return np.ones(number, bool)
    kind = "tetra" if simplices.shape[1] == 4 else "triangle"
    facets = boundary({kind: simplices}, number)
    nodes = np.concatenate([rows.ravel() for rows, _ in facets.values()])
    return np.isin(np.arange(number), nodes)


def _check_number(body: Int[np.ndarray, " N"], chosen: Int[np.ndarray, " n"], dim: int) -> None:
    number = np.bincount(body[chosen], minlength=body.max() + 1)
    if number.min() < dim + 2:
        which = f" (that of node {np.argmax(body == number.argmin())})" if len(number) > 1 else ""
        raise ValueError(
            f"GIOROM: expected at least {dim + 2} points of a body in {dim}D, got {number.min()}"
            f"{which}; give more points, or a finer mesh"
        )


def _weights(
    near: Neighbourhood, number: int
) -> tuple[Int[np.ndarray, "M k"], Float[np.ndarray, "M k"]]:
    """The decoder of one body; always as wide, so that graphs can be joined in a batch."""
    if number == len(near.index):
        index, own = np.arange(number)[:, None], np.ones((number, 1))
    else:
        index, own = near.index, rbf_weights(near, _POWER, fade=_FADE)
    missing = (0, 0), (0, _NEIGHBOURS - index.shape[1])
    return np.pad(index, missing, "edge"), np.pad(own, missing)


def chosen_points(
    graph: Data, points: float | int, sampling: str, seed: int
) -> Int[np.ndarray, " n"]:
    """So many nodes, or such a share of them below 1, of a body; all where there are no more.

    Half of them at most are held or driven, about twice as dense there as elsewhere: what is
    prescribed costs no march, and a clamp that is known at few points is too soft.
    A quarter at most are corners of the hull, none of which has none within a spacing: they meet
    walls first.
    """
    number, places = len(graph.pos), graph.pos.double().numpy()
    count = max(min(round(points * number) if points < 1 else int(points), number), 1)
    if count == number:
        return np.arange(number)
    held = np.flatnonzero(graph.dirichlet_mask.any(dim=1).numpy())
    spacing = (float(graph.mass.sum()) / count) ** (1 / places.shape[1])
    dense = spacing * 0.5 ** (1 / (places.shape[1] - 1))  # of a surface
    start = held[covering(places[held], dense, count // 2)] if len(held) else held
    corners = _corners(places, node_components(graph.edge_index.t().numpy(), number))
    corners = corners[covering(places[corners], spacing, count // 4)] if len(corners) else corners
    return SAMPLINGS[sampling](places, count, seed, np.union1d(start, corners))


def _corners(points: Float[np.ndarray, "N d"], body: Int[np.ndarray, " N"]) -> np.ndarray:
    """Nodes at vertices of the convex hull of each body that is not flat."""
    found = [np.empty(0, np.int64)]
    for k in range(body.max() + 1):
        nodes = np.flatnonzero(body == k)
        with suppress(QhullError):
            found.append(nodes[np.sort(ConvexHull(points[nodes]).vertices)])
    return np.concatenate(found)


def decoded(graph: Data, values: Float[Tensor, "n d"]) -> Float[Tensor, "N d"]:
    """The field at all nodes from its values at the sources, these exactly."""
    chosen, weight = graph.source_index, graph.decode_weight
    sources = weight.new_zeros(len(weight), values.shape[1])
    sources = sources.index_copy(0, chosen, values.to(weight.dtype))
    whole = weighted_sum(graph.decode_index.t().contiguous(), weight, sources)
    return whole.to(values.dtype).index_copy(0, chosen, values)

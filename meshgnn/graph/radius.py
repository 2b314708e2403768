"""The graph of points within a radius of each other, and the least radius that joins them all."""

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from scipy.spatial import Delaunay, KDTree

_FLAT = 1e-12  # extent over the largest one below which points have none in a direction


def connected_radius(points: Float[np.ndarray, "N d"]) -> float:
    """min{r : the graph with an edge where |x_i − x_j| ≤ r is connected}: the longest edge of the
    minimum spanning tree.

    The tree is taken among the edges of the Delaunay triangulation, which hold one; points in a
    plane or on a line are triangulated there. 0 for one point.

    Args:
        points: N points, in any unit of length.

    Returns:
        The radius in that unit, larger by 1e-9 of itself, so that rounding does not cut the graph.

    Raises:
        ValueError: NaN, or no points.
    """
    _check("connected_radius", points)
    points = points.astype(np.float64)
    centred = points - points.mean(axis=0)
    sizes, axes = np.linalg.svd(centred, full_matrices=False)[1:]
    flat = centred @ axes[sizes > _FLAT * max(sizes[0], np.finfo(float).tiny)].T
    if flat.shape[1] == 0:
        return 0.0
    if flat.shape[1] == 1:
        return float(np.diff(np.sort(flat[:, 0])).max() * (1 + 1e-9))
    mesh = Delaunay(flat)
    sides = [
        mesh.simplices[:, pair] for pair in zip(*np.triu_indices(flat.shape[1] + 1, 1), strict=True)
    ]
    pairs = np.concatenate([*sides, mesh.coplanar[:, [0, 2]]])  # and points left out for rounding
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    length = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    rank = np.argsort(np.argsort(length)) + 1.0  # csgraph takes an edge of length 0 for none
    tree = minimum_spanning_tree(coo_array((rank, pairs.T), shape=2 * (len(points),)).tocsr())
    return float(np.sort(length)[int(tree.data.max()) - 1] * (1 + 1e-9))


def radius_edges(points: Float[np.ndarray, "N d"], radius: float) -> Int[np.ndarray, "2 E"]:
    """{(j, i): 0 < |i − j|, |x_i − x_j| ≤ r}: both directions, without loops.

    By a k-d tree, so that it may be built anew in each step of a rollout.

    Args:
        points: N points.
        radius: r, in their unit; `connected_radius` is the least that leaves no part alone.

    Returns:
        Source j and target i, sorted by target, then source.

    Raises:
        ValueError: NaN; a radius that is not positive.
    """
    _check("radius_edges", points)
    if not radius > 0:
        raise ValueError(f"radius_edges: expected a positive radius, got {radius}")
    pairs = KDTree(points).query_pairs(radius, output_type="ndarray").astype(np.int64)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    return np.ascontiguousarray(both[np.lexsort((both[:, 0], both[:, 1]))].T)


def component_count(edge_index: Int[np.ndarray, "2 E"], num_nodes: int) -> int:
    """Number of parts of a graph that no edge joins."""
    ones = np.ones(edge_index.shape[1])
    graph = coo_array((ones, tuple(edge_index)), shape=2 * (num_nodes,))
    return int(connected_components(graph, directed=False)[0])


def _check(name: str, points: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(bad):
        raise ValueError(f"{name}: {len(bad)} points are NaN or infinite, the first is {bad[0]}")
    if not len(points):
        raise ValueError(f"{name}: expected at least one point, got none")

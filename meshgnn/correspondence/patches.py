"""The surface of a solid: patches between sharp edges, and the curves where two patches meet."""

from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from meshgnn.correspondence.curves import Curve, chained
from meshgnn.correspondence.matching import features
from meshgnn.correspondence.shape import Shape


class Surface:
    """Triangles of one name, cut where the surface turns by more than `sharp`.

    Args:
        shape: of tetrahedra.
        sharp: angle between the normals of two triangles, rad.

    Raises:
        ValueError: an edge with other than two boundary triangles.
    """

    def __init__(self, shape: Shape, sharp: float) -> None:
        self.shape, self.sharp = shape, sharp
        self.facets = shape.facets
        self._edges = self.facets[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
        self._owner = np.repeat(np.arange(len(self.facets)), 3)
        self._across = self._owner[_twins(self._edges, len(shape.points))]
        x = shape.numbers[self.facets]
        vectors = np.cross(x[:, 1] - x[:, 0], x[:, 2] - x[:, 0]) / 2
        areas = np.linalg.norm(vectors, axis=1)
        normal = vectors / areas[:, None]
        tags = np.unique(np.array(shape.names), return_inverse=True)[1]
        here, there = self._owner, self._across
        smooth = (normal[here] * normal[there]).sum(axis=1) >= np.cos(sharp)
        joined = smooth & (tags[here] == tags[there])
        pairs = here[joined], there[joined]
        graph = coo_array((np.ones(joined.sum(), bool), pairs), shape=(len(areas),) * 2)
        count, self.label = connected_components(graph, directed=False)
        first = np.unique(self.label, return_index=True)[1]  # one facet of each
        self.names = [shape.names[facet] for facet in first]
        total = np.bincount(self.label, areas, count)[:, None]
        self.centres: Float[np.ndarray, "P 3"] = (
            _sums(areas[:, None] * x.mean(axis=1), self) / total
        )
        self.features = features(self.centres, _sums(vectors, self) / total, shape.numbers)

    @cached_property
    def on_rim(self) -> Bool[np.ndarray, " N"]:
        """Nodes at which several patches meet."""
        out = np.zeros(len(self.shape.points), bool)
        out[self._edges[self.label[self._owner] != self.label[self._across]]] = True
        return out

    @cached_property
    def lift(self) -> Float[np.ndarray, " P"]:
        """Shifts along x that take the patches apart, so that one search serves them all."""
        reach = 4.0 * np.ptp(self.shape.numbers, axis=0).max()
        return reach * np.arange(len(self.names))

    @cached_property
    def sources(self) -> Int[np.ndarray, "Q 3"]:
        """Corners of the triangles; at the rim of a patch its nearest inner node, if it has one."""
        inner = ~self.on_rim[self.facets]
        out = self.facets.copy()
        if inner.any() and not inner.all():
            x = self.shape.numbers[self.facets]
            x[..., 0] += self.lift[self.label][:, None]
            found = KDTree(x[inner]).query(x[~inner])[1]
            patch = np.broadcast_to(self.label[:, None], inner.shape)
            same = patch[inner][found] == patch[~inner]
            out[~inner] = np.where(same, self.facets[inner][found], self.facets[~inner])
        return out

    def rim_sources(self, number: Int[np.ndarray, " P"]) -> Int[np.ndarray, " N"]:
        """For nodes of a rim the source in the patch of lowest number that has one."""
        source, node = self.sources.ravel(), self.facets.ravel()
        order = np.lexsort((-np.repeat(number[self.label], 3), self.on_rim[source] == 0))
        out = np.arange(len(self.shape.points))
        out[node[order]] = source[order]
        return out

    def curves(self, number: Int[np.ndarray, " P"]) -> list[Curve]:
        """Where patches meet, the patch of the lower number to the left; cut at corners.

        Corners are where three or more patches meet, or the curve turns by more than `sharp`.
        """
        one, two = number[self.label[self._owner]], number[self.label[self._across]]
        kept = one < two
        edges, one, two = self._edges[kept], one[kept], two[kept]
        start, end = edges.T
        after = np.zeros(len(self.shape.points), np.int64)
        after[start] = np.arange(len(edges))
        after = after[end]
        side = self.shape.numbers[end] - self.shape.numbers[start]
        side /= np.linalg.norm(side, axis=1, keepdims=True)
        corner = np.bincount(edges.ravel(), minlength=len(self.shape.points))[end] != 2
        corner |= (side * side[after]).sum(axis=1) < np.cos(self.sharp)
        at_corner = np.zeros(len(self.shape.points), bool)
        at_corner[end[corner]] = True
        titles = np.array(self.names)[np.argsort(number)]
        names = [f"{titles[a]} ({a}), {titles[b]} ({b})" for a, b in zip(one, two, strict=True)]
        return chained(edges, names, corner, after, np.flatnonzero(at_corner[start]))


def _sums(values: Float[np.ndarray, "Q 3"], surface: Surface) -> Float[np.ndarray, "P 3"]:
    """Over each patch."""
    return np.stack([np.bincount(surface.label, column) for column in values.T], axis=1)


def _twins(edges: Int[np.ndarray, "E 2"], nodes: int) -> Int[np.ndarray, " E"]:
    """The same edge the other way round."""
    keys, turned = edges @ [nodes, 1], edges @ [1, nodes]
    order = np.argsort(keys, kind="stable")
    double = keys[order][1:] == keys[order][:-1]
    if double.any():
        raise ValueError(
            f"correspondence: the boundary touches itself at {double.sum()} edges, the first at "
            f"node {edges[order[1:][double][0], 0]}; separate them in the mesh"
        )
    return order[np.searchsorted(keys[order], turned)]

"""Curves of edges: where the boundary is cut into them, and points along them by arc length."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from meshgnn.correspondence.shape import Shape


@dataclass(frozen=True, eq=False)
class Placement:
    """Places on the boundary of a shape, as means of nodes.

    Args:
        nodes: [K, k].
        weights: [K, k], of sum 1.
        sources: [K, k] nodes to read boundary data from: at the rim of a part its nearest inner
            node, for at the rim itself data of two parts are mixed.
    """

    nodes: Int[Tensor, "K k"]
    weights: Float[Tensor, "K k"]
    sources: Int[Tensor, "K k"]

    def of(self, values: Float[Tensor, "N F"]) -> Float[Tensor, "K F"]:
        """A continuous field at the places."""
        return torch.einsum("kn,knf->kf", self.weights, values[self.nodes])

    def data(self, values: Float[Tensor, "N F"]) -> Float[Tensor, "K F"]:
        """Boundary data of the part that each place is on."""
        return torch.einsum("kn,knf->kf", self.weights, values[self.sources])

    @classmethod
    def joined(cls, parts: "list[Placement]") -> "Placement":
        """One after the other."""
        return cls(
            torch.cat([part.nodes for part in parts]),
            torch.cat([part.weights for part in parts]),
            torch.cat([part.sources for part in parts]),
        )


@dataclass(frozen=True, eq=False)
class Curve:
    """A chain of edges, from corner to corner or closed.

    Args:
        nodes: [m + 1] in order; the first one again at the end of a closed curve.
        name: of its part.
        closed: whether it closes without a corner.
    """

    nodes: Int[np.ndarray, " _"]
    name: str
    closed: bool

    def centre(self, points: Float[np.ndarray, "N d"]) -> Float[np.ndarray, " d"]:
        """Mean over its length."""
        x = points[self.nodes]
        lengths = np.linalg.norm(np.diff(x, axis=0), axis=1)
        return lengths @ (x[1:] + x[:-1]) / 2 / lengths.sum()

    def chord(self, points: Float[np.ndarray, "N d"]) -> Float[np.ndarray, " d"]:
        """Unit vector from its first to its last node; 0 where it is closed."""
        step = points[self.nodes[-1]] - points[self.nodes[0]]
        size = np.linalg.norm(step)
        return step / size if size > 0 else step

    def reversed(self) -> "Curve":
        """The other way round."""
        return Curve(self.nodes[::-1].copy(), self.name, self.closed)

    def at(
        self,
        points: Float[Tensor, "N d"],
        fractions: Float[Tensor, " K"],
        axes: Float[Tensor, "2 d"],
    ) -> Placement:
        """x(s_0 + f L), L the length: weights are differentiable in the points.

        A closed curve starts where it crosses the half plane from its centre along the first axis,
        (x − c) · a_2 = 0, (x − c) · a_1 > 0, at the farthest place if there are several.
        """
        nodes = torch.from_numpy(self.nodes).to(points.device)
        x = points[nodes]
        lengths = (x[1:] - x[:-1]).norm(dim=1)
        ends = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        total = ends[-1]
        s = fractions * total
        if self.closed:
            s = torch.remainder(s + self._start(x, lengths, ends, axes), total)
        edge = torch.searchsorted(ends.detach(), s.detach(), right=True) - 1
        edge = edge.clamp(0, len(lengths) - 1)
        share = (s - ends[edge]) / lengths[edge]
        own = nodes.clone()
        if not self.closed and len(own) > 2:
            own[[0, -1]] = nodes[[1, -2]]
        rows = [torch.stack([of[edge], of[edge + 1]], dim=1) for of in (nodes, own)]
        return Placement(rows[0], torch.stack([1 - share, share], dim=1), rows[1])

    def fractions(
        self, points: Float[Tensor, "N d"], axes: Float[Tensor, "2 d"]
    ) -> Float[Tensor, " m"]:
        """f of its own nodes, without the last where it repeats the first."""
        x = points[torch.from_numpy(self.nodes).to(points.device)]
        lengths = (x[1:] - x[:-1]).norm(dim=1)
        ends = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        if not self.closed:
            return ends / ends[-1]
        start = self._start(x, lengths, ends, axes)
        return torch.remainder(ends[:-1] - start, ends[-1]) / ends[-1]

    def _start(
        self, x: Tensor, lengths: Tensor, ends: Tensor, axes: Float[Tensor, "2 d"]
    ) -> Float[Tensor, ""]:
        """Arc length from the first node to the start of a closed curve."""
        centre = (lengths[:, None] * (x[1:] + x[:-1])).sum(dim=0) / (2 * ends[-1])
        along, across = (x - centre) @ axes[0], (x - centre) @ axes[1]
        crosses = (across[:-1] > 0) != (across[1:] > 0)
        gap = across[:-1] - across[1:]
        share = across[:-1] / torch.where(crosses, gap, 1.0)
        reach = torch.where(crosses, along[:-1] + share * (along[1:] - along[:-1]), -torch.inf)
        first = int(reach.argmax())
        return ends[first] + share[first] * lengths[first]


def outline(shape: Shape, sharp: float) -> list[Curve]:
    """The curves of a plane shape: cut where the name changes or the boundary turns by > sharp.

    Args:
        shape: a plane one.
        sharp: angle, rad.

    Raises:
        ValueError: a node at which two boundary curves touch.
    """
    start, end = shape.facets.T
    follower = np.full(len(shape.points), -1)
    follower[start] = np.arange(len(start))
    if len(np.unique(start)) < len(start):
        twice = np.flatnonzero(np.bincount(start) > 1)
        raise ValueError(
            f"correspondence: the boundary touches itself at {len(twice)} nodes, the first "
            f"{twice[0]}; separate them in the mesh"
        )
    after = follower[end]  # of each facet the next one
    corner = _corners(shape, after, sharp)  # at its end
    return chained(shape.facets, shape.names, corner, after, after[corner])


def chained(
    edges: Int[np.ndarray, "E 2"],
    names: list[str],
    corner: Bool[np.ndarray, " E"],
    after: Int[np.ndarray, " E"],
    first: Int[np.ndarray, " F"],
) -> list[Curve]:
    """Directed edges as curves from corner to corner, then the closed ones.

    Args:
        edges: [E, 2].
        names: of the edges.
        corner: whether one is at the end of each edge.
        after: the edge that follows each, where there is no corner.
        first: the edges that begin at a corner.
    """
    start, end = edges.T
    left, curves = np.ones(len(start), dtype=bool), []
    for begin in [*first, *range(len(start))]:
        if not left[begin]:
            continue
        chain, edge = [], begin
        while left[edge]:
            left[edge] = False
            chain.append(edge)
            if corner[edge]:
                break
            edge = after[edge]
        nodes = np.array([*start[chain], end[chain[-1]]])
        curves.append(Curve(nodes, names[begin], not corner[chain[-1]]))
    return curves


def _corners(shape: Shape, after: Int[np.ndarray, " Q"], sharp: float) -> Bool[np.ndarray, " Q"]:
    """Whether a corner is at the end of each edge of the boundary."""
    start, end = shape.facets.T
    side = shape.numbers[end] - shape.numbers[start]
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    turned = (side * side[after]).sum(axis=1) < np.cos(sharp)
    names = np.array(shape.names)
    return turned | (names != names[after])

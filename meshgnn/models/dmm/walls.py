"""Nodes that slide on the walls of a mesh, for graphs and batches of them."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Data

from meshgnn.operators import barycentric, closest, neighbour_steps
from meshgnn.operators import walls as find_walls

_STEPS = 100  # facets in a slide; a longer one stops there
# degrees: nodes that slide on a polygon of fewer than 18 sides would cut off its corners
CORNER = 20.0


def wall_attributes(graph: Data) -> dict[str, Tensor]:
    """What `Slides` needs of a mesh: facets of walls and ridges, their neighbours, tangents.

    The neighbours of a facet are given as steps in the list, 0 where its smooth piece ends, so that
    the lists of a batch are those of its graphs.
    """
    pos, simplices = graph.pos, graph.simplex_index.t()
    d = pos.shape[1]
    walls = find_walls(pos, simplices, corner=CORNER)
    levels: dict[int, list[Tensor]] = {k: [] for k in range(2, d + 1)}
    for _, rows in walls.pieces:
        levels[rows.shape[1]].append(rows)
    found = {"tangents": walls.tangents}
    for k, pieces in levels.items():
        rows = torch.cat([simplices.new_zeros(0, k), *pieces])
        steps = [neighbour_steps(piece, len(pos)) for piece in pieces]
        found[f"slide_index_{k}"] = rows.t().contiguous()
        found[f"slide_steps_{k}"] = torch.cat([simplices.new_zeros(0, k), *steps])
    return found


class Slides:
    """Where sliding nodes are, and in which directions they may go on.

    Args:
        graph: with `wall_attributes`; may be a batch.
        pos: its positions, in the type and unit to compute in.
    """

    def __init__(self, graph: Data, pos: Float[Tensor, "N d"]) -> None:
        self.pos, d = pos, pos.shape[1]
        self.start = graph.tangents.to(pos.dtype)
        freedom = self.start.diagonal(dim1=1, dim2=2).sum(dim=1)
        self.fixed = freedom < 0.5
        self.levels = []
        for k in range(2, d + 1):
            rows, steps = graph[f"slide_index_{k}"].t(), graph[f"slide_steps_{k}"]
            nodes = torch.nonzero((freedom - (k - 1)).abs() < 0.5)[:, 0]
            if len(nodes):
                self.levels.append([nodes, rows, steps, _first(rows, len(pos))[nodes]])
        self.started = False

    @property
    def tangents(self) -> Float[Tensor, "N d d"]:
        """Projectors on the directions of the facets where the sliding nodes are."""
        if not self.started:
            return self.start
        found = self.start
        for nodes, rows, _, facet in self.levels:
            corners = self.pos[rows[facet]]
            sides = corners[:, 1:] - corners[:, :1]
            base = torch.linalg.qr(sides.transpose(1, 2)).Q
            found = found.index_copy(0, nodes, base @ base.transpose(1, 2))
        return found

    def onto(self, x: Float[Tensor, "N d"], keep: bool = False) -> Float[Tensor, "N d"]:
        """x with each wall node put to a nearest point of its piece, found by a walk along it.

        Args:
            x: [N, d].
            keep: take these for the places where the nodes now are.
        """
        out = torch.where(self.fixed[:, None], self.pos, x)
        for level in self.levels:
            nodes, rows, steps, facet = level
            facet = _walk(x[nodes].detach(), self.pos.detach(), rows, steps, facet)
            weights = closest(x[nodes], self.pos, rows[facet])
            feet = torch.einsum("qn,qnd->qd", weights, self.pos[rows[facet]])
            out = out.index_copy(0, nodes, feet)
            if keep:
                level[3] = facet
        self.started = self.started or keep
        return out


def _first(rows: Int[Tensor, "F k"], nodes: int) -> Int[Tensor, " N"]:
    """The first facet of each node, F where it has none."""
    numbers = torch.arange(len(rows), device=rows.device)[:, None].expand_as(rows)
    first = rows.new_full((nodes,), len(rows))
    return first.scatter_reduce(0, rows.reshape(-1), numbers.reshape(-1), "amin")


def _walk(
    x: Float[Tensor, "Q d"],
    pos: Float[Tensor, "N d"],
    rows: Int[Tensor, "F k"],
    steps: Int[Tensor, "F k"],
    facet: Int[Tensor, " Q"],
) -> Int[Tensor, " Q"]:
    """From facet to facet through the most negative λ of the projection of x; not back."""
    facet, last = facet.clone(), torch.full_like(facet, -1)
    active = torch.arange(len(x), device=x.device)
    for _ in range(_STEPS):
        here = facet[active]
        weights = barycentric(x[active], pos, rows[here])
        step = steps[here]
        worst, side = weights.where(step != 0, torch.inf).min(dim=1)
        there = here + step.gather(1, side[:, None])[:, 0]
        on = (worst < 0) & (there != last[active])
        active, here, there = active[on], here[on], there[on]
        if not len(active):
            break
        facet[active], last[active] = there, here
    return facet

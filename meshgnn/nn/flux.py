"""Message passing with one evaluation an edge: fluxes between the two ends."""

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from meshgnn.nn.edge_chain import Walk
from meshgnn.nn.flux_walk import Flux, signs, walk_fluxes
from meshgnn.nn.layers import activate, by_rows, mlp

FORMS = ("antisymmetric", "symmetric", "mixed")


def undirected(edge_index: Int[Tensor, "2 E"]) -> tuple[Int[Tensor, " P"], Int[Tensor, "2 P"]]:
    """One direction of every edge: its place in `edge_index`, and its ends, sorted by the second.

    Raises:
        ValueError: edges that are not there in both directions, or from a node to itself.
    """
    source, target = edge_index
    half = edge_index.shape[1] // 2
    if torch.compiler.is_compiling():  # whose sizes must not depend on values
        chosen = torch.argsort((source > target).to(torch.int8), stable=True)[:half]
    else:
        chosen, back = (torch.nonzero(x)[:, 0] for x in (source < target, source > target))
        nodes = int(edge_index.max()) + 1 if half else 0
        there, again = source[chosen] * nodes + target[chosen], target[back] * nodes + source[back]
        loops = edge_index.shape[1] - len(chosen) - len(back)
        if loops or not torch.equal(there.sort().values, again.sort().values):
            alone = int((~torch.isin(there, again)).sum() + (~torch.isin(again, there)).sum())
            raise ValueError(
                f"fluxes: expected every edge in both directions, got {len(chosen)} edges j → i "
                f"with j < i, {len(back)} with j > i, {alone} of them without the other, and "
                f"{loops} from a node to itself; build graphs with to_graph, or take "
                "edges='directed'"
            )
    return chosen, edge_index[:, chosen]


class FluxBlock(nn.Module):
    """o_ij = P (h_j − h_i) + V Δx_ij,   z = W e + b + P (h_i + h_j) + |o_ij|,   g = φ(z);

        m_ij = g ⊙ o_ij  (antisymmetric),  g  (symmetric),  or half of the channels each (mixed);
        h_i ← h_i + ψ(h_i, Σ_j m_ij),   e ← e + g.

    One evaluation of φ an edge in place of two, and one product of the node states in place of two.
    Seen from the other end o changes its sign and z does not: so m_ji = ∓ m_ij for any weights,
    whichever direction is taken. Antisymmetric messages are fluxes: what leaves one node arrives at
    the other, and Σ_i Σ_j m_ij = 0. The states of the edges are the same from both ends.

    Args:
        width: H, size of node states, edge states and messages.
        dim: d, size of Δx.
        hidden: number of hidden layers of φ and ψ.
        activation: see `mlp`.
        form: "antisymmetric", "symmetric", or "mixed".
        recompute: keep no activations of φ for the gradient, see `InteractionBlock`.
        split: False for whole tensors, the reference for speed and for tests (same result).

    Raises:
        ValueError: an unknown form.

    Source: for antisymmetric messages Horie & Mitsume 2024 (FluxGNN) in spirit; the products here
    are our own.
    """

    def __init__(
        self,
        width: int,
        dim: int,
        hidden: int = 1,
        activation: str = "silu",
        form: str = "antisymmetric",
        recompute: bool = False,
        split: bool = True,
    ) -> None:
        super().__init__()
        if form not in FORMS:
            raise ValueError(f"unknown form of fluxes {form!r}; choose one of {', '.join(FORMS)}")
        self.even = {"antisymmetric": 0, "symmetric": width, "mixed": width // 2}[form]
        self.recompute, self.split = recompute, split
        self.ends = nn.Linear(width, width, bias=False)
        self.vector = nn.Linear(dim, width, bias=False)
        self.edge = nn.Linear(width, width)
        self.act = activate(activation)
        self.rest = mlp([width] * (hidden + 1), activation, norm=True)
        self.node = mlp([2 * width] + [width] * (hidden + 1), activation, norm=True)

    def forward(
        self,
        h: Float[Tensor, "N H"],
        e: Float[Tensor, "P H"],
        pairs: Int[Tensor, "2 P"],
        dx: Float[Tensor, "P d"],
    ) -> tuple[Float[Tensor, "N H"], Float[Tensor, "P H"]]:
        """New states of nodes and edges; dx from the second end to the first, e is given up."""
        total, out = self.fluxes(h, e, pairs, dx)
        if torch.is_grad_enabled():
            return h + self.node(torch.cat([h, total], dim=1)), out
        return h + by_rows(lambda *rows: self.node(torch.cat(rows, dim=1)), h, total), out

    def fluxes(
        self,
        h: Float[Tensor, "N H"],
        e: Float[Tensor, "P H"],
        pairs: Int[Tensor, "2 P"],
        dx: Float[Tensor, "P d"],
    ) -> tuple[Float[Tensor, "N H"], Float[Tensor, "P H"]]:
        """Σ_j m_ij at every node, and e + g."""
        flux = self._walk(h)
        if flux is not None:
            params = [self.vector.weight, self.edge.weight, self.edge.bias, *flux[1]]
            return walk_fluxes(flux[0], pairs, e, self.ends(h), dx, params)
        p = self.ends(h)
        first, second = p.index_select(0, pairs[0]), p.index_select(0, pairs[1])
        o = first - second + self.vector(dx)
        g = self.rest(self.act(self.edge(e) + (first + second) + o.abs()))
        m = torch.cat([g[:, : self.even], g[:, self.even :] * o[:, self.even :]], dim=1)
        total = m.new_zeros(h.shape[0], m.shape[1]).index_add(0, pairs[1], m)
        return total.index_add(0, pairs[0], m * signs(m, self.even)), e + g

    def _walk(self, h: Tensor) -> tuple[Flux, list[Tensor]] | None:
        """The walk over pieces of the edges and its weights, where it is the faster way."""
        autocast = torch.is_autocast_enabled(h.device.type)
        if not self.split or h.device.type != "cpu" or autocast or torch.compiler.is_compiling():
            return None
        found = Walk.of([self.act, *self.rest])
        if found is None:
            return None
        weights: list[Tensor] = []
        for layer in found[1]:
            weights += layer.parameters()  # weight, then bias
        return Flux(replace(found[0], keep=not self.recompute), self.even), weights

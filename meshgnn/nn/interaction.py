"""The message-passing block that all models share."""

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from meshgnn.nn.edge_chain import Walk
from meshgnn.nn.edge_walk import walk_edges
from meshgnn.nn.layers import activate, by_rows, mlp
from meshgnn.nn.reductions import segment_sum
from meshgnn.nn.triton_walk import fused_edges, fused_fits


def edge_vectors(graph: object) -> Float[Tensor, "E d"]:
    """Δx_e = pos_j − pos_i (+ shift · period on periodic meshes), from source j to target i.

    Computed where it is used, so it is differentiable and never stale on a moving mesh.
    """
    source, target = graph.edge_index  # type: ignore[attr-defined]
    delta = graph.pos[source] - graph.pos[target]  # type: ignore[attr-defined]
    shift = getattr(graph, "edge_shift", None)
    if shift is None:
        return delta
    batch = getattr(graph, "batch", None)
    period = graph.period if batch is None else graph.period[batch[target]]  # type: ignore[attr-defined]
    return delta + shift * period


class InteractionBlock(nn.Module):
    """m_e = φ(h_i, h_j, e_e);   h_i ← h_i + ψ(h_i, Σ or mean of incoming m, c_i);   returns h, m.

    A method with edge state writes `e = e + m`; one without ignores m. The first layer of φ is
    split: its products with h_i and h_j are taken at the nodes, before the gather, which removes
    two thirds of that layer's arithmetic and the widest tensor of the network. On a CPU the edges
    are then walked piece by piece (`edge_walk`). `split=False` keeps the textbook form (same
    weights, same result) as the reference for speed and for tests.

    Args:
        width: H, size of node states and messages.
        edge_width: size of e_e; by default H.
        context: size of the node context c_i; 0 for none.
        hidden: number of hidden layers of φ and ψ.
        activation: see `mlp`.
        norm: LayerNorm at the end of φ and ψ.
        reduce: "sum" or "mean" over the incoming messages.
        split: see above.
        gather: what targets receive: "messages", or, with residual edges, the new edge "states"
            e + m, as PhysicsNeMo's MeshGraphNet has it.
        recompute: keep no activations of φ for the gradient but compute them again, piece by piece
            (CPU): less memory in training, more time.

    Raises:
        ValueError: an unknown reduction, or something else to gather.

    Source: Battaglia et al. 2016 (interaction networks); Pfaff et al. 2021, eq. 1.
    """

    def __init__(
        self,
        width: int,
        edge_width: int | None = None,
        context: int = 0,
        hidden: int = 1,
        activation: str = "silu",
        norm: bool = True,
        reduce: str = "sum",
        split: bool = True,
        recompute: bool = False,
        gather: str = "messages",
    ) -> None:
        super().__init__()
        if reduce not in ("sum", "mean"):
            raise ValueError(f"unknown reduction {reduce!r}; choose 'sum' or 'mean'")
        if gather not in ("messages", "states"):
            raise ValueError(f"unknown gather {gather!r}; choose 'messages' or 'states'")
        self.states = gather == "states"
        edge_width = width if edge_width is None else edge_width
        self.width, self.reduce, self.split, self.recompute = width, reduce, split, recompute
        self.first = nn.Linear(2 * width + edge_width, width)
        self.act = activate(activation)
        self.rest = mlp([width] * (hidden + 1), activation, norm)
        self.node = mlp([2 * width + context] + [width] * (hidden + 1), activation, norm)

    def forward(
        self,
        h: Float[Tensor, "N H"],
        e: Float[Tensor, "E He"],
        edge_index: Int[Tensor, "2 E"],
        c: Float[Tensor, "N Hc"] | None = None,
        weight: Float[Tensor, " E"] | None = None,
        residual: bool = False,
    ) -> tuple[Float[Tensor, "N H"], Float[Tensor, "E H"]]:
        """New node states and the messages. `edge_index` is sorted by target (row 1).

        A weight of every edge multiplies its message in the sum or mean, and nowhere else. With
        residual the second result is e + m, for which e is given up: it may be written over.

        Raises:
            ValueError: residual edges whose states have another width than the messages.
        """
        if residual and e.shape[1] != self.width:
            raise ValueError(
                f"InteractionBlock: residual edges e + m need states as wide as the messages, "
                f"expected {self.width}, got {e.shape[1]}; make the block with "
                f"edge_width={self.width}, or take residual=False and use the messages"
            )
        walk = None if weight is not None or not self.split else self._walk(h, e, residual)
        if walk is not None:
            w_target, w_source, w_edge = self._first(e)
            linear = nn.functional.linear
            params = [w_edge, self.first.bias, *walk[1]]
            p, q = linear(h, w_target), linear(h, w_source)
            run = fused_edges if fused_fits(walk[0], h, e) else walk_edges
            total, out = run(walk[0], edge_index, e, p, q, params)
        else:
            m = self.rest(self.act(self._products(h, e, edge_index)))
            out = e + m if residual else m
            sent = out if self.states else m
            weighted = sent if weight is None else sent * weight[:, None]
            total = segment_sum(weighted, edge_index[1], h.shape[0])
        if self.reduce == "mean":
            ones = torch.ones_like(edge_index[1], dtype=total.dtype)[:, None]
            count = segment_sum(ones, edge_index[1], h.shape[0])
            total = total / count.clamp(min=1)
        inputs = [h, total] if c is None else [h, total, c]
        if torch.is_grad_enabled():
            return h + self.node(torch.cat(inputs, dim=1)), out
        return h + by_rows(lambda *rows: self.node(torch.cat(rows, dim=1)), *inputs), out

    def _products(self, h: Tensor, e: Tensor, edge_index: Tensor) -> Tensor:
        """The first layer of φ on every edge."""
        source, target = edge_index
        if not self.split:
            return self.first(torch.cat([h[target], h[source], e], dim=1))
        w_target, w_source, w_edge = self._first(e)
        z = nn.functional.linear(e, w_edge, self.first.bias)
        # In place on a fresh product: no further tensor of E × H is made.
        z = z.add_(nn.functional.linear(h, w_target).index_select(0, target))
        return z.add_(nn.functional.linear(h, w_source).index_select(0, source))

    def _first(self, e: Tensor) -> tuple[Tensor, ...]:
        return self.first.weight.split([self.width, self.width, e.shape[1]], dim=1)

    def _walk(self, h: Tensor, e: Tensor, residual: bool) -> tuple[Walk, list[Tensor]] | None:
        """The walk over pieces of the edges and its weights, where it is the faster way."""
        found = Walk.of([self.act, *self.rest])
        if found is None or torch.compiler.is_compiling():
            return None
        walk = replace(
            found[0], residual=residual, states=self.states and residual, keep=not self.recompute
        )
        whole = h.device.type != "cpu" or torch.is_autocast_enabled(h.device.type)
        if whole and not fused_fits(walk, h, e):
            return None
        weights: list[Tensor] = []
        for layer in found[1]:
            weights += layer.parameters()  # weight, then bias
        return walk, weights

"""The message-passing block that all models share."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from meshgnn.nn.layers import activate, mlp
from meshgnn.nn.reductions import segment_sum


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
    two thirds of that layer's arithmetic and the widest tensor of the network. `split=False` keeps
    the textbook form (same weights, same result) as the reference for speed and for tests.

    Args:
        width: H, size of node states and messages.
        edge_width: size of e_e; by default H.
        context: size of the node context c_i; 0 for none.
        hidden: number of hidden layers of φ and ψ.
        activation: see `mlp`.
        norm: LayerNorm at the end of φ and ψ.
        reduce: "sum" or "mean" over the incoming messages.
        split: see above.

    Raises:
        ValueError: an unknown reduction.

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
    ) -> None:
        super().__init__()
        if reduce not in ("sum", "mean"):
            raise ValueError(f"unknown reduction {reduce!r}; choose 'sum' or 'mean'")
        edge_width = width if edge_width is None else edge_width
        self.width, self.reduce, self.split = width, reduce, split
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
    ) -> tuple[Float[Tensor, "N H"], Float[Tensor, "E H"]]:
        """New node states and the messages. `edge_index` is sorted by target (row 1).

        A weight of every edge multiplies its message in the sum or mean, and nowhere else.
        """
        source, target = edge_index
        if self.split:
            w_target, w_source, w_edge = self.first.weight.split(
                [self.width, self.width, e.shape[1]], dim=1
            )
            z = nn.functional.linear(e, w_edge, self.first.bias)
            # In place on a fresh product: no further tensor of E × H is made.
            z = z.add_(nn.functional.linear(h, w_target).index_select(0, target))
            z = z.add_(nn.functional.linear(h, w_source).index_select(0, source))
        else:
            z = self.first(torch.cat([h[target], h[source], e], dim=1))
        m = self.rest(self.act(z))
        total = segment_sum(m if weight is None else m * weight[:, None], target, len(h))
        if self.reduce == "mean":
            count = torch.bincount(target, minlength=len(h)).clamp(min=1)
            total = total / count[:, None]
        inputs = [h, total] if c is None else [h, total, c]
        return h + self.node(torch.cat(inputs, dim=1)), m

"""Normalisation over the nodes of each graph."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from meshgnn.nn.reductions import GraphRows


class InstanceNorm(nn.Module):
    """z_i = (h_i − mean) / √(var + ε) for every feature, over the nodes of each graph.

        mean = Σ_i w_i h_i / Σ_i w_i,   var = Σ_i w_i (h_i − mean)² / Σ_i w_i,   w = 1 or given.

    With the lumped masses as weights both are integrals, which do not change with how finely a part
    of the domain is meshed; without weights every node counts alike, as published. No running
    statistics: training and evaluation are the same. No parameters. The mean of each feature over a
    graph is lost: nothing after it knows a constant that was added to h.

    Args:
        eps: ε.

    Source: Ulyanov, Vedaldi & Lempitsky, Instance Normalization, 2016, eq. 4; the weights are ours.
    """

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps

    def forward(
        self, h: Float[Tensor, "N H"], rows: GraphRows, weight: Float[Tensor, " N"] | None = None
    ) -> Float[Tensor, "N H"]:
        """Node states after; `rows` holds the graphs of the batch, `weight` is w > 0."""
        h = h.to(
            torch.promote_types(h.dtype, torch.float32)
        )  # such sums are not for half precision
        weight = h.new_ones(len(h)) if weight is None else weight
        share = rows.pad(weight[:, None])
        share = share / share.sum(dim=1, keepdim=True)
        x = rows.pad(h)
        x = x - (share * x).sum(dim=1, keepdim=True)
        variance = (share * x**2).sum(dim=1, keepdim=True)
        return rows.flatten(x * torch.rsqrt(variance + self.eps))

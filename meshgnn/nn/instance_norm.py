"""Normalisation over the nodes of each graph."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from meshgnn.nn.reductions import GraphRows


class InstanceNorm(nn.Module):
    """z_i = (h_i − mean) / √(var + ε) for every feature, over the nodes of each graph.

        mean = Σ_i h_i / N,   var = Σ_i (h_i − mean)² / N.

    Every node counts alike, so both change with how finely a part of the domain is meshed. No
    running statistics: training and evaluation are the same. No parameters. The mean of each
    feature over a graph is lost: nothing after it knows a constant that was added to h.

    Args:
        eps: ε.

    Source: Ulyanov, Vedaldi & Lempitsky, Instance Normalization, 2016, eq. 4.
    """

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, h: Float[Tensor, "N H"], rows: GraphRows) -> Float[Tensor, "N H"]:
        """Node states after; `rows` holds the graphs of the batch."""
        h = h.to(
            torch.promote_types(h.dtype, torch.float32)
        )  # such sums are not for half precision
        share = rows.pad(h.new_ones(len(h), 1))
        share = share / share.sum(dim=1, keepdim=True)
        x = rows.pad(h)
        x = x - (share * x).sum(dim=1, keepdim=True)
        variance = (share * x**2).sum(dim=1, keepdim=True)
        return rows.flatten(x * torch.rsqrt(variance + self.eps))

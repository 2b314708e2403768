"""The layers of the published stepper that work on particles and edges."""

from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from meshgnn.nn import InteractionBlock, mlp, segment_sum

Layer = TypeVar("Layer", bound=nn.Module)
_KERNEL = [32, 64]  # hidden widths
_FADE = 0.1  # weight of the zero in the mean over a ball, beside at most 1 for every source


def published_start(module: Layer) -> Layer:
    """Weights from N(0, 1 / fan-in) and no bias in every linear layer of the module."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
            nn.init.zeros_(layer.bias)
    return module


class InteractionOperator(nn.Module):
    """m_ij = φ(h_i, h_j, e_ij);   a_i = mean_j m_ij / (1 + |x_i − x_j| / R);
    h_i ← h_i + ψ(h_i, a_i) + W (0.7 h_i) + b;   e_ij ← e_ij + m_ij.

    φ and ψ have two hidden layers with ReLU and a LayerNorm. Published, the term W (0.7 h) + b is a
    spectral graph convolution (SSGConv, one hop, α = 0.7); the rows of the Laplacian that is
    handed to it as weights sum to 0, its normalisation then sets all weights to 0, and what is
    left is this linear map.

    Args:
        width: H.

    Source: Viswanath et al., arXiv 2407.03925, and its code.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block = published_start(
            InteractionBlock(width, hidden=2, activation="relu", reduce="mean")
        )
        self.inert = nn.Linear(width, width)

    def forward(
        self,
        h: Float[Tensor, "n H"],
        e: Float[Tensor, "E H"],
        edge_index: Int[Tensor, "2 E"],
        damping: Float[Tensor, " E"],
    ) -> tuple[Float[Tensor, "n H"], Float[Tensor, "E H"]]:
        """h and e after; `damping` is 1 / (1 + |x_i − x_j| / R), edges are sorted by target."""
        after, m = self.block(h, e, edge_index, weight=damping)
        return after + self.inert(0.7 * h), e + m


class BallMean(nn.Module):
    """Mean over the ball |y − x| ≤ r of κ(x, y, f(y)), or of κ(x, y) ⊙ f(y).

        mean = Σ_y w κ / (0.1 + Σ_y w),   w = 1 − |y − x|² / r²,   κ of (x, (y − x) / r):

    w vanishes at the edge of the ball, so the mean is continuous in x and y, and fades to 0 where
    the ball empties. Published: κ of y alone and w = 1, so that the mean does not depend on x
    while the same sources are in reach; the intended κ has as many inputs as the one here.

    Args:
        dim: d.
        channels: of f.
        out: of the mean; channels where κ multiplies f.
        reach: r.
        takes_f: κ(x, y, f(y)); False: κ(x, y) ⊙ f(y).
        query_point: False for the published κ and w.

    Source: Viswanath et al., arXiv 2407.03925, and its code; Li et al. 2020 (GNO).
    """

    def __init__(
        self, dim: int, channels: int, out: int, reach: float, takes_f: bool, query_point: bool
    ) -> None:
        super().__init__()
        self.reach, self.takes_f, self.query_point = reach, takes_f, query_point
        self.place = 2 * dim if query_point else dim
        self.first = nn.Linear(self.place + channels * takes_f, _KERNEL[0])
        self.rest = nn.Sequential(nn.GELU(), mlp([*_KERNEL, out], "gelu"))

    def forward(
        self,
        f: Float[Tensor, "S C"],
        y: Float[Tensor, "S d"],
        x: Float[Tensor, "Q d"],
        source: Int[Tensor, " P"],
        target: Int[Tensor, " P"],
    ) -> Float[Tensor, "Q K"]:
        """The mean at x; the pairs (source y, target x) are sorted by target. 0 without pairs."""
        if self.query_point:
            gap = (y[source] - x[target]) / self.reach
            weight = (1 - gap.square().sum(dim=1, keepdim=True)).clamp(min=0)
            kappa = self._kappa(torch.cat([x[target], gap], dim=1), f, source)
            least = _FADE
        else:  # one κ for every source, whatever the ball
            weight, least = torch.ones_like(y[source, :1]), 1.0
            kappa = self._kappa(y, f)[source]
        if not self.takes_f:
            kappa = kappa * f[source]
        total = segment_sum(weight, target, len(x))
        total = total + least if self.query_point else total.clamp(min=least)
        return segment_sum(weight * kappa, target, len(x)) / total

    def _kappa(
        self, place: Float[Tensor, "P p"], f: Float[Tensor, "S C"], source: Tensor | None = None
    ) -> Float[Tensor, "P K"]:
        """κ; its first layer is split, so that products with f are taken once a source."""
        weight = self.first.weight
        z = nn.functional.linear(place, weight[:, : self.place], self.first.bias)
        if self.takes_f:
            part = nn.functional.linear(f, weight[:, self.place :])
            z = z + (part if source is None else part[source])
        return self.rest(z)

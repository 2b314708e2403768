"""A kernel integral by a real quadrature."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from meshgnn.nn.layers import mlp
from meshgnn.nn.reductions import segment_sum


class KernelIntegral(nn.Module):
    """(K f)(x_i) = Σ_{j ∈ N(i)} w_j κ((x_j − x_i) / r) ⊙ f(y_j),   w = lumped mass of the source.

    The weights are volumes, so the sum converges to ∫ κ(x, y) f(y) dy over the neighbourhood under
    refinement, whatever the density of the points. `normalise` divides by Σ_j w_j (the measure of
    the neighbourhood), which makes it a local mean. κ is a perceptron on the scaled relative
    position and its length: it depends on the query point.

    Args:
        dim: space dimension d.
        channels: C of f; κ is diagonal over them.
        radius: r, the length by which relative positions are divided, in the mesh's unit.
        width: hidden width of κ.
        normalise: local mean in place of the integral.

    Source: Li et al. 2020 (graph kernel network), eq. 6, with quadrature weights in place of 1/|N|.
    """

    def __init__(
        self, dim: int, channels: int, radius: float, width: int = 32, normalise: bool = False
    ) -> None:
        super().__init__()
        self.radius, self.normalise = radius, normalise
        self.kernel = mlp([dim + 1, width, width, channels])

    def forward(
        self,
        f: Float[Tensor, "S C"],
        pos: Float[Tensor, "S d"],
        weight: Float[Tensor, " S"],
        query: Float[Tensor, "Q d"],
        edge_index: Int[Tensor, "2 E"],
    ) -> Float[Tensor, "Q C"]:
        """Integral at the query points; `edge_index` = (source, query), sorted by query."""
        source, target = edge_index
        delta = (pos[source] - query[target]) / self.radius
        kappa = self.kernel(torch.cat([delta, delta.norm(dim=1, keepdim=True)], dim=1))
        w = weight[source, None]
        out = segment_sum(w * kappa * f[source], target, len(query))
        if not self.normalise:
            return out
        total = segment_sum(w, target, len(query))
        return out / total.clamp(min=torch.finfo(total.dtype).tiny)

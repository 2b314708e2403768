"""Deformation gradients of patches, and the forces of stresses in them."""

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Data

from meshgnn.models.giorom.particles import Particles, among


class _Product(torch.autograd.Function):
    """A x, the gradient with Aᵀ that is known as well."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
        ctx.transposed = transposed
        return matrix @ x

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None, None]:
        return ctx.transposed @ grad[0], None, None


def _product(matrix: Tensor, x: Tensor, transposed: Tensor) -> Tensor:
    return _Product.apply(x, matrix, transposed) if x.requires_grad else matrix @ x


@dataclass(frozen=True, eq=False)
class Strains:
    """Deformation gradients of Q patches of all graphs of a batch, and forces from stresses.

    Args:
        slopes: g [Q d, n], sparse; the d rows of a patch together.
        pulls: its transpose.
        volume: V [Q].
        stiffer: how much stiffer than its material a patch is, for its shape and its volume [Q, 2].
        skin: share of the mass of every point that lies on the surface [n].
        patch: number of the patch's graph [Q].
        stiffest: λ [B], 1/m², see `patches`.
    """

    slopes: Tensor
    pulls: Tensor
    volume: Float[Tensor, " Q"]
    stiffer: Float[Tensor, "Q 2"]
    skin: Float[Tensor, " n"]
    patch: Int[Tensor, " Q"]
    stiffest: Float[Tensor, " B"]

    @classmethod
    def of(cls, graph: Data, p: Particles) -> "Strains":
        """Those of a transformed graph, in the precision of its states."""
        column = among(graph.strain_index, graph.source_index, len(graph.pos))
        count, dtype = graph.strain_count, p.u.dtype
        values = graph.strain_weight.to(dtype)
        n, dim = p.reference.shape
        ends = torch.cat([count.new_zeros(1), count.cumsum(0)])
        order = torch.argsort(column, stable=True)
        row = torch.repeat_interleave(torch.arange(len(count), device=count.device), count)
        number = torch.bincount(column, minlength=n)
        back = torch.cat([number.new_zeros(1), number.cumsum(0)])
        shape = len(count), n
        # the first source of a patch says which body, and so which graph, it is of
        patch = p.graph[column[ends[:-1][::dim]]]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
            pulled = back, row[order], values[order], shape[::-1]
            slopes = torch.sparse_csr_tensor(ends, column, values, shape, check_invariants=False)
            pulls = torch.sparse_csr_tensor(*pulled, check_invariants=False)
        names = "strain_volume", "strain_stiffer", "source_skin", "stiffest"
        volume, stiffer, skin, stiffest = (graph[name].to(dtype) for name in names)
        return cls(slopes, pulls, volume, stiffer, skin, patch, stiffest)

    def gradient(self, u: Float[Tensor, "n d"]) -> Float[Tensor, "Q d d"]:
        """∂u_c / ∂X_a as [Q, a, c]."""
        return _product(self.slopes, u, self.pulls).view(len(self.volume), -1, u.shape[1])

    def deformation(self, u: Float[Tensor, "n d"]) -> Float[Tensor, "Q d d"]:
        """F = 1 + ∂u/∂X as [Q, a, c]."""
        return self.gradient(u) + torch.eye(u.shape[1], dtype=u.dtype, device=u.device)

    def force(self, stress: Float[Tensor, "Q d d"]) -> Float[Tensor, "n d"]:
        """−Σ_q V_q P_q g_qj from first Piola-Kirchhoff stresses [Q, a, c]."""
        pulled = (stress * self.volume[:, None, None]).flatten(0, 1)
        return -_product(self.pulls, pulled, self.slopes)

"""Candidate terms of an evolution equation, and their coefficients by least squares."""

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.nn import edge_vectors, segment_sum
from meshgnn.operators import hat_gradients, pair_sums

_RIDGE = 1e-6


def with_stencils(graph: Data) -> Data:
    """Adds the P1 stencils of ∇ and Δ at the nodes, and the local length of the edges.

        (∇u)_i = Σ_j g_ij (u_j − u_i),   g_ij = Σ_s |s| ∇φ_j / Σ_s |s|  over the simplices of i,
        (Δu)_i = Σ_j w_ij (u_j − u_i),   w_ij = −∫ ∇φ_i · ∇φ_j / m_i.

    Attributes: stencil_index [2, E], stencil_gradient [E, d], stencil_laplace [E], spacing [N] and
    grading [N], the logarithm of its ratio to the mean of the graph.
    """
    corners = graph.simplex_index.t()
    pos = graph.pos[corners]
    if (shift := graph.get("simplex_shift")) is not None:
        pos = pos + shift.view(pos.shape) * graph.period
    apart = torch.arange(corners.numel(), device=corners.device).view(corners.shape)
    hats, volume = hat_gradients(pos.flatten(0, 1), apart)
    volume, nodes = volume.abs(), graph.num_nodes
    mean = volume[:, None, None, None] * hats[:, None].expand(-1, corners.shape[1], -1, -1)
    index, gradient = pair_sums(mean, corners, nodes)
    _, laplace = pair_sums(-torch.einsum("s,sid,sjd->sij", volume, hats, hats), corners, nodes)
    around = graph.mass * corners.shape[1]  # Σ_s |s| over the simplices of a node
    target = index[1]
    length = edge_vectors(graph).norm(dim=1, keepdim=True)
    count = torch.bincount(graph.edge_index[1], minlength=nodes).clamp(min=1)
    graph.stencil_index = index
    graph.stencil_gradient = gradient / around[target, None]
    graph.stencil_laplace = laplace / graph.mass[target]
    graph.spacing = segment_sum(length, graph.edge_index[1], nodes)[:, 0] / count
    graph.grading = torch.log(graph.spacing / graph.spacing.mean())
    return graph


class Library(nn.Module):
    """Φ = [1, θ] ⊗ [1, u, ∇u, Δu, ∇Δu, ΔΔu, u ⊗ u, u ⊗ ∇u, u³, history, a, flux]: terms of a PDE.

    A semi-discrete evolution equation is a combination of such terms, so that a linear fit to data
    finds it (and a network need not). History: (u_k − u_{k−lag}) / lag for lags of one frame, half
    of the window and all of it; there is a second fit without, for where not all of the window is
    known. Flux: ∫ g φ_i / m_i and u ∫ α φ_i / m_i of the boundary parts, as they stand beside Δu in
    finite elements.

    Args:
        dim: d.
        channels: C.
        history: K.
        inputs: F.
        params: P.
        rates: number of fitted columns, S · C.
    """

    scale: Tensor
    mean: Tensor
    weight: Tensor

    def __init__(
        self, dim: int, channels: int, history: int, inputs: int, params: int, rates: int
    ) -> None:
        super().__init__()
        self.lags = sorted({1, history // 2, history - 1} - {0}) if history > 1 else []
        c, pairs = channels, channels * (channels + 1) // 2
        past = len(self.lags) * c
        terms = 6 * c + 2 * c * dim + pairs + c * c * dim + past + inputs
        self.terms = (1 + params) * (terms + 1) - 1  # without the constant
        first = torch.arange(terms) < past
        self.past = torch.cat([first, torch.zeros(params, dtype=torch.bool), first.repeat(params)])
        self.register_buffer("mean", torch.zeros(self.terms))
        self.register_buffer("scale", torch.ones(self.terms))
        self.register_buffer("weight", torch.zeros(2, self.terms + 1, rates))

    def forward(self, graph: Data) -> Float[Tensor, "N terms"]:
        """The terms at the last known state, standardised."""
        return (self.raw(graph) - self.mean) / self.scale

    def rates(
        self, terms: Float[Tensor, "N terms"], whole: Bool[Tensor, " N"] | None = None
    ) -> Float[Tensor, "N rates"]:
        """The fitted combination of standardised terms; where not `whole`, that without history."""
        full, short = (terms @ weight[1:] + weight[0] for weight in self.weight)
        return full if whole is None else torch.where(whole[:, None], full, short)

    def raw(self, graph: Data) -> Float[Tensor, "N terms"]:
        """The terms in physical units."""
        u = graph.u[:, -1]
        gradient, laplace = self._derivatives(graph, u)
        third, fourth = self._derivatives(graph, laplace)
        advection = (u[:, :, None] * gradient.flatten(1)[:, None]).flatten(1)
        upper = torch.triu_indices(u.shape[1], u.shape[1], device=u.device)
        past = [(u - graph.u[:, -1 - lag]) / lag for lag in self.lags]
        fluxes = [load / graph.mass[:, None] for load in (graph.flux_load, graph.robin_load * u)]
        parts = [*past, u, laplace, fourth, gradient.flatten(1), third.flatten(1), u**3, advection]
        parts += [u[:, upper[0]] * u[:, upper[1]], *fluxes, graph.a]
        out = torch.cat(parts, dim=1)
        if not graph.theta.shape[1]:
            return out
        batch = getattr(graph, "batch", None)
        theta = graph.theta.expand(len(u), -1) if batch is None else graph.theta[batch]
        products = (theta[:, :, None] * out[:, None]).flatten(1)
        return torch.cat([out, theta, products], dim=1)

    def _derivatives(
        self, graph: Data, u: Float[Tensor, "N C"]
    ) -> tuple[Float[Tensor, "N C d"], Float[Tensor, "N C"]]:
        source, target = graph.stencil_index
        jump = u[source] - u[target]
        slope = jump[:, :, None] * graph.stencil_gradient[:, None]
        both = torch.cat([slope.flatten(1), jump * graph.stencil_laplace[:, None]], dim=1)
        sums = segment_sum(both, target, len(u))
        d = graph.stencil_gradient.shape[1]
        split = u.shape[1] * d
        return sums[:, :split].unflatten(1, (-1, d)), sums[:, split:]

    @torch.no_grad()
    def fit(self, graphs: Iterable[Data], rates: Callable[[Data], Tensor]) -> Tensor:
        """Least squares of the rates [N, S · C] by the terms, over free nodes, in float64.

        Returns:
            Standard deviation of what remains, per column of the rates.
        """
        rows = [(self.raw(g).double(), rates(g).double(), _free(g)) for g in graphs]
        terms = torch.cat([t[free] for t, _, free in rows])
        goal = torch.cat([r[free] for _, r, free in rows])
        mean, scale = terms.mean(0), terms.std(0, correction=0)
        scale = torch.where(scale > 1e-6 * mean.abs() + 1e-30, scale, 1.0)
        self.mean.copy_(mean)
        self.scale.copy_(scale)
        unit = torch.nn.functional.pad((terms - mean) / scale, (1, 0), value=1.0)
        square, right = unit.T @ unit / len(unit), unit.T @ goal / len(unit)
        square += _RIDGE * torch.eye(len(square), dtype=square.dtype, device=square.device)
        now = torch.nn.functional.pad(~self.past, (1, 0), value=True).to(square.device)
        self.weight.zero_()
        self.weight[0] = torch.linalg.solve(square, right)
        self.weight[1, now] = torch.linalg.solve(square[now][:, now], right[now]).float()
        return (goal - unit @ self.weight[0].double()).square().mean(0).sqrt()


def _free(graph: Data) -> Tensor:
    return ~graph.dirichlet_mask.any(dim=1)

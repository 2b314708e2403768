"""What the layers of BENO apply: the operator, the coarse correction, and how far both may step."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Data

from meshgnn.models.beno.operator import rotations
from meshgnn.nn import GraphRows, segment_sum, sparse_rows

RELAXED = 1.8  # of the 2 beyond which a stationary method diverges
_STEPS = 15  # of the power iteration: within some 5 % of the eigenvalue


class TwoLevel:
    """K v and S (SᵀKS)⁻¹ Sᵀ r on the free entries, of a graph or of every graph of a batch.

    S is what is given, smoothed: (I − ω D⁻¹K) S, which lowers its energy. Where weights have made
    SᵀKS indefinite or infinite the coarse correction of that graph is 0.

    Args:
        graph: transformed; a batch holds graphs one after the other.
        rows: of the graphs.
        functions: [NC, Q] columns of S; 0 in the columns that a graph of a batch does not have.
        damping: ω.
        learned: whether K is differentiable.
    """

    def __init__(
        self,
        graph: Data,
        rows: GraphRows,
        functions: Float[Tensor, "NC Q"],
        damping: Float[Tensor, ""] | float,
        learned: bool = False,
    ) -> None:
        self.graph, self.rows, self.channels = graph, rows, graph.dirichlet_mask.shape[1]
        self.free = (~graph.dirichlet_mask).to(graph.stencil.dtype).reshape(-1, 1)
        self.off = None
        if not learned:
            self.off = sparse_rows(graph.stencil_index, graph.stencil, graph.pos.shape[0])
        s = self.free * functions
        s = s - damping * product(graph.inverse, self.apply(s))
        self.basis, image = self._block(s), self._block(self.apply(s))
        weight = self._block(graph.diagonal[:, :: self.channels + 1].reshape(-1, 1))
        # Σ D s² bounds rounding in SᵀKS; a constant, of no energy, is not held by any condition
        ridge = 1e-5 * ((weight * self.basis**2).sum(dim=1) + graph.ridge[:, None])
        matrix = self.basis.transpose(1, 2) @ image + torch.diag_embed(ridge)
        with torch.no_grad():
            lost = (torch.linalg.cholesky_ex(matrix).info > 0)[:, None, None]
        nothing = 1e30 * torch.eye(matrix.shape[1], dtype=matrix.dtype, device=matrix.device)
        self.factor = torch.linalg.cholesky(torch.where(lost, nothing, matrix))

    def apply(self, v: Float[Tensor, "NC R"]) -> Float[Tensor, "NC R"]:
        """K v on the free entries, 0 on the others."""
        graph = self.graph
        if self.off is None:  # one weight an edge, which has a gradient
            source, target = graph.stencil_index
            spread = segment_sum(graph.stencil * v[source], target, v.shape[0])
        else:
            spread = self.off @ v
        return self.free * (product(graph.diagonal, v) + spread)

    def coarse(self, r: Float[Tensor, "NC R"]) -> Float[Tensor, "NC R"]:
        """S (SᵀKS)⁻¹ Sᵀ r."""
        y = torch.cholesky_solve(self.basis.transpose(1, 2) @ self._block(r), self.factor)
        block = (self.basis @ y).reshape(self.rows.graphs, self.rows.rows, -1)
        return self.rows.flatten(block).reshape(r.shape)

    def _block(self, v: Float[Tensor, "NC R"]) -> Float[Tensor, "B nC R"]:
        return self.rows.pad(v.reshape(self.graph.pos.shape[0], -1)).reshape(
            self.rows.graphs, -1, v.shape[1]
        )


def slice_functions(
    graph: Data, rows: GraphRows, sharpness: Float[Tensor, "N 1"], elastic: bool
) -> Float[Tensor, "NC Q"]:
    """softmax_m(−β |x − c_m|² M^(2/d) / L²), times 1 or the rigid motions about c_m.

    β = exp(sharpness).
    Graphs of a batch may differ in M: the columns that one does not have are 0.
    """
    batch, index = getattr(graph, "batch", None), graph.centre_index
    slots = GraphRows(None if batch is None else batch[index], index.shape[0], rows.graphs)
    there = slots.pad(torch.ones_like(graph.pos[index, :1])).transpose(1, 2)
    x, centre = rows.pad(graph.pos), slots.pad(graph.pos[index])
    # not by |x|² + |c|² − 2 x·c, which has no digits left far from the origin
    gap = torch.cdist(x, centre, compute_mode="donot_use_mm_for_euclid_dist") ** 2
    scale = there.sum(dim=2, keepdim=True) ** (2 / (len(graph.simplex_index) - 1))
    scale = scale / graph.extent[:, None, None] ** 2
    logits = -gap * scale * torch.exp(rows.pad(sharpness))
    slices = torch.softmax(logits.masked_fill(there == 0, -torch.inf), dim=-1)
    if not elastic:
        return rows.flatten(slices)
    nodes, channels = graph.dirichlet_mask.shape
    offset = (x[:, :, None] - centre[:, None]) * scale[..., None].sqrt()
    eye = torch.eye(channels, dtype=x.dtype, device=x.device)
    motions = torch.cat([eye.expand(*offset.shape[:3], -1, -1), rotations(offset)], dim=-1)
    functions = (slices[..., None, None] * motions).transpose(2, 3)  # [B, n, C, M, q]
    return rows.flatten(functions.flatten(2)).view(nodes * channels, -1)


@torch.no_grad()
def relaxation(graph: Data, elastic: bool, local: float, damping: float) -> Float[Tensor, " 1"]:
    """min(1, 1.8 / λ), λ the largest eigenvalue of (local · D⁻¹ + S (SᵀKS)⁻¹ Sᵀ) K, of one graph.

    Steps scaled by it cannot diverge without training, whatever the shape of the cells: where they
    are much longer than wide, or a solid nearly incompressible, λ comes near 2 or above. It depends
    on the geometry alone. λ by power iteration.
    """
    rows = GraphRows(None, len(graph.pos))
    sharpness = torch.zeros_like(graph.pos[:, :1])
    level = TwoLevel(graph, rows, slice_functions(graph, rows, sharpness, elastic), damping)
    start = torch.sin(100 * graph.node_geometry.sum(dim=1, keepdim=True))  # free of the numbering
    v = level.free * start.expand(-1, level.channels).reshape(-1, 1)
    ratio = v.new_zeros(1)
    for _ in range(_STEPS):
        r = level.apply(v)
        w = level.free * (local * product(graph.inverse, r) + level.coarse(r))
        energies = [(x * level.apply(x)).sum() for x in (v, w)]
        ratio = torch.sqrt(energies[1] / energies[0]).reshape(1)
        v = w / w.norm()
    return torch.where(ratio > RELAXED, RELAXED / ratio, torch.ones_like(ratio))


def product(blocks: Float[Tensor, "N CC"], v: Float[Tensor, "NC R"]) -> Float[Tensor, "NC R"]:
    """One C × C block a node times the values of its components."""
    nodes, size = blocks.shape
    if size == 1:
        return blocks * v
    channels = round(size**0.5)
    return (blocks.view(nodes, channels, channels) @ v.view(nodes, channels, -1)).view(v.shape)

"""A graph network for diffusion problems that is exactly linear in the data."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.losses import relative_l2_loss
from meshgnn.models.two_level_geometry import add_operator
from meshgnn.nn import GraphRows, InteractionBlock, mlp, segment_sum, sparse_rows


class TwoLevelNet(nn.Module):
    """L layers of learned smoothing and a learned coarse space, for −∇·(k∇u) = f:

        u ← u + γ_l ⊙ D⁻¹r + Σ_h η_lh ⊙ (K_h D⁻¹r) + μ_l p + ω_l S (SᵀAS)⁻¹ Sᵀ r,   r = b − A u,

    with A and b the P1 operator and load of the mesh, D = diag A, p the step before. The gates
    γ, η, μ (one value a node), the edge kernels K_h and the slices S (a soft partition around M
    nodes spread by farthest-point sampling, sharpened and enriched by learned functions) come from
    a message-passing trunk that sees geometry and coefficients only. The data f, g and fluxes pass
    through linear maps alone, so superposition and scaling hold to rounding, and u = 0 for zero
    data. All geometric inputs are lengths relative to the mesh or the domain: the result does not
    change under rigid motion, reflection or a change of the length unit. Beyond max_slices work and
    memory are linear in the number of nodes. Untrained it is a plain two-level method; training
    makes it a good one.

    Covers one scalar unknown, isotropic k given per node, Dirichlet, Neumann and Robin parts, in
    1D, 2D and 3D. Quads and other cells enter by their split into simplices. The solution of a pure
    Neumann problem has zero mean. Where a mesh is so symmetric that several nodes are equally far
    and equally heavy, rounding decides which becomes a slice centre.

    Args:
        dim: space dimension d.
        channels: 1; kept so that all models are built alike.
        inputs: F, columns of `a`; `source` and `diffusivity` are two of them.
        source: column of f.
        diffusivity: column of k.
        width: hidden size of the trunk.
        blocks: message-passing blocks of the trunk.
        layers: L.
        slice_nodes: nodes per slice; M = N / slice_nodes, so that more nodes get more slices.
        max_slices: the largest M.
        enrichment: functions per slice, 1 for the partition alone.
        kernels: number of edge kernels h.

    Raises:
        ValueError: channels other than 1.

    Source: two-level additive Schwarz and smoothed aggregation (Vaněk, Mandel & Brezina 1996,
    eq. 2) with learned smoothers and coarse space; slices after Wu et al. 2024.
    """

    loss = staticmethod(relative_l2_loss)

    def __init__(
        self,
        dim: int = 2,
        channels: int = 1,
        inputs: int = 2,
        source: int = 0,
        diffusivity: int = 1,
        width: int = 48,
        blocks: int = 2,
        layers: int = 8,
        slice_nodes: int = 12,
        max_slices: int = 256,
        enrichment: int = 1,
        kernels: int = 4,
    ) -> None:
        super().__init__()
        self.hparams = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        if channels != 1:
            raise ValueError(
                f"TwoLevelNet solves for one scalar unknown, got channels={channels}; use "
                "MeshGraphNet for vector-valued problems"
            )
        self.source, self.diffusivity = source, diffusivity
        self.slice_nodes, self.max_slices = slice_nodes, max_slices
        self.layers, self.kernels = layers, kernels
        self.encode_node = mlp([8, width, width])
        self.encode_edge = mlp([3, width, width])
        self.blocks = nn.ModuleList(
            InteractionBlock(width, norm=False, reduce="mean") for _ in range(blocks)
        )
        self.gates = mlp([width, width, layers * (2 + kernels)], zero=True)
        self.edge_kernels = mlp([width, width, kernels], zero=True)
        self.shape = mlp([width, width, enrichment])
        self.damping = nn.Parameter(torch.tensor(0.6))
        self.coarse = nn.Parameter(torch.ones(layers))

    def transform(self, graph: Data) -> Data:
        """A copy of the graph with the P1 operator, the load and the slice centres."""
        slices = min(max(1, len(graph.pos) // self.slice_nodes), self.max_slices)
        return add_operator(graph, self.source, self.diffusivity, slices)

    def forward(self, graph: Data) -> Float[Tensor, "N 1 1"]:
        """The field in physical units, equal to the boundary values where they are prescribed.

        Raises:
            ValueError: a batch whose graphs did not go through `transform`.
        """
        if "stencil_index" not in graph:
            if getattr(graph, "batch", None) is not None:
                raise ValueError(
                    "TwoLevelNet: expected graphs with the operator, got a batch without; apply "
                    "model.transform to each graph before batching (MeshDataset.transformed)"
                )
            graph = self.transform(graph)
        with torch.autocast(graph.pos.device.type, enabled=False):  # residuals need every digit
            rows = GraphRows(getattr(graph, "batch", None), len(graph.pos))
            h, e = self._trunk(graph)
            u = self._solve(graph, rows, h, e)
        return torch.where(graph.dirichlet_mask[:, None, :], graph.dirichlet, u[:, None, :])

    def _trunk(self, graph: Data) -> tuple[Float[Tensor, "N H"], Float[Tensor, "E H"]]:
        h = self.encode_node(graph.node_geometry)
        e = self.encode_edge(graph.edge_geometry)
        for block in self.blocks:
            h, m = block(h, e, graph.stencil_index)
            e = e + m
        return h, e

    def _slices(
        self, graph: Data, rows: GraphRows, h: Float[Tensor, "N H"]
    ) -> Float[Tensor, "N MK"]:
        """S: softmax_m(−β |x − c_m|² M^(2/d) / L²), times 1 and the learned enrichments.

        Graphs of a batch may differ in M: the columns that one does not have are 0.
        """
        batch = getattr(graph, "batch", None)
        index = graph.centre_index
        slots = GraphRows(None if batch is None else batch[index], len(index))
        there = slots.pad(torch.ones_like(graph.pos[index, :1])).transpose(1, 2)
        # not by |x|² + |c|² − 2 x·c, which has no digits left far from the origin
        exact = "donot_use_mm_for_euclid_dist"
        gap = torch.cdist(rows.pad(graph.pos), slots.pad(graph.pos[index]), compute_mode=exact) ** 2
        scale = there.sum(dim=2, keepdim=True) ** (2 / (len(graph.simplex_index) - 1))
        scale = scale / graph.extent[:, None, None] ** 2
        shape = self.shape(h)
        logits = -gap * scale * torch.exp(rows.pad(shape[:, :1]))
        logits = logits.masked_fill(there == 0, -torch.inf)
        partition = rows.flatten(torch.softmax(logits, dim=-1))
        enriched = [partition, *(partition * s[:, None] for s in shape[:, 1:].unbind(1))]
        return torch.cat(enriched, dim=1)

    def _solve(
        self, graph: Data, rows: GraphRows, h: Float[Tensor, "N H"], e: Float[Tensor, "E H"]
    ) -> Float[Tensor, "N 1"]:
        free = (~graph.dirichlet_mask).to(h.dtype)
        source, target = graph.stencil_index
        diagonal = graph.diagonal[:, None]
        neighbours = sparse_rows(graph.stencil_index, graph.stencil[:, None], len(h))

        def apply(v: Tensor) -> Tensor:
            """A v on the free nodes."""
            return free * (diagonal * v - neighbours @ v)

        s = free * self._slices(graph, rows, h)
        s = s - self.damping * apply(s) / diagonal  # smoothed: the energy of the coarse functions
        basis = rows.pad(s)
        matrix = basis.transpose(1, 2) @ rows.pad(apply(s))
        # Σ D s² bounds rounding in sᵀAs; a constant, of no energy, is not held by any condition
        ridge = 1e-5 * (rows.pad(diagonal * s**2).sum(dim=1) + graph.ridge[:, None])
        factor = torch.linalg.cholesky(matrix + torch.diag_embed(ridge))
        gates = self.gates(h).view(len(h), self.layers, 2 + self.kernels)
        kernels = self.edge_kernels(e)
        u = graph.dirichlet[:, 0] * (1 - free)
        step = torch.zeros_like(u)
        for layer in range(self.layers):
            gate = gates[:, layer]
            r = free * graph.load - apply(u)
            z = r / diagonal
            spread = segment_sum(kernels * z[source], target, len(z))
            local = (0.7 + gate[:, :1]) * z + gate[:, 1:2] * step
            local = local + ((0.3 + gate[:, 2:]) * spread).sum(dim=1, keepdim=True)
            y = torch.cholesky_solve(basis.transpose(1, 2) @ rows.pad(r), factor)
            step = free * local + self.coarse[layer] * rows.flatten(basis @ y)
            u = u + step
        mean = rows.mean(u, graph.mass) * graph.floating[:, None]
        return u - rows.spread(mean)

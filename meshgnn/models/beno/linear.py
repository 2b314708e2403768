"""BENO for linear equations: weights from geometry and coefficients, data through linear maps."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.losses import relative_l2_loss
from meshgnn.models.beno.operator import (
    EDGE_FEATURES,
    NODE_FEATURES,
    add_operator,
    rotations,
)
from meshgnn.models.beno.tokens import BoundaryAttention, add_tokens
from meshgnn.nn import GraphRows, InteractionBlock, mlp, segment_sum, sparse_rows

BRANCHES = 2  # source, boundary


class LinearNet(nn.Module):
    """The linear preset of `BENO`; see there."""

    loss = staticmethod(relative_l2_loss)
    marker = "stencil_index"  # of a transformed graph

    def __init__(
        self,
        channels: int,
        elastic: bool,
        width: int = 48,
        blocks: int = 2,
        layers: int = 8,
        slice_nodes: int = 12,
        max_functions: int = 512,
        kernels: int = 4,
        heads: int = 2,
        tokens: int = 256,
        boundary_encoder: bool = True,
        adaptive: bool = False,
        learned_operator: bool = False,
        passes: int = 1,
    ) -> None:
        super().__init__()
        self.channels, self.elastic = channels, elastic
        self.slice_nodes, self.max_functions, self.tokens = slice_nodes, max_functions, tokens
        self.layers, self.kernels, self.passes = layers, kernels, passes
        self.modes = channels * (channels + 1) // 2 if elastic else 1
        self.encode_node = mlp([NODE_FEATURES, width, width])
        self.encode_edge = mlp([EDGE_FEATURES, width, width])
        self.boundary = BoundaryAttention(width, heads) if boundary_encoder else None
        self.blocks = nn.ModuleList(
            InteractionBlock(width, norm=False, reduce="mean") for _ in range(blocks)
        )
        self.gates = mlp([width, width, layers * BRANCHES * (2 + kernels)], zero=True)
        self.data = mlp([2, width, width], zero=True) if adaptive else None
        self.edge_kernels = mlp([width, width, kernels], zero=True)
        self.learned_operator = learned_operator
        if learned_operator:
            self.factors = mlp([width, width, 1], zero=True)
            self.loads = mlp([width, width, BRANCHES], zero=True)
        self.sharpness = mlp([width, width, 1])
        self.damping = nn.Parameter(torch.tensor(0.6))
        self.coarse = nn.Parameter(torch.ones(layers, BRANCHES))

    def transform(self, graph: Data) -> Data:
        """A copy of the graph with the P1 operator, the loads, the tokens and the slice centres.

        Raises:
            ValueError: inputs over the cells other than those of the equation.
        """
        functions = min(len(graph.pos) * self.channels // self.slice_nodes, self.max_functions)
        expected = [*["source"] * self.channels, *(["λ", "μ"] if self.elastic else ["k"])]
        if graph.cell_a.shape[1] != len(expected):
            raise ValueError(
                f"BENO: expected the inputs {', '.join(expected)} over the cells, got "
                f"{graph.cell_a.shape[1]} columns; make samples with Poisson or LinearElasticity, "
                "or give Sample.cell_inputs"
            )
        graph = add_operator(graph, self.channels, max(1, functions // self.modes))
        return add_tokens(graph, self.tokens)

    def forward(self, graph: Data) -> Float[Tensor, "N B C"]:
        """Parts of u that come from the source and from the boundary, of a transformed graph."""
        with torch.autocast(graph.pos.device.type, enabled=False):  # residuals need every digit
            rows = GraphRows(getattr(graph, "batch", None), len(graph.pos))
            h, extension = self.encode_node(graph.node_geometry), 0.0
            if self.boundary is not None:
                context, extension = self.boundary(graph, rows)
                h = h + context
            e = self.encode_edge(graph.edge_geometry)
            for block in self.blocks:
                h, m = block(h, e, graph.stencil_index)
                e = e + m
            return self._solve(graph, rows, h, e, extension)

    def _basis(
        self, graph: Data, rows: GraphRows, h: Float[Tensor, "N H"]
    ) -> Float[Tensor, "NC Mq"]:
        """softmax_m(−β |x − c_m|² M^(2/d) / L²), times 1 or the rigid motions about c_m.

        Graphs of a batch may differ in M: the columns that one does not have are 0.
        """
        batch = getattr(graph, "batch", None)
        index = graph.centre_index
        slots = GraphRows(None if batch is None else batch[index], len(index))
        there = slots.pad(torch.ones_like(graph.pos[index, :1])).transpose(1, 2)
        x, centre = rows.pad(graph.pos), slots.pad(graph.pos[index])
        # not by |x|² + |c|² − 2 x·c, which has no digits left far from the origin
        gap = torch.cdist(x, centre, compute_mode="donot_use_mm_for_euclid_dist") ** 2
        scale = there.sum(dim=2, keepdim=True) ** (2 / (len(graph.simplex_index) - 1))
        scale = scale / graph.extent[:, None, None] ** 2
        logits = -gap * scale * torch.exp(rows.pad(self.sharpness(h)))
        slices = torch.softmax(logits.masked_fill(there == 0, -torch.inf), dim=-1)
        if not self.elastic:
            return rows.flatten(slices)
        offset = (x[:, :, None] - centre[:, None]) * scale[..., None].sqrt()
        eye = torch.eye(self.channels, dtype=x.dtype, device=x.device)
        motions = torch.cat([eye.expand(*offset.shape[:3], -1, -1), rotations(offset)], dim=-1)
        functions = (slices[..., None, None] * motions).transpose(2, 3)  # [B, n, C, M, q]
        return rows.flatten(functions.flatten(2)).view(len(h) * self.channels, -1)

    def _solve(
        self,
        graph: Data,
        rows: GraphRows,
        h: Float[Tensor, "N H"],
        e: Float[Tensor, "E H"],
        extension: Float[Tensor, "N C"] | float,
    ) -> Float[Tensor, "N B C"]:
        free = (~graph.dirichlet_mask).to(h.dtype).reshape(-1, 1)
        load = torch.stack([graph.source_load, graph.edge_load], dim=-1).reshape(-1, BRANCHES)
        if not self.learned_operator:
            off = sparse_rows(graph.stencil_index, graph.stencil, len(h))
        else:
            graph, load = self._learned(graph, h, e, load)
            off = EdgeRows(graph.stencil_index, graph.stencil, len(h))

        def apply(v: Tensor) -> Tensor:
            """K v on the free entries."""
            return free * (_product(graph.diagonal, v) + off @ v)

        def block(v: Tensor) -> Tensor:
            """[NC, R] as [B, nC, R]."""
            return rows.pad(v.reshape(len(h), -1)).reshape(rows.graphs, -1, v.shape[1])

        s = free * self._basis(graph, rows, h)
        s = s - self.damping * _product(graph.inverse, apply(s))  # smoothed: less energy
        basis, image = block(s), block(apply(s))
        weight = block(graph.diagonal[:, :: self.channels + 1].reshape(-1, 1))
        ridge = 1e-5 * ((weight * basis**2).sum(dim=1) + graph.ridge[:, None])
        factor = torch.linalg.cholesky(basis.transpose(1, 2) @ image + torch.diag_embed(ridge))
        kernels = self.edge_kernels(e)
        lift = torch.where(graph.dirichlet_mask, graph.dirichlet[:, 0], extension).reshape(-1, 1)
        u = torch.cat([torch.zeros_like(lift), lift], dim=1)
        step, r = torch.zeros_like(u), free * load - apply(u)
        gates = self._gates(graph, rows, h, torch.stack([u, _product(graph.inverse, r)], dim=-1))
        for layer in [*range(self.layers)] * self.passes:
            z = _product(graph.inverse, r)
            local = self._smoothed(graph, gates[:, layer], kernels, z, step)
            y = torch.cholesky_solve(basis.transpose(1, 2) @ block(r), factor)
            coarse = rows.flatten((basis @ y).reshape(rows.graphs, rows.rows, -1))
            step = free * local + self.coarse[layer] * coarse.reshape(u.shape)
            u = u + step
            r = free * load - apply(u)
        u = u.view(len(h), self.channels * BRANCHES)
        mean = rows.mean(u, graph.mass) * graph.floating[:, None]
        return (u - rows.spread(mean)).view(len(h), self.channels, BRANCHES).transpose(1, 2)

    def _learned(
        self, graph: Data, h: Float[Tensor, "N H"], e: Float[Tensor, "E H"], load: Tensor
    ) -> tuple[Data, Tensor]:
        """K and b times positive factors, K symmetric and its rows still of sum α."""
        source, target = graph.stencil_index
        sides = self.factors(h[source] + h[target] + e)  # e: edge states, not symmetric
        back = torch.empty_like(target)
        order = torch.argsort(source * len(h) + target)
        back[order] = torch.arange(len(back), device=back.device)
        factor = torch.exp(torch.tanh((sides + sides[back]) / 2))
        stencil = graph.stencil * factor
        out = Data(**graph.to_dict())
        change = segment_sum(graph.stencil - stencil, target, len(h))
        out.stencil, out.diagonal = stencil, graph.diagonal + change
        out.inverse = (graph.inverse > 0) / out.diagonal
        return out, load * torch.exp(torch.tanh(self.loads(h)))

    def _gates(
        self,
        graph: Data,
        rows: GraphRows,
        h: Float[Tensor, "N H"],
        data: Float[Tensor, "NC B 2"],
    ) -> Float[Tensor, "N L B G"]:
        """One set of gates a layer and branch; of the adaptive preset, also from |u| and |z|."""
        if self.data is None:
            return self.gates(h).view(len(h), self.layers, BRANCHES, -1)
        square = (data.view(len(h), self.channels, -1) ** 2).sum(dim=1)
        size = rows.spread(rows.mean(square, graph.mass))
        relative = torch.sqrt(square / torch.where(size > 0, size, 1.0) + 1e-12)  # smooth at 0
        relative = relative.view(len(h), BRANCHES, 2)
        gates = self.gates(h[:, None] + self.data(torch.tanh(relative)))
        gates = gates.view(len(h), BRANCHES, self.layers, BRANCHES, -1)
        return gates.diagonal(dim1=1, dim2=3).movedim(-1, 2)  # each branch sees its own data only

    def _smoothed(
        self,
        graph: Data,
        gate: Float[Tensor, "N B G"],
        kernels: Float[Tensor, "E K"],
        z: Float[Tensor, "NC B"],
        step: Float[Tensor, "NC B"],
    ) -> Float[Tensor, "NC B"]:
        """(0.7 + γ) z + μ p + Σ_h (0.3 + η_h) K_h z, the same in every component."""
        source, target = graph.stencil_index
        nodes, shape = len(gate), (len(gate), self.channels, BRANCHES)
        z, step, gate = z.view(shape), step.view(shape), gate[:, None]
        message = kernels[:, None, None] * z[source][..., None]
        spread = segment_sum(message.flatten(1), target, nodes).view(*shape, self.kernels)
        local = (0.7 + gate[..., 0]) * z + gate[..., 1] * step
        local = local + ((0.3 + gate[..., 2:]) * spread).sum(dim=-1)
        return local.view(-1, BRANCHES)


class EdgeRows:
    """W v = Σ_j w_ij v_j of one weight an edge, differentiable in the weights."""

    def __init__(self, index: Tensor, weight: Float[Tensor, "E 1"], nodes: int) -> None:
        (self.source, self.target), self.weight, self.nodes = index, weight, nodes

    def __matmul__(self, v: Float[Tensor, "N R"]) -> Float[Tensor, "N R"]:
        return segment_sum(self.weight * v[self.source], self.target, self.nodes)


def _product(blocks: Float[Tensor, "N CC"], v: Float[Tensor, "NC R"]) -> Float[Tensor, "NC R"]:
    """One C × C block a node times the values of its components."""
    nodes, size = blocks.shape
    if size == 1:
        return blocks * v
    channels = round(size**0.5)
    return (blocks.view(nodes, channels, channels) @ v.view(nodes, channels, -1)).view(v.shape)

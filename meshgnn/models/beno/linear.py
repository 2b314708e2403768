"""BENO for linear equations: weights from geometry and coefficients, data through linear maps."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.losses import relative_l2_loss
from meshgnn.models.beno.checks import check_held, check_inputs
from meshgnn.models.beno.operator import EDGE_FEATURES, NODE_FEATURES, add_operator
from meshgnn.models.beno.tokens import BoundaryAttention, add_tokens
from meshgnn.models.beno.two_level import TwoLevel, product, relaxation, slice_functions
from meshgnn.nn import GraphRows, InteractionBlock, mlp, segment_sum

BRANCHES = 2  # source, boundary
LOCAL, SPREAD, DAMPING = 0.7, 0.3, 0.6  # weights of z, of K_h z and of the smoothing, untrained


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
        self.damping = nn.Parameter(torch.tensor(DAMPING))
        self.coarse = nn.Parameter(torch.ones(layers, BRANCHES))

    def transform(self, graph: Data) -> Data:
        """A copy of the graph with the P1 operator, the loads, the tokens and the slice centres.

        Raises:
            ValueError: see `check_inputs` and `check_held`.
        """
        check_inputs(graph, self.channels, self.elastic)
        functions = min(len(graph.pos) * self.channels // self.slice_nodes, self.max_functions)
        graph = add_operator(graph, self.channels, max(1, functions // self.modes))
        check_held(graph, self.elastic)
        graph = add_tokens(graph, self.tokens)
        graph.relaxation = relaxation(graph, self.elastic, LOCAL, DAMPING)
        return graph

    def forward(self, graph: Data) -> Float[Tensor, "N B C"]:
        """Parts of u that come from the source and from the boundary, of a transformed graph."""
        with torch.autocast(graph.pos.device.type, enabled=False):  # residuals need every digit
            rows = GraphRows(getattr(graph, "batch", None), graph.pos.shape[0])
            h, extension = self.encode_node(graph.node_geometry), 0.0
            if self.boundary is not None:
                context, extension = self.boundary(graph, rows)
                h = h + context
            e = self.encode_edge(graph.edge_geometry)
            for block in self.blocks:
                h, m = block(h, e, graph.stencil_index)
                e = e + m
            return self._solve(graph, rows, h, e, extension)

    def _solve(
        self,
        graph: Data,
        rows: GraphRows,
        h: Float[Tensor, "N H"],
        e: Float[Tensor, "E H"],
        extension: Float[Tensor, "N C"] | float,
    ) -> Float[Tensor, "N B C"]:
        load = torch.stack([graph.source_load, graph.edge_load], dim=-1).reshape(-1, BRANCHES)
        if self.learned_operator:
            graph, load = self._learned(graph, h, e, load)
        functions = slice_functions(graph, rows, self.sharpness(h), self.elastic)
        level = TwoLevel(graph, rows, functions, self.damping, self.learned_operator)
        kernels = self.edge_kernels(e)
        lift = torch.where(graph.dirichlet_mask, graph.dirichlet[:, 0], extension).reshape(-1, 1)
        u = torch.cat([torch.zeros_like(lift), lift], dim=1)
        step, r = torch.zeros_like(u), level.free * load - level.apply(u)
        gates = self._gates(graph, rows, h, torch.stack([u, product(graph.inverse, r)], dim=-1))
        length = rows.spread(graph.relaxation[:, None]).repeat_interleave(self.channels, dim=0)
        for layer in [*range(self.layers)] * self.passes:
            z = product(graph.inverse, r)
            local = self._smoothed(graph, gates[:, layer], kernels, z, step)
            step = length * (level.free * local + self.coarse[layer] * level.coarse(r))
            u = u + step
            r = level.free * load - level.apply(u)
        u = u.view(-1, self.channels * BRANCHES)
        mean = rows.mean(u, graph.mass) * graph.floating[:, None]
        return (u - rows.spread(mean)).view(-1, self.channels, BRANCHES).transpose(1, 2)

    def _learned(
        self, graph: Data, h: Float[Tensor, "N H"], e: Float[Tensor, "E H"], load: Tensor
    ) -> tuple[Data, Tensor]:
        """K and b times positive factors, K symmetric and its rows still of sum α."""
        source, target = graph.stencil_index
        sides = self.factors(h[source] + h[target] + e)  # e: edge states, not symmetric
        back = torch.empty_like(target)
        order = torch.argsort(source * h.shape[0] + target)
        back[order] = torch.arange(back.shape[0], device=back.device)
        factor = torch.exp(torch.tanh((sides + sides[back]) / 2))
        stencil = graph.stencil * factor
        out = Data(**graph.to_dict())
        change = segment_sum(graph.stencil - stencil, target, h.shape[0])
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
            return self.gates(h).view(h.shape[0], self.layers, BRANCHES, -1)
        data = data.view(h.shape[0], self.channels, -1)
        peak = rows.spread(rows.pad(data.abs().amax(dim=1)).amax(dim=1))
        data = data / torch.where(peak > 0, peak, 1.0)[:, None]  # squares of huge fields overflow
        square = (data**2).sum(dim=1)
        size = rows.spread(rows.mean(square, graph.mass))
        relative = torch.sqrt(square / torch.where(size > 0, size, 1.0) + 1e-12)  # smooth at 0
        relative = relative.view(-1, BRANCHES, 2)
        gates = self.gates(h[:, None] + self.data(torch.tanh(relative)))
        gates = gates.view(h.shape[0], BRANCHES, self.layers, BRANCHES, -1)
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
        nodes, shape = gate.shape[0], (gate.shape[0], self.channels, BRANCHES)
        z, step, gate = z.view(shape), step.view(shape), gate[:, None]
        message = kernels[:, None, None] * z[source][..., None]
        spread = segment_sum(message.flatten(1), target, nodes).view(*shape, self.kernels)
        local = (LOCAL + gate[..., 0]) * z + gate[..., 1] * step
        local = local + ((SPREAD + gate[..., 2:]) * spread).sum(dim=-1)
        return local.view(-1, BRANCHES)

"""The reference model that all later ones are compared with."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.losses import one_step
from meshgnn.nn import GraphRows, InteractionBlock, SliceAttention, Standardise, edge_vectors, mlp

_LEAST = {"dim": 1, "channels": 1, "bundle": 1, "width": 1}
_LEAST |= {"inputs": 0, "params": 0, "history": 0, "blocks": 0, "slices": 0}


class MeshGraphNet(nn.Module):
    """Encode – process – decode on the edges of a mesh, with edge state:

        h = enc(node features),  e = enc(Δx, |Δx|);   15 times (h, m) = block(h, e), e = e + m;
        y = û + dec(h),   û = 0 (steady) or the last known state;   y = g on Dirichlet nodes.

    Node features: inputs a, the last K states, one-hot boundary type, Dirichlet values, fluxes,
    outward normal, parameters θ. Everything continuous is standardised by buffers. Boundary values
    are data: imposed exactly in the output, so a rollout needs no truth. Messages travel one edge a
    block: without `slices` nothing acts beyond `blocks` hops, which is what a steady problem needs.

    Args:
        dim: space dimension d of the mesh.
        channels: C, components of the solution.
        inputs: F, columns of `a`.
        params: P, columns of θ.
        history: K, known states that go in; 0 for a steady problem.
        bundle: S, states that come out.
        width: hidden size H.
        blocks: number of interaction blocks.
        hidden: hidden layers in each perceptron.
        slices: slices of the global path after each block; 0 for a purely local network.
        heads: heads of the global path.
        activation: see `meshgnn.nn.mlp`.
        split: the fast form of the block; False for the textbook form (same result).

    Raises:
        ValueError: a size below its least value.

    Source: Pfaff et al. 2021 (MeshGraphNets); the global path after Wu et al. 2024.
    """

    loss = staticmethod(one_step)
    transform = None

    def __init__(
        self,
        dim: int = 2,
        channels: int = 1,
        inputs: int = 2,
        params: int = 0,
        history: int = 0,
        bundle: int = 1,
        width: int = 128,
        blocks: int = 15,
        hidden: int = 2,
        slices: int = 0,
        heads: int = 4,
        activation: str = "silu",
        split: bool = True,
    ) -> None:
        super().__init__()
        self.hparams = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        for name, least in _LEAST.items():
            if (size := self.hparams[name]) < least:
                raise ValueError(f"MeshGraphNet: expected {name} of at least {least}, got {size}")
        self.channels, self.bundle = channels, bundle
        features = inputs + channels * (history + bundle + 2) + params
        sizes = [width] * (hidden + 1)
        self.scale_node = Standardise(features)
        self.scale_edge = Standardise(dim + 1, centre=False)
        self.scale_out = Standardise(channels)
        self.encode_node = mlp([features + 4 + channels + dim, *sizes], activation, norm=True)
        self.encode_edge = mlp([dim + 1, *sizes], activation, norm=True)
        self.blocks = nn.ModuleList(
            InteractionBlock(width, hidden=hidden, activation=activation, split=split)
            for _ in range(blocks)
        )
        self.globals = nn.ModuleList(
            SliceAttention(width, slices, heads) for _ in range(blocks if slices else 0)
        )
        self.decode = mlp([*sizes, bundle * channels], activation)

    def fit_statistics(self, graphs: list[Data]) -> None:
        """Set the buffers of the normalisation from the training graphs (float64, free nodes)."""
        self.scale_node.fit(self._node_features(g) for g in graphs)
        self.scale_edge.fit(self._edge_features(g) for g in graphs)
        self.scale_out.fit(
            (g.y - self._base(g))[~g.dirichlet_mask.any(1)].flatten(0, 1) for g in graphs
        )

    def forward(self, graph: Data) -> Float[Tensor, "N S C"]:
        """The field in physical units, equal to the boundary values where they are prescribed."""
        node = [self.scale_node(self._node_features(graph)), graph.bc, graph.dirichlet_mask]
        h = self.encode_node(torch.cat([*(x.to(graph.pos.dtype) for x in node), graph.normal], 1))
        e = self.encode_edge(self.scale_edge(self._edge_features(graph)))
        rows = GraphRows(getattr(graph, "batch", None), len(h)) if len(self.globals) else None
        for i, block in enumerate(self.blocks):
            h, m = block(h, e, graph.edge_index)
            e = e + m
            if rows is not None:
                h = self.globals[i](h, graph.mass, rows)
        out = self.decode(h).view(len(h), self.bundle, self.channels).to(graph.pos.dtype)
        out = self._base(graph) + self.scale_out.inverse(out)
        return torch.where(graph.dirichlet_mask[:, None, :], graph.dirichlet, out)

    def _base(self, graph: Data) -> Float[Tensor, "N _ C"]:
        """What the network adds to: the last known state, 0 for a steady problem."""
        if graph.u.shape[1]:
            return graph.u[:, -1:]
        return graph.pos.new_zeros(len(graph.pos), 1, self.channels)

    def _node_features(self, graph: Data) -> Float[Tensor, "N features"]:
        batch = getattr(graph, "batch", None)
        theta = graph.theta.expand(len(graph.pos), -1) if batch is None else graph.theta[batch]
        states = [graph.u.flatten(1), graph.dirichlet.flatten(1)]
        return torch.cat([graph.a, *states, graph.flux, graph.robin, theta], dim=1)

    def _edge_features(self, graph: Data) -> Float[Tensor, "E features"]:
        delta = edge_vectors(graph)
        return torch.cat([delta, delta.norm(dim=1, keepdim=True)], dim=1)

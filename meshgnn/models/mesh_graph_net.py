"""The reference model that all later ones are compared with."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.losses import one_step
from meshgnn.nn import (
    FluxBlock,
    GraphRows,
    InteractionBlock,
    SliceAttention,
    Standardise,
    by_rows,
    edge_vectors,
    mlp,
    undirected,
)
from meshgnn.nn.flux import FORMS

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

    With `edges` other than "directed" messages are evaluated once an edge in place of once for each
    direction (`FluxBlock`): less time a block. Then e = enc(|Δx|, Δx Δxᵀ / |Δx|), and Δx goes into
    every block.

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
        gather: what nodes receive, see `InteractionBlock`.
        recompute: less memory in training for more time, see `InteractionBlock`.
        edges: "directed", or fluxes: "antisymmetric" (Σ over nodes of all messages is 0),
            "symmetric", or "mixed", half of the channels each.

    Raises:
        ValueError: a size below its least value, unknown edges; anything the blocks refuse, and
            graphs whose edges do not go both ways where fluxes are asked for.

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
        recompute: bool = False,
        gather: str = "messages",
        edges: str = "directed",
    ) -> None:
        super().__init__()
        self.hparams = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        _check(self.hparams)
        self.channels, self.bundle = channels, bundle
        features = inputs + channels * (history + bundle + 2) + params
        sizes = [width] * (hidden + 1)
        self.scale_node = Standardise(features)
        self.fluxes = edges != "directed"
        even = 1 + (dim * (dim + 1) // 2 if self.fluxes else 0)
        self.scale_edge = Standardise(dim + even, centre=False)
        self.scale_out = Standardise(channels)
        self.encode_node = mlp([features + 4 + channels + dim, *sizes], activation, norm=True)
        self.encode_edge = mlp([even if self.fluxes else dim + 1, *sizes], activation, norm=True)
        kinds = {"hidden": hidden, "activation": activation, "recompute": recompute, "split": split}
        self.blocks = nn.ModuleList(
            FluxBlock(width, dim, form=edges, **kinds)
            if self.fluxes
            else InteractionBlock(width, gather=gather, **kinds)
            for _ in range(blocks)
        )
        self.globals = nn.ModuleList(
            SliceAttention(width, slices, heads) for _ in range(blocks if slices else 0)
        )
        self.decode = mlp([*sizes, bundle * channels], activation)

    @property
    def hops(self) -> int | None:
        """Over how many edges a node acts on the field; None with a global path: over all."""
        return None if len(self.globals) else len(self.blocks)

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
        node = torch.cat([*(x.to(graph.pos.dtype) for x in node), graph.normal], 1)
        h = by_rows(self.encode_node, node)
        edges, ways = self._edges(graph)
        e = by_rows(self.encode_edge, edges)
        rows = GraphRows(getattr(graph, "batch", None), h.shape[0]) if len(self.globals) else None
        for i, block in enumerate(self.blocks):
            h, e = block(h, e, **ways)
            if rows is not None:
                h = self.globals[i](h, graph.mass, rows)
        out = by_rows(self.decode, h).view(-1, self.bundle, self.channels).to(graph.pos.dtype)
        out = self._base(graph) + self.scale_out.inverse(out)
        return torch.where(graph.dirichlet_mask[:, None, :], graph.dirichlet, out)

    def _base(self, graph: Data) -> Float[Tensor, "N _ C"]:
        """What the network adds to: the last known state, 0 for a steady problem."""
        if graph.u.shape[1]:
            return graph.u[:, -1:]
        return graph.pos.new_zeros(graph.pos.shape[0], 1, self.channels)

    def _node_features(self, graph: Data) -> Float[Tensor, "N features"]:
        batch = getattr(graph, "batch", None)
        theta = graph.theta.expand(graph.pos.shape[0], -1) if batch is None else graph.theta[batch]
        states = [graph.u.flatten(1), graph.dirichlet.flatten(1)]
        return torch.cat([graph.a, *states, graph.flux, graph.robin, theta], dim=1)

    def _edges(self, graph: Data) -> tuple[Float[Tensor, "E features"], dict[str, Any]]:
        """What the states of the edges are made from, and what a block is told about them."""
        features = self.scale_edge(self._edge_features(graph))
        if not self.fluxes:
            return features, {"edge_index": graph.edge_index, "residual": True}
        chosen, pairs = undirected(graph.edge_index)
        dim = graph.pos.shape[1]
        delta, even = features.index_select(0, chosen).split([dim, features.shape[1] - dim], dim=1)
        return even, {"pairs": pairs, "dx": delta}

    def _edge_features(self, graph: Data) -> Float[Tensor, "E features"]:
        delta = edge_vectors(graph)
        length = delta.norm(dim=1, keepdim=True)
        if not self.fluxes:
            return torch.cat([delta, length], dim=1)
        row, column = torch.triu_indices(delta.shape[1], delta.shape[1])
        squares = delta[:, row] * delta[:, column] / length
        return torch.cat([delta, length, squares], dim=1)


def _check(h: dict[str, Any]) -> None:
    """Raises: ValueError: a size below its least value, unknown edges, states from fluxes."""
    for name, least in _LEAST.items():
        if h[name] < least:
            raise ValueError(f"MeshGraphNet: expected {name} of at least {least}, got {h[name]}")
    if h["edges"] not in ("directed", *FORMS):
        raise ValueError(
            f"MeshGraphNet: unknown edges {h['edges']!r}; choose one of directed, "
            f"{', '.join(FORMS)}"
        )
    if h["edges"] != "directed" and h["gather"] != "messages":
        raise ValueError(f"MeshGraphNet: fluxes are messages, got gather={h['gather']!r}")

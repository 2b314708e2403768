"""Marches the values and states of the sources from frame to frame."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.models.observer.sources import Sources
from meshgnn.nn import InteractionBlock, Standardise, mlp


class Stepper(nn.Module):
    """z_0 = B_0(enc(data)),  z_{k+1} = norm(B(z_k + in(v_k, g_{k+1} − v_k))),  v_{k+1} = v_k +
    σ dec(z_{k+1}),  with B a few interaction blocks, the same at every step.

    v are the values at the sources, g those that are prescribed, imposed exactly in every step.
    Edges hold x_j − x_i and v_j − v_i and lead to sensors only: what is prescribed is not stepped.
    dec starts at 0, so that the values stay as they are. Lengths are in units of the mean spacing
    of the sensors of the training set.

    Args:
        dim: d.
        channels: C.
        inputs: F.
        params: P.
        history: K.
        width: H.
        blocks: of B.
    """

    length: Tensor

    def __init__(
        self,
        dim: int,
        channels: int,
        inputs: int,
        params: int,
        history: int,
        width: int,
        blocks: int,
    ) -> None:
        super().__init__()
        self.scale_state = Standardise(channels)
        self.scale_step = Standardise(channels, centre=False)
        self.scale_input = Standardise(inputs)
        self.scale_theta = Standardise(params)
        self.register_buffer("length", torch.ones(()))
        features = history * channels + inputs + params + dim + 6
        edge = dim + 1 + channels
        self.encode = mlp([features, width, width], norm=True)
        self.first_edge = mlp([edge, width, width], norm=True)
        self.first = InteractionBlock(width)
        self.edge = mlp([edge, width, width], norm=True)
        self.inject = nn.Linear(3 * channels, width)
        self.blocks = nn.ModuleList(InteractionBlock(width) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.decode = mlp([width, width, channels], zero=True)

    def fit_statistics(self, graphs: list[Data], sources: list[Sources]) -> None:
        """All normalisation, from the sources of the training graphs."""
        pairs = list(zip(graphs, sources, strict=True))
        frames = [torch.cat([g.u, g.y], dim=1)[s.node[s.sensor]] for g, s in pairs]
        self.scale_state.fit(f.flatten(0, 1) for f in frames)
        self.scale_step.fit(f.diff(dim=1).flatten(0, 1) for f in frames)
        self.scale_input.fit(g.a[s.node] for g, s in pairs)
        self.scale_theta.fit(g.theta for g in graphs)
        self.length.copy_(torch.cat([s.spacing[s.sensor] for s in sources]).mean())

    def forward(
        self, graph: Data, sources: Sources
    ) -> tuple[Float[Tensor, "A n C"], Float[Tensor, "A n H"]]:
        """Values and states at the last known frame and at the S = A − 1 after it."""
        value, mask = graph.u[sources.node, -1], graph.dirichlet_mask[sources.node]
        ahead = graph.dirichlet[sources.node]
        pair = sources.link_index
        e = self.first_edge(self._between(sources, value))
        z = self.first(self.encode(self._features(graph, sources)), e, pair)[0]
        values, states = [value], [z]
        for step in range(ahead.shape[1]):
            known = torch.where(mask, ahead[:, step] - value, 0.0) / self.scale_step.std
            data = [self.scale_state(value), known, mask.to(value.dtype)]
            z, e = z + self.inject(torch.cat(data, dim=1)), self.edge(self._between(sources, value))
            for block in self.blocks:
                z, m = block(z, e, pair)
                e = e + m
            z = self.norm(z)
            moved = value + self.scale_step.inverse(self.decode(z).to(value.dtype))
            value = torch.where(mask, ahead[:, step], moved)
            values.append(value)
            states.append(z)
        return torch.stack(values), torch.stack(states)

    def _features(self, graph: Data, sources: Sources) -> Float[Tensor, "n features"]:
        node, known = sources.node, graph.u
        last = known[node, -1]
        past = ((known[node, :-1] - last[:, None]) / self.scale_step.std).flatten(1)
        batch = getattr(graph, "batch", None)
        theta = self.scale_theta(graph.theta)
        theta = theta.expand(len(node), -1) if batch is None else theta[batch[node]]
        parts = [self.scale_state(last), past, self.scale_input(graph.a[node]), theta]
        parts += [graph.normal[node], graph.bc[node], sources.sensor[:, None].to(last.dtype)]
        return torch.cat([*parts, (sources.spacing / self.length).log()[:, None]], dim=1)

    def _between(self, sources: Sources, value: Tensor) -> Float[Tensor, "E features"]:
        source, target = sources.link_index
        delta = sources.link_delta / self.length
        jump = (value[source] - value[target]) / self.scale_state.std
        return torch.cat([delta, delta.norm(dim=1, keepdim=True), jump], dim=1)

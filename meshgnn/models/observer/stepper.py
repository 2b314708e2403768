"""Marches the values and states of the sources from frame to frame."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.models.observer.sources import Sources
from meshgnn.nn import InteractionBlock, Standardise, mlp


class Stepper(nn.Module):
    """z_0 = B_0(enc(data)),  z' = norm(B(z + in(v, g − v, data))),  v_l = v + l σ dec_l(z').

    One step of B, a few interaction blocks that are the same in every step, goes l = 1 ... `stride`
    frames ahead; states of frames between z and z' are linear in time. v are the values at the
    sources, g those that are prescribed, imposed exactly in every frame. Edges hold x_j − x_i and
    v_j − v_i and lead to sensors only: what is prescribed is not stepped. dec starts at 0, so that
    the values stay as they are. Lengths are in units of the mean spacing of the sensors of the
    training set.

    Args:
        dim: d.
        channels: C.
        inputs: F.
        params: P.
        history: K.
        width: H.
        blocks: of B.
        stride: frames of a step.
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
        stride: int,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.scale_state = Standardise(channels)
        self.scale_step = Standardise(channels, centre=False)
        self.scale_input = Standardise(inputs)
        self.scale_theta = Standardise(params)
        self.register_buffer("length", torch.ones(()))
        fixed = inputs + params + dim + 6
        edge = dim + 1 + channels
        self.encode = mlp([fixed + history * channels, width, width], norm=True)
        self.first_edge = mlp([edge, width, width], norm=True)
        self.first = InteractionBlock(width)
        self.edge = mlp([edge, width, width], norm=True)
        self.inject = mlp([fixed + (3 + stride) * channels, width, width])
        self.blocks = nn.ModuleList(InteractionBlock(width) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.decode = mlp([width, width, stride * channels], zero=True)

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
        """Values and states at the last known frame and at those that `dirichlet` is given for."""
        known, mask = graph.u[sources.node], graph.dirichlet_mask[sources.node]
        past, value = known[:, max(known.shape[1] - 2, 0)], known[:, -1]
        fixed, pair = self._fixed(graph, sources), sources.link_index
        start = torch.cat([fixed, self.scale_state(value), self._changes(known, value)], dim=1)
        e = self.first_edge(self._between(sources, value))
        z = self.first(self.encode(start), e, pair)[0]
        values, states = [value], [z]
        for ahead in graph.dirichlet[sources.node].split(self.stride, dim=1):
            given = torch.where(mask[:, None], ahead - value[:, None], 0.0) / self.scale_step.std
            change = (value - past) / self.scale_step.std
            data = [fixed, self.scale_state(value), change, given.flatten(1), mask.to(value.dtype)]
            h = z + self.inject(torch.cat(data, dim=1))
            after = self._processed(h, self.edge(self._between(sources, value)), pair)
            moved = self.decode(after).to(value.dtype).view(len(z), self.stride, -1)
            begin = value
            for frame in range(self.stride):
                rate = self.scale_step.inverse(moved[:, frame])
                new = torch.where(mask, ahead[:, frame], begin + (frame + 1) * rate)
                past, value = value, new
                values.append(new)
                states.append(z + (after - z) * ((frame + 1) / self.stride))
            z = after
        return torch.stack(values), torch.stack(states)

    def _processed(self, h: Tensor, e: Tensor, pair: Tensor) -> Float[Tensor, "n H"]:
        for block in self.blocks:
            h, m = block(h, e, pair)
            e = e + m
        return self.norm(h)

    def _changes(self, known: Tensor, value: Tensor) -> Float[Tensor, "n features"]:
        return ((known[:, :-1] - value[:, None]) / self.scale_step.std).flatten(1)

    def _fixed(self, graph: Data, sources: Sources) -> Float[Tensor, "n features"]:
        """What does not change in time."""
        node, batch = sources.node, getattr(graph, "batch", None)
        theta = self.scale_theta(graph.theta)
        theta = theta.expand(len(node), -1) if batch is None else theta[batch[node]]
        kind = sources.sensor[:, None].to(theta.dtype)
        parts = [self.scale_input(graph.a[node]), theta, graph.normal[node], graph.bc[node], kind]
        return torch.cat([*parts, (sources.spacing / self.length).log()[:, None]], dim=1)

    def _between(self, sources: Sources, value: Tensor) -> Float[Tensor, "E features"]:
        source, target = sources.link_index
        delta = sources.link_delta / self.length
        jump = (value[source] - value[target]) / self.scale_state.std
        return torch.cat([delta, delta.norm(dim=1, keepdim=True), jump], dim=1)

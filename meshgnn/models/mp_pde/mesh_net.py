"""MP-PDE for meshes: a fitted library of terms, and message passing for what it leaves."""

import copy
import warnings

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.models.mp_pde.hops import hop_edges
from meshgnn.models.mp_pde.library import Library, with_stencils
from meshgnn.nn import GraphRows, InteractionBlock, SliceAttention, Standardise, edge_vectors, mlp

_FITTED, _STARTS, _CALLS = 100, 8, 150  # graphs of the fit; marches that show it does not blow up
CONDITIONING = ("concat", "film", "attention")


class MeshNet(nn.Module):
    """û_l = u_k + l Δt (Φ W_l + σ_l ⊙ dec(h)_l),  l = 1..S;   h by message passing from Φ.

    See `MPPDE` for what goes in. Φ W is the `Library`, fitted before training; dec starts at 0, so
    that the untrained network is the fitted equation, stepped explicitly.

    Args:
        hparams: constructor arguments of `MPPDE`, defaults filled in.
    """

    def __init__(self, hparams: dict) -> None:
        super().__init__()
        names = ("dim", "channels", "history", "bundle", "inputs", "params", "width", "layers")
        dim, c, k, s, inputs, params, width, layers = (hparams[name] for name in names)
        self.channels, self.history, self.bundle = c, k, s
        self.hops, self.noise = hparams["hops"], hparams["library_noise"]
        self.conditioning, self.use_library = hparams["conditioning"], hparams["library"]
        if self.conditioning not in CONDITIONING:
            raise ValueError(
                f"MPPDE: unknown conditioning {self.conditioning!r}; choose one of "
                f"{', '.join(CONDITIONING)}"
            )
        self.library = Library(dim, c, k, inputs, params, s * c)
        self.scale_state = Standardise((k - 1) * c + s * c + 2 * c, centre=False)
        self.scale_jump = Standardise(k * c, centre=False)
        self.scale_theta = Standardise(params)
        self.scale_out = Standardise(c)  # of what a loss is measured in: increments of a bundle
        self.scale_rate = Standardise(s * c, centre=False)
        features = self.library.terms + len(self.scale_state.std) + 4 + c + dim + params + 2
        self.encode = mlp([features, width, width], norm=True)
        self.encode_edge = mlp([dim + 2 + k * c, width, width], norm=True)
        context = params if self.conditioning == "concat" else 0
        self.blocks = nn.ModuleList(
            InteractionBlock(width, context=context, reduce="mean") for _ in range(layers)
        )
        slices = hparams["slices"]
        self.globals = nn.ModuleList(
            SliceAttention(width, slices) for _ in range(layers if slices else 0)
        )
        gates = {"concat": None, "film": params, "attention": params + width}[self.conditioning]
        self.gates = nn.ModuleList(
            mlp([gates, width, 2 * width], zero=True) for _ in range(layers if gates else 0)
        )
        self.decode = mlp([width, width, s * c], zero=True)

    def transform(self, graph: Data) -> Data:
        """Stencils of the fitted terms, and edges to all nodes within some hops."""
        if "stencil_index" in graph:
            return graph  # transformed before
        graph, shift = with_stencils(graph), graph.get("edge_shift")
        if self.hops > 1:
            graph.edge_index, shift = hop_edges(graph.edge_index, len(graph.pos), self.hops, shift)
            if shift is not None:
                graph.edge_shift = shift
        return graph

    @torch.no_grad()
    def fit_statistics(self, graphs: list[Data]) -> None:
        """The library by least squares, and all normalisations, from the training graphs."""
        rest = self._fit_library(graphs)
        self.scale_rate.std.copy_(torch.where(rest > 0, rest, 1.0))
        self.scale_state.fit(self._states(g) for g in graphs)
        self.scale_jump.fit(_jumps(g) for g in graphs)
        self.scale_theta.fit(g.theta for g in graphs)
        self.scale_out.fit((g.y - g.u[:, -1:])[_free(g)].flatten(0, 1) for g in graphs)

    def _fit_library(self, graphs: list[Data]) -> Tensor:
        """Coefficients of terms that march without blowing up; what they leave of the rates."""
        some = graphs[:: -(-len(graphs) // _FITTED)]  # rows enough for some dozen columns
        levels = [self.noise * 1.5**i for i in range(12)] if self.noise else [0.0]
        for level in levels if self.use_library else []:
            self.library.fit([*some, *self._shaken(some, level)], self._rates)
            if not self.noise or self._holds(graphs):
                break
        else:  # no fit holds, or none is wanted: the terms are features at least
            self.library.fit([*some, *self._shaken(some, self.noise)], self._rates)
            if self.use_library:
                warnings.warn(
                    f"MPPDE: marches of the fitted terms alone leave the range of the data with "
                    f"any noise up to {levels[-1]:.2g}; train with losses.unrolled or pushforward, "
                    "or set library=False",
                    stacklevel=5,
                )
        rest = [(self._rates(g) - self._base(g, self.library(g)))[_free(g)] for g in graphs]
        return torch.cat(rest).square().mean(0).sqrt()

    def _holds(self, graphs: list[Data]) -> bool:
        """Whether marches of the fitted terms alone, as long as the data, stay in twice its range.

        From states with one hundredth of noise.
        """
        times = torch.cat([g.time for g in graphs if "time" in g] or [graphs[0].dt])
        duration = (times.max() - times.min()) / graphs[0].dt
        calls = min(_CALLS, max(1, round(float(duration.max()) / self.bundle)))
        size = 2 * max(float(max(g.u.abs().max(), g.y.abs().max())) for g in graphs)
        for graph in self._shaken(graphs[:: -(-len(graphs) // _STARTS)], 0.01):
            for _ in range(calls):
                graph.u = torch.cat([graph.u, self._explicit(graph)], dim=1)[:, -self.history :]
                if not graph.u.abs().max() <= size:
                    return False
        return True

    def _base(self, graph: Data, terms: Tensor) -> Tensor:
        """Rates without the network."""
        if not self.use_library:
            return terms.new_zeros(())
        whole = None if "known" not in graph else self._known(graph) > 1 - 0.5 / self.history
        return self.library.rates(terms, whole)

    def _explicit(self, graph: Data) -> Float[Tensor, "N S C"]:
        """The states that the fitted terms alone give."""
        return self._stepped(graph, self._base(graph, self.library(graph)))

    def _known(self, graph: Data) -> Float[Tensor, " N"]:
        """Which share of the K states is true, for every node."""
        batch = getattr(graph, "batch", None)
        if (known := graph.get("known")) is None:
            return graph.pos.new_ones(len(graph.pos))
        share = known / self.history
        return share.expand(len(graph.pos)) if batch is None else share[batch]

    def _stepped(self, graph: Data, rate: Tensor) -> Float[Tensor, "N S C"]:
        """u_k + l Δt · rates, exact where states are prescribed."""
        shape = (-1, self.bundle, self.channels)
        out = graph.u[:, -1:] + _ahead(graph, self.bundle) * rate.view(shape)
        return torch.where(graph.dirichlet_mask[:, None], graph.dirichlet, out)

    def _shaken(self, graphs: list[Data], level: float) -> list[Data]:
        """The graphs with noise on their known states, and the same targets.

        On smooth data alone nothing in a fit says that short waves must decay, and a march of it
        may blow up. These rows say so.
        """
        if not level:
            return []
        spread = torch.cat([g.u[_free(g)].flatten(0, 1) for g in graphs]).std(0)
        generator, shaken = torch.Generator().manual_seed(0), []
        for graph in graphs:
            part = copy.copy(graph)
            noise = torch.randn(graph.u.shape, generator=generator).to(graph.u.device)
            part.u = graph.u + level * spread * noise * ~graph.dirichlet_mask[:, None]
            shaken.append(part)
        return shaken

    def forward(self, graph: Data) -> Float[Tensor, "N S C"]:
        terms = self.library(graph)
        theta = self.scale_theta(graph.theta)
        batch = getattr(graph, "batch", None)
        theta = theta.expand(len(terms), -1) if batch is None else theta[batch]
        h = self._processed(graph, self._encoded(graph, terms, theta), theta)
        rate = self.scale_rate.inverse(self.decode(h).to(terms.dtype))
        return self._stepped(graph, rate + self._base(graph, terms))

    def _encoded(self, graph: Data, terms: Tensor, theta: Tensor) -> Tensor:
        """Node states before the first message."""
        parts = [terms.clamp(-20, 20), self.scale_state(self._states(graph)), graph.bc]
        parts += [graph.dirichlet_mask.to(terms.dtype), graph.normal, theta]
        return self.encode(
            torch.cat([*parts, self._known(graph)[:, None], graph.grading[:, None]], dim=1)
        )

    def _processed(self, graph: Data, h: Tensor, theta: Tensor) -> Tensor:
        """Node states after the last block."""
        e, batch = self.encode_edge(self._edge_features(graph)), getattr(graph, "batch", None)
        slow = len(self.globals) > 0 or self.conditioning == "attention"
        rows = GraphRows(batch, len(h)) if slow else None
        context = theta if self.conditioning == "concat" else None
        for i, block in enumerate(self.blocks):
            h, m = block(h, e, graph.edge_index, context)
            e = e + m
            if len(self.globals):
                h = self.globals[i](h, graph.mass, rows)
            if len(self.gates):
                given = theta
                if rows is not None and self.conditioning == "attention":
                    given = torch.cat([theta, rows.spread(rows.mean(h, graph.mass))], dim=1)
                gain, shift = self.gates[i](given).chunk(2, dim=1)
                h = h * (1 + gain) + shift
        return h

    def _edge_features(self, graph: Data) -> Tensor:
        source, target = graph.edge_index
        delta = edge_vectors(graph) / graph.spacing[target, None]
        ratio = graph.grading[source] - graph.grading[target]
        length = delta.norm(dim=1, keepdim=True)
        return torch.cat([delta, length, ratio[:, None], self.scale_jump(_jumps(graph))], dim=1)

    def _states(self, graph: Data) -> Float[Tensor, "N features"]:
        """Differences to the last state, of the past and of the boundary values ahead; fluxes."""
        last = graph.u[:, -1:]
        mask = graph.dirichlet_mask[:, None]
        ahead = torch.where(mask, graph.dirichlet - last, torch.zeros_like(last))
        past = graph.u[:, :-1] - last
        return torch.cat([past.flatten(1), ahead.flatten(1), graph.flux, graph.robin], dim=1)

    def _rates(self, graph: Data) -> Float[Tensor, "N rates"]:
        """(u_{k+l} − u_k) / (l Δt) of the data."""
        return ((graph.y - graph.u[:, -1:]) / _ahead(graph, self.bundle)).flatten(1)


def _ahead(graph: Data, bundle: int) -> Tensor:
    """l Δt, [1 or N, S, 1]."""
    dt = graph.dt if len(graph.dt) == 1 else graph.dt[graph.batch]
    steps = torch.arange(1, bundle + 1, device=dt.device, dtype=dt.dtype)
    return (dt[:, None] * steps)[..., None]


def _jumps(graph: Data) -> Float[Tensor, "E features"]:
    source, target = graph.edge_index
    flat = graph.u.flatten(1)
    return flat[source] - flat[target]


def _free(graph: Data) -> Tensor:
    return ~graph.dirichlet_mask.any(dim=1)

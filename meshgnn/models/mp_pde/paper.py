"""MP-PDE as published, for any dimension and number of components, on a mesh graph."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.models.mp_pde.hops import hop_edges
from meshgnn.nn import GraphRows, InstanceNorm, InteractionBlock, edge_vectors, mlp

FIRST_KERNELS = {20: 15, 25: 16, 50: 12}  # by K
_LEAST_KERNEL = 10  # of the last convolution
_FILTERS = 8
_LEAST = {"layers": 1, "dim": 1, "channels": 1, "params": 0, "hops": 1}


def published_loss(model: Callable[[Data], Tensor], graph: Data) -> Float[Tensor, ""]:
    """L = (Σ_graphs Σ_i Σ_l Σ_c (û_ilc − y_ilc)²)^½ over the free entries: no mean, no masses.

    The norm over the whole batch, so its gradient has the same size whatever the error: with it the
    published learning rates make sense. L is 0 with gradient 0 where û = y.

    Source: Brandstetter, Worrall & Welling, ICLR 2022, their code.
    """
    error = (model(graph) - graph.y) * ~graph.dirichlet_mask[:, None]
    return torch.linalg.vector_norm(error)


class PaperNet(nn.Module):
    """The next K states from the last K, in units of the domain's length L and the time span T:

        θ_i = (t / T, parameters / scales);   h = enc(u_i (K states), x_i / L, θ_i);
        6 times:  m_ij = S(W S(φ(h_i, h_j, u_i − u_j, (x_i − x_j) / L, θ_i))),
                  h ← norm(h + S(V S(ψ(h_i, mean_j m_ij, θ_i)))),   norm: `InstanceNorm`;
        u_i(t + l Δt) = u_i(t) + l Δt d_il,   d_i = conv(S(conv(h_i))),   l = 1 .. K,

    S(z) = z / (1 + e^−z). The two convolutions run along the features of h_i, read as a signal of
    length 128, which they shorten to K (K = 25: 128 → 38 → 25). 634,745 parameters with K = 25 and
    no parameters of the equation. Dirichlet values are imposed exactly after.

    The published network is for one component on an interval; here u has C components (the last
    convolution gives C signals) and x has d; both reduce to it. Other widths keep the
    kernel of the first convolution and take its largest stride that leaves at least 10 taps for the
    second, which gives the published strides at 128.

    Edges join nodes up to `hops` edges of the mesh apart. On a uniform interval that is the
    published radius graph (3 hops: 6 neighbours, fewer at the ends); for the wave equations, with
    the k nearest nodes, take k / 2 hops (3; for WE3 10, 6, 5, 3 at 100, 50, 40, 20 nodes), which
    differs near the ends alone. Positions count from the mean of the nodes, not from the left end:
    a constant, which the bias of the first layer takes up.

    Does not know of node types, boundary values before the output, inputs `a`, lengths of edges,
    and takes K true states; t is the time of the last of them. Statistics of the norm are over
    nodes, so they change with the grading of a mesh. Published boundary conditions enter as
    parameters (for WE3 two flags: 1 for Neumann, left and right).

    Published training: `published_loss`; AdamW, lr 1e-4, weight decay 1e-2, lr times 0.4 at epochs
    1, 5, 10 and 15 of 20; an epoch is 250 passes over 2048 trajectories, each from a random start
    that is new in every pass, in batches of 16 (32,000 steps); N of pushforward drawn from
    {0 .. min(epoch, 1)}; no clipping, no noise, no averaging of weights; double precision; kept:
    the weights with the least unrolled validation error. E1: length 16, duration 4, no parameters.
    E2: param_scale [0.2] for β. E3: duration 2, param_scale [3, 0.4, 1] for α, β, γ.

    Args:
        window: K, 20, 25 or 50.
        width: of h.
        layers: message-passing layers.
        dim: d.
        channels: C.
        params: number of parameters in θ besides the time.
        length: L; None takes the largest extent of the training graphs.
        duration: T, s; None takes the last time in the training graphs.
        param_scale: what each parameter is divided by; None takes its largest magnitude in them.
        hops: n of the neighbourhoods.
        periodic: False leaves out the edges that cross a periodic boundary, as the published graph
            does, so that a wave does not return to where it left.
        conditioned: False leaves the parameters out of θ, whatever their number: the published
            ablation, and the published network for E1, whose samples have constants for parameters.
        absolute: False puts 0 in place of x_i / L; then the network commutes with translations.
        split: the fast form of φ, see `InteractionBlock`; False for the plain one (same result).

    Raises:
        ValueError: a window without convolutions, a width too small for them, another size below
            its least value; scales that are not positive or not one for each parameter.

    Source: Brandstetter, Worrall & Welling, Message Passing Neural PDE Solvers, ICLR 2022, sec. 3.2
    and appendix; its code.
    """

    marker = "hops"  # of a transformed graph
    loss = staticmethod(published_loss)
    length: Tensor
    duration: Tensor
    param_scale: Tensor

    def __init__(
        self,
        window: int = 25,
        width: int = 128,
        layers: int = 6,
        dim: int = 1,
        channels: int = 1,
        params: int = 0,
        length: float | None = None,
        duration: float | None = None,
        param_scale: Sequence[float] | None = None,
        hops: int = 3,
        periodic: bool = True,
        conditioned: bool = True,
        absolute: bool = True,
        split: bool = True,
    ) -> None:
        super().__init__()
        for name, least in _LEAST.items():
            if (size := locals()[name]) < least:
                raise ValueError(f"PaperNet: expected {name} of at least {least}, got {size}")
        self.hops, self.periodic = hops, periodic
        self.conditioned, self.absolute = conditioned, absolute
        scales = {"length": length, "duration": duration}
        given = {k: None if v is None else [v] for k, v in scales.items()}
        given["param_scale"] = None if param_scale is None else list(param_scale)
        self.fitted = [name for name, value in given.items() if value is None]
        for name, size in (("length", 1), ("duration", 1), ("param_scale", params)):
            self.register_buffer(name, _scale(name, given[name], size))
        state, theta = window * channels, 1 + params * conditioned
        self.encode = mlp([state + dim + theta, width, width]).append(nn.SiLU())
        edge = state + dim + theta
        self.blocks = nn.ModuleList(_layer(width, edge, theta, split) for _ in range(layers))
        self.norm = InstanceNorm()
        kernel, stride, last = kernels(window, width)
        self.decode = nn.Sequential(
            nn.Conv1d(1, _FILTERS, kernel, stride), nn.SiLU(), nn.Conv1d(_FILTERS, channels, last)
        )

    def transform(self, graph: Data) -> Data:
        """A copy of the graph whose edges are neighbourhoods of `hops` hops.

        Raises:
            ValueError: a graph that does not say the time of its last known state.
        """
        if "time" not in graph:
            raise ValueError(
                "MPPDE(preset='paper'): expected graph.time, the time of the last known state; "
                "build graphs with MeshDataset(..., history=K), or set it"
            )
        if self.marker in graph:
            return graph  # transformed before
        graph, shift = graph.clone(), graph.get("edge_shift")
        edges = graph.edge_index
        if shift is not None and not self.periodic:
            inside = (shift == 0).all(dim=1)
            edges, shift = edges[:, inside], shift[inside]
        graph.edge_index, shift = hop_edges(edges, len(graph.pos), self.hops, shift)
        if shift is not None:
            graph.edge_shift = shift
        graph.hops = torch.tensor([self.hops], device=edges.device)
        return graph

    def fit_statistics(self, graphs: list[Data]) -> None:
        """Set the scales that were not given, from the training graphs."""
        seen = {
            "length": torch.stack([_extent(g) for g in graphs]).amax(0, keepdim=True),
            "duration": torch.stack([g.time + g.dirichlet.shape[1] * g.dt for g in graphs]).amax(0),
            "param_scale": torch.cat([g.theta for g in graphs]).abs().amax(0),
        }
        for name in self.fitted:
            self.get_buffer(name).copy_(torch.where(seen[name] > 0, seen[name], 1.0))

    def forward(self, graph: Data) -> Float[Tensor, "N K C"]:
        """The next K states in physical units, of a transformed graph or a batch of them."""
        theta, dt = self._conditions(graph)
        u, x = graph.u.flatten(1), graph.pos / self.length
        h = self.encode(torch.cat([u, x if self.absolute else torch.zeros_like(x), theta], dim=1))
        source, target = graph.edge_index
        gap = u[target] - u[source]
        e = torch.cat([gap, -edge_vectors(graph) / self.length, theta[target]], dim=1)
        rows = GraphRows(getattr(graph, "batch", None), len(h))
        for block in self.blocks:
            h, _ = block(h, e, graph.edge_index, theta)
            h = self.norm(h, rows)
        change = self.decode(h[:, None]).transpose(1, 2).to(graph.u.dtype)
        ahead = torch.arange(1, change.shape[1] + 1, device=h.device) * dt
        out = graph.u[:, -1:] + ahead[..., None] * change
        return torch.where(graph.dirichlet_mask[:, None], graph.dirichlet, out)

    def _conditions(self, graph: Data) -> tuple[Float[Tensor, "N V"], Float[Tensor, "N 1"]]:
        """θ and Δt of the graph of every node."""
        theta = graph.time[:, None] / self.duration
        if self.conditioned:
            theta = torch.cat([theta, graph.theta / self.param_scale], dim=1)
        batch = getattr(graph, "batch", None)
        if batch is None:
            return theta.expand(len(graph.pos), -1), graph.dt.expand(len(graph.pos), 1)
        return theta[batch], graph.dt[batch, None]


def _layer(width: int, edge: int, theta: int, split: bool) -> InteractionBlock:
    """The shared block with an activation after the last layer of φ and ψ as well."""
    block = InteractionBlock(width, edge, theta, norm=False, reduce="mean", split=split)
    block.rest.append(nn.SiLU())
    block.node.append(nn.SiLU())
    return block


def kernels(window: int, width: int) -> tuple[int, int, int]:
    """Taps and stride of the first convolution and taps of the second: width → n → K.

    Raises:
        ValueError: a window other than the published ones; a width too small.
    """
    if window not in FIRST_KERNELS:
        raise ValueError(
            f"MPPDE(preset='paper'): expected a window of 20, 25 or 50 states, got {window}; other "
            "windows have no published decoder, use preset='mesh'"
        )
    kernel = FIRST_KERNELS[window]
    stride = (width - kernel) // (window + _LEAST_KERNEL - 2)
    if stride < 1:
        least = kernel + window + _LEAST_KERNEL - 2
        raise ValueError(
            f"MPPDE(preset='paper'): expected a width of at least {least} for windows of {window} "
            f"states, got {width}"
        )
    return kernel, stride, (width - kernel) // stride + 2 - window


def _scale(name: str, values: list[float] | None, size: int) -> Float[Tensor, " n"]:
    values = [1.0] * size if values is None else values
    if len(values) != size or not all(v > 0 for v in values):
        raise ValueError(f"PaperNet: {name}: expected {size} positive numbers, got {values}")
    return torch.tensor(values)


def _extent(graph: Data) -> Float[Tensor, ""]:
    """Largest side of the box around the nodes, or the period."""
    size = (graph.pos.amax(0) - graph.pos.amin(0)).max()
    return torch.maximum(size, graph.period.max()) if "period" in graph else size

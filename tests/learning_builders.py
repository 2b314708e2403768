"""Small samples with known fields, and the smallest models, for the tests of the learning side."""

import numpy as np
import torch
from mesh_builders import cells_of_box
from torch import nn
from torch_geometric.data import Data

from meshgnn.losses import one_step
from meshgnn.mesh import Mesh
from meshgnn.sample import Boundary, Sample


def dirichlet_everywhere(mesh: Mesh, values: np.ndarray) -> Boundary:
    """u = values [.., N, C] on the whole boundary."""
    channels = values.shape[-1]
    mask = np.zeros((mesh.num_nodes, channels), dtype=bool)
    mask[mesh.boundary_nodes] = True
    none = Boundary.none(mesh.num_nodes, channels)
    return Boundary(mask, np.where(mask, values, 0.0), none.facets, none.alpha, none.flux)


def box(cells: str = "triangle", n: int = 4, seed: int | None = None) -> Mesh:
    """The unit box; with a seed its inner nodes are moved a little."""
    points, blocks = cells_of_box(cells, n)
    if seed is not None:
        inside = ((points > 0) & (points < 1)).all(axis=1)
        shift = np.random.default_rng(seed).uniform(-0.2, 0.2, points.shape) / n
        points = points + shift * inside[:, None]
    return Mesh(points, blocks)


def steady(seed: int = 0, cells: str = "triangle", n: int = 4, solved: bool = True) -> Sample:
    """−Δu = f with u = a·x + b |x|² and Dirichlet values: f = −2 d b; a, b drawn from the seed."""
    rng, mesh = np.random.default_rng(seed), box(cells, n, seed)
    d = mesh.points.shape[1]
    slope, bend = rng.normal(size=d), rng.normal()
    u = mesh.points @ slope + bend * (mesh.points**2).sum(axis=1)
    inputs = np.stack([np.full(len(u), -2 * d * bend), np.ones(len(u))], axis=1)
    return Sample(
        mesh=mesh,
        boundary=dirichlet_everywhere(mesh, u[:, None]),
        inputs=inputs,
        u=u[None, :, None] if solved else None,
        names={name: ["source", "diffusivity"] for name in ("inputs", "cell_inputs")}
        | {"u": ["u"]},
        meta={"problem": "Poisson"},
        cell_inputs=np.repeat(inputs[:1], mesh.num_cells, axis=0),
    )


def decaying(seed: int = 0, times: int = 6, n: int = 4, rate: float = 0.5) -> Sample:
    """u(t) = (1 + t) g(x) e^{−rate t}: two components, Dirichlet values that change in time."""
    rng, mesh, t = np.random.default_rng(seed), box(n=n, seed=seed), 0.1 * np.arange(times)
    g = np.stack([np.sin(mesh.points @ rng.normal(size=2) + i) for i in range(2)], axis=1)
    u = ((1 + t) * np.exp(-rate * t))[:, None, None] * g
    return Sample(
        mesh=mesh,
        boundary=dirichlet_everywhere(mesh, u),
        inputs=np.zeros((mesh.num_nodes, 0)),
        times=t,
        u=u,
        names={"u": ["p", "q"], "inputs": []},
    )


class Tiny(nn.Module):
    """û = base + MLP(x, mean of the neighbours' inputs and data): one hop, two layers."""

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
        width: int = 8,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.hparams = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.channels, self.bundle = channels, bundle
        size = dim + inputs + channels * (history + bundle + 1)
        self.register_buffer("scale", torch.ones(()))
        self.layers = nn.Sequential(
            nn.Linear(2 * size, width),
            nn.Tanh(),
            nn.Dropout(dropout),
            nn.Linear(width, channels * bundle),
        )

    def fit_statistics(self, graphs: list[Data]) -> None:
        self.scale.copy_(torch.cat([g.y.flatten() for g in graphs]).double().std())

    def forward(self, graph: Data) -> torch.Tensor:
        source, target = graph.edge_index
        own = [graph.pos, graph.a, graph.dirichlet_mask, graph.dirichlet.flatten(1)]
        x = torch.cat([*own, graph.u.flatten(1)], dim=1)
        degree = torch.bincount(target, minlength=len(x))[:, None]
        near = torch.zeros_like(x).index_add(0, target, x[source]) / degree
        out = self.layers(torch.cat([x, near], dim=1)).view(len(x), self.bundle, self.channels)
        base = graph.u[:, -1:] if graph.u.shape[1] else 0.0
        out = base + self.scale * out.to(graph.pos.dtype)
        return torch.where(graph.dirichlet_mask[:, None], graph.dirichlet, out)


class Recorder:
    """A "model" that knows the truth: it keeps what each call sees and answers with y."""

    def __init__(self) -> None:
        self.seen: list[Data] = []

    def __call__(self, graph: Data) -> torch.Tensor:
        self.seen.append(graph)
        return graph.y

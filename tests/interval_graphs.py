"""Graphs of travelling waves on intervals and squares, periodic or bounded."""

from dataclasses import replace

import numpy as np
import torch
from mesh_builders import cells_of_box
from torch_geometric.data import Data

from meshgnn.graph import to_graph
from meshgnn.mesh import Group, Mesh, twins
from meshgnn.sample import Boundary, Sample


def wave_sample(
    cells: int = 24,
    states: int = 50,
    periodic: bool = True,
    channels: int = 1,
    params: tuple[float, ...] = (),
    seed: int = 0,
    dt: float = 0.1,
) -> Sample:
    """u_c = sin(2π (x − t) / L + φ) + cos(4π (x + t / 2) / L) / 2 on (0, L), L = 4."""
    rng, length = np.random.default_rng(seed), 4.0
    x = np.linspace(0, length, cells + 1)[:, None]
    line = np.stack([np.arange(cells), np.arange(1, cells + 1)], axis=1)
    ends = {"left": [[0]], "right": [[cells]]}
    mesh = Mesh(x, {"line": line}, {k: Group(0, {"vertex": np.array(v)}) for k, v in ends.items()})
    t, phase = dt * np.arange(states)[:, None, None], 2 * np.pi * rng.random(channels)
    u = np.sin(2 * np.pi * (x - t) / length + phase) + np.cos(4 * np.pi * (x + t / 2) / length) / 2
    boundary = Boundary.none(mesh.num_nodes, channels)
    if periodic:
        boundary = replace(boundary, twin=twins(mesh, {"left": "right"}))
    inputs = np.zeros((mesh.num_nodes, 0))
    return Sample(mesh, boundary, inputs, t.ravel(), u, params=np.array(params))


def wave(window: int = 25, ahead: int | None = None, **options: object) -> Data:
    """The graph of a wave with `window` known states and as many, or `ahead`, to predict."""
    ahead = window if ahead is None else ahead
    return to_graph(wave_sample(states=window + ahead, **options), window, ahead)


def square_wave(window: int = 25, n: int = 5) -> Data:
    """u = (sin(x + t), cos(y − t)) on the unit square of triangles, without conditions."""
    mesh = Mesh(*cells_of_box("triangle", n))
    t = 0.1 * np.arange(2 * window)[:, None]
    x, y = mesh.points.T
    u = np.stack([np.sin(x + t), np.cos(y - t)], axis=-1)
    boundary = Boundary.none(mesh.num_nodes, 2)
    return to_graph(Sample(mesh, boundary, np.zeros((len(x), 0)), t.ravel(), u), window, window)


def permuted(graph: Data, order: torch.Tensor) -> Data:
    """The same graph with node k called order[k] before."""
    new = torch.empty_like(order)
    new[order] = torch.arange(len(order))
    other = graph.clone()
    for name in ("pos", "u", "y", "dirichlet", "dirichlet_mask", "mass", "a", "bc"):
        other[name] = graph[name][order]
    edges = new[graph.edge_index]
    place = torch.argsort(edges[1] * len(order) + edges[0])
    other.edge_index = edges[:, place]
    if "edge_shift" in graph:
        other.edge_shift = graph.edge_shift[place]
    return other

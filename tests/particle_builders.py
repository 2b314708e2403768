"""Particles made by hand, bodies and random weights for steppers of sparse material points."""

import dataclasses

import numpy as np
import torch
from mesh_builders import box
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.marching.calling import ready
from meshgnn.marching.start import all_known, first_graph, known_states
from meshgnn.mesh import Mesh
from meshgnn.models.giorom.particles import Particles, near_edges
from meshgnn.nn import GraphRows
from meshgnn.sample import Sample

SPEED = 0.01  # m a frame
NAMES = [f.name for f in dataclasses.fields(Particles) if f.name not in ("rows", "graph")]


def made_particles(
    count: int = 60, dim: int = 3, history: int = 6, seed: int = 0, side: float = 0.5
) -> Particles:
    """Points in a cube that has moved, inside walls at ±0.6 which it does not fill."""
    rng = np.random.default_rng(seed)
    reference = torch.tensor(side * (rng.random((count, dim)) - 0.5), dtype=torch.float32)
    steps = SPEED * rng.normal(size=(count, history, dim))
    u = torch.tensor(steps.cumsum(axis=1), dtype=torch.float32) + 0.05
    radius = torch.full((count,), 1.2 * side * count ** (-1 / dim))
    owner = torch.zeros(count, dtype=torch.int64)
    return Particles(
        reference=reference,
        u=u,
        mass=torch.full((count,), side**dim / count),
        kind=torch.tensor(rng.integers(0, 4, count)),
        held=torch.zeros(count, dim, dtype=torch.bool),
        ahead=torch.zeros(count, dim),
        gravity=torch.zeros(count, dim),
        lo=torch.full((count, dim), -0.6),
        hi=torch.full((count, dim), 0.6),
        theta=torch.zeros(1, 0),
        radius=radius,
        edge_index=near_edges(reference + u[:, -1], radius, owner),
        rows=GraphRows(None, count),
        graph=owner,
    )


def joined(*parts: Particles) -> Particles:
    """One batch of several graphs."""
    sizes = [len(p.u) for p in parts]
    owner = torch.repeat_interleave(torch.arange(len(parts)), torch.tensor(sizes))
    starts = np.cumsum([0, *sizes[:-1]])
    together: dict[str, list[Tensor]] = {}
    for part, start in zip(parts, starts, strict=True):
        for name in NAMES:
            value = getattr(part, name)
            together.setdefault(name, []).append(value + int(start) if _indexes(name) else value)
    fields = {n: torch.cat(v, dim=1 if _indexes(n) else 0) for n, v in together.items()}
    return Particles(**fields, rows=GraphRows(owner, len(owner), len(parts)), graph=owner)


def reordered(particles: Particles, order: Tensor) -> Particles:
    """The points of one graph in another order: point k is what was point order[k]."""
    place, moved = order.argsort(), {}
    for name in NAMES:
        value = getattr(particles, name)
        if _indexes(name):
            edges = place[value]
            moved[name] = edges[:, torch.argsort(edges[1] * len(order) + edges[0])]
        elif name != "theta":
            moved[name] = value[order]
    return dataclasses.replace(particles, **moved)


def _indexes(name: str) -> bool:
    return name.endswith("_index")


def mapped(particles: Particles, scale: float, shift: float) -> Particles:
    """The scene under x → scale x + shift, walls and radius with it; the reference as well."""
    dim = particles.u.shape[2]
    lengths = {"radius": particles.radius * scale, "mass": particles.mass * scale**dim}
    points = {name: getattr(particles, name) * scale + shift for name in ("reference", "lo", "hi")}
    return dataclasses.replace(particles, **lengths, **points, u=particles.u * scale)


def jittered(cells: str, n: int, seed: int = 0) -> Mesh:
    """The unit box with its nodes moved at random by a tenth of a cell: no two distances equal."""
    mesh = box(cells, n)
    shake = np.random.default_rng(seed).uniform(-0.1, 0.1, mesh.points.shape)
    return mesh.moved(mesh.points + shake / n)


def alive(model: nn.Module, size: float = 0.2, seed: int = 0) -> nn.Module:
    """The model with all weights shaken, so that no layer that starts at 0 hides an effect."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(size * torch.randn(p.shape, generator=generator))
    return model.eval()


def started(model: nn.Module, sample: Sample, dt: float = 0.01) -> Data:
    """The transformed graph that a march of the sample begins with, in double precision of u."""
    known = known_states(model, sample, None)
    graph = ready(model, first_graph(model, sample, known, dt))
    graph.u = all_known(model, sample, known, dt, torch.float64)
    return graph

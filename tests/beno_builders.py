"""Samples, networks and comparisons for the tests of BENO."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from mesh_builders import box
from torch_geometric.data import Data

from meshgnn.geometry import domains
from meshgnn.graph import to_graph
from meshgnn.mesh import Group, Mesh
from meshgnn.models import MODELS
from meshgnn.problems import LinearElasticity, Poisson
from meshgnn.sample import Sample

PRESETS = ("linear", "nonlinear")
EQUATIONS = ("diffusion", "elasticity")
SMALL = {"width": 16, "layers": 4, "tokens": 16}


def build(preset: str = "linear", seed: int = 0, **options: Any) -> torch.nn.Module:
    """A small network of any weights: what starts at zero must not hide an effect."""
    torch.manual_seed(seed)
    model = MODELS["BENO"](preset, **(SMALL | options))
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.02 * torch.randn_like(p))
    return model.eval()


def solved(equation: str, family: str = "annulus", seed: int = 1, size: float = 0.12) -> Sample:
    """Smooth data of every kind, with coefficients that vary; every boundary node is a token less
    than it has."""
    mesh, rng = domains.draw(family, seed, size), np.random.default_rng(seed)
    if equation == "elasticity":
        options = {"traction": 0.5, "contrast": 5.0, "poisson_range": (0.2, 0.4)}
        return LinearElasticity.draw(mesh, rng, **options).solve(mesh)
    return Poisson.draw(mesh, rng, neumann=0.3, robin=0.3, contrast=5.0).solve(mesh)


def renumbered(sample: Sample, order: np.ndarray, cells: np.ndarray) -> Sample:
    """The same sample with nodes and cells (of one type) in another order."""
    mesh, boundary = sample.mesh, sample.boundary
    place = np.argsort(order)
    ((kind, rows),) = mesh.cells.items()
    groups = {
        name: Group(group.dim, {k: place[c] for k, c in group.cells.items()})
        for name, group in mesh.groups.items()
    }
    facets = np.where(boundary.facets >= 0, place[boundary.facets], -1)
    backwards = slice(None, None, -1)  # the facets, too, come in another order
    return replace(
        sample,
        mesh=Mesh(mesh.points[order], {kind: place[rows[cells]]}, groups),
        boundary=replace(
            boundary,
            dirichlet_mask=boundary.dirichlet_mask[order],
            dirichlet_values=boundary.dirichlet_values[order],
            facets=facets[backwards],
            alpha=boundary.alpha[backwards],
            flux=boundary.flux[backwards],
        ),
        inputs=sample.inputs[order],
        cell_inputs=sample.cell_inputs[cells],
        u=sample.u[:, order],
    )


def moved(
    sample: Sample, turn: np.ndarray, shift: float = 0.0, scale: float = 1.0, stiff: float = 1.0
) -> Sample:
    """x → s Q (x + c), vectors turned along, moduli times m: u is the same (turned)."""
    mesh, boundary, c = sample.mesh, sample.boundary, sample.channels
    vector = turn if c > 1 else np.eye(1)
    force = stiff / scale**2 * vector.T
    inputs, means = sample.inputs.copy(), sample.cell_inputs * stiff
    inputs[:, :c], means[:, :c] = inputs[:, :c] @ force, sample.cell_inputs[:, :c] @ force
    inputs[:, c] *= stiff
    return replace(
        sample,
        mesh=mesh.moved(scale * (mesh.points + shift) @ turn.T).oriented(),
        boundary=replace(
            boundary,
            dirichlet_values=boundary.dirichlet_values @ vector.T,
            alpha=boundary.alpha * stiff / scale,
            flux=boundary.flux @ vector.T * stiff / scale,
        ),
        inputs=inputs,
        cell_inputs=means,
        u=sample.u @ vector.T,
    )


def doubled(graph: Data) -> Data:
    """A transformed graph in float64."""
    single = {k: v for k, v in graph.to_dict().items() if v.dtype == torch.float32}
    return Data(**(graph.to_dict() | {k: v.double() for k, v in single.items()}))


def scaled(graph: Data, f: float, g: float) -> Data:
    """A transformed graph with f times its source and g times its boundary data."""
    data = {"source_load": f, "edge_load": g, "dirichlet": g}
    return Data(**(graph.to_dict() | {k: graph[k] * factor for k, factor in data.items()}))


def prepared(model: torch.nn.Module, sample: Sample) -> Data:
    return model.transform(to_graph(sample))


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """|one − other| / |other|."""
    return float(((one - other).norm() / other.norm()).detach())


def skewed(kind: str, n: int = 3) -> Mesh:
    """A box of simplices, or of other cells split into them, with inner nodes moved a little."""
    mesh = box(kind, n)
    inside = np.ones(mesh.num_nodes, bool)
    inside[mesh.boundary_nodes] = False
    shift = np.random.default_rng(0).uniform(-0.1, 0.1, mesh.points.shape) / n
    return mesh.moved(mesh.points + shift * inside[:, None])


def split(mesh: Mesh) -> Mesh:
    """The same mesh with its cells as simplices, on which P1 lives."""
    kind = {1: "line", 2: "triangle", 3: "tetra"}[mesh.dim]
    groups = {name: group for name, group in mesh.groups.items() if group.dim < mesh.dim}
    return mesh if list(mesh.cells) == [kind] else Mesh(mesh.points, {kind: mesh.simplices}, groups)


def dense(graph: Data) -> np.ndarray:
    """K [NC, NC] of a transformed graph."""
    size = round(graph.diagonal.shape[1] ** 0.5)
    nodes = len(graph.pos)
    matrix = np.zeros((nodes, size, nodes, size))
    source, target = graph.stencil_index.numpy()
    matrix[target, :, source] = graph.stencil.detach().view(-1, size, size).numpy()
    matrix[np.arange(nodes), :, np.arange(nodes)] = (
        graph.diagonal.detach().view(-1, size, size).numpy()
    )
    return matrix.reshape(nodes * size, -1)

"""Graphs whose nodes are numbered so that neighbours are near: another order, the same graph."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from learning_builders import steady
from periodic_builders import pairs, periodic_box

from meshgnn.benchmark.measure import square_arrays
from meshgnn.checkpoint import predict
from meshgnn.graph import (
    Classes,
    check_graph,
    far_apart,
    local_order,
    numbering,
    renumbered,
    to_graph,
)
from meshgnn.mesh import Mesh
from meshgnn.mesh.periodic import twins
from meshgnn.models.mesh_graph_net import MeshGraphNet
from meshgnn.sample import Boundary, Sample


def shuffled(nodes: int = 400) -> Sample:
    """A square whose nodes are numbered at random, values prescribed on its left half."""
    points, cells = square_arrays(nodes)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(points))
    points, cells = points[np.argsort(order)], {k: order[block] for k, block in cells.items()}
    boundary = Boundary.none(len(points), 1)
    mask = (points[:, :1] < 0.5) & (rng.random((len(points), 1)) < 0.3)
    values = np.where(mask, rng.normal(size=mask.shape), 0.0)
    boundary = replace(boundary, dirichlet_mask=mask, dirichlet_values=values)
    return Sample(Mesh(points, cells), boundary, rng.normal(size=(len(points), 2)))


def on_a_torus() -> Sample:
    mesh = periodic_box(2, 9)
    twin = twins(mesh, pairs(2))
    boundary = replace(Boundary.none(mesh.num_nodes, 1), twin=twin)
    inputs = np.random.default_rng(0).normal(size=(mesh.num_nodes, 2))[twin]
    return Sample(mesh, boundary, inputs)


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr(numbering, "_NODES", 0)
    monkeypatch.setattr(numbering, "_FAR", 0.0)


def net() -> MeshGraphNet:
    torch.manual_seed(0)
    return MeshGraphNet(width=16, blocks=3)


def test_neighbours_come_near_each_other():
    graph = to_graph(shuffled(2500))
    order = local_order(graph.edge_index, 2500)
    assert torch.equal(order.sort().values, torch.arange(2500))
    other = renumbered(graph, order)
    gap, before = (
        (g.edge_index[0] - g.edge_index[1]).abs().double().mean() for g in (other, graph)
    )
    assert before > 700 and gap < 60


@pytest.mark.parametrize("sample", [shuffled(), on_a_torus(), steady(cells="quad")])
def test_another_order_is_the_same_graph(sample):
    """Every attribute of node i, of edge (j, i), of a simplex is that of the node it became."""
    graph = to_graph(sample)
    nodes = len(graph.pos)
    order = local_order(graph.edge_index, nodes)
    other = renumbered(graph, order)
    check_graph(other)
    back = renumbered(other, torch.argsort(order))
    assert sorted(back.keys()) == sorted(graph.keys())
    for name, value in graph.to_dict().items():
        assert torch.equal(back[name], value), name
    assert torch.equal(other.pos, graph.pos[order]) and torch.equal(other.mass, graph.mass[order])
    corners = order[other.simplex_index]
    assert torch.equal(corners, graph.simplex_index)


@pytest.mark.parametrize("make", [shuffled, on_a_torus])
def test_predictions_come_back_in_the_order_of_the_sample(make, always, monkeypatch):
    """Fields, classes of periodic twins and boundary values; whole and in parts."""
    sample, model = make(), net()
    found = predict(model, sample).u[0]
    parts = predict(model, sample, max_nodes=300).u[0]
    monkeypatch.setattr(numbering, "_NODES", 10**9)
    expected = predict(model, sample).u[0]
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(parts, expected, rtol=1e-4, atol=1e-5)
    mask, values = sample.boundary.dirichlet_mask, sample.boundary.dirichlet_values
    assert np.array_equal(found[mask], np.broadcast_to(values, found.shape)[mask])
    classes = Classes.of(sample)
    assert np.array_equal(classes.spread(classes.pick(found)), found)


def test_only_large_graphs_in_disorder_are_renumbered(monkeypatch):
    graph = to_graph(shuffled(2500))
    assert not far_apart(graph)
    monkeypatch.setattr(numbering, "_NODES", 2000)
    monkeypatch.setattr(numbering, "_FAR", 5.0)
    assert far_apart(graph)
    assert not far_apart(renumbered(graph, local_order(graph.edge_index, 2500)))
    graph.edge_index = graph.edge_index[:, :0]
    assert not far_apart(graph)


def test_attributes_of_unknown_order_are_refused():
    graph = to_graph(steady())
    graph.extra = torch.zeros(3)
    with pytest.raises(ValueError, match="graph.extra is not in the schema .* renumber before"):
        renumbered(graph, torch.arange(len(graph.pos)))

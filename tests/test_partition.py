"""Parts of a graph: who owns what, and models whose field and gradients do not change by them."""

import sys

import numpy as np
import pytest
import torch
from learning_builders import decaying, steady
from torch import nn
from torch_geometric.data import Batch, Data

from meshgnn.benchmark import jittered_square
from meshgnn.checkpoint import load, predict, save
from meshgnn.graph import check_graph, to_graph
from meshgnn.losses import one_step, relative_l2_loss
from meshgnn.models.mesh_graph_net import MeshGraphNet
from meshgnn.partition import InParts, bisection, cut, hops_of, metis, parts_of, subgraph
from meshgnn.sample import Boundary, Sample
from meshgnn.train import fit


def square(nodes: int = 400) -> Data:
    mesh = jittered_square(nodes)
    rng = np.random.default_rng(1)
    u = rng.normal(size=(1, mesh.num_nodes, 1))
    inputs = rng.normal(size=(mesh.num_nodes, 2))
    return to_graph(Sample(mesh, Boundary.none(mesh.num_nodes, 1), inputs, u=u))


def small_net(blocks: int = 3, **sizes: int) -> MeshGraphNet:
    torch.manual_seed(0)
    return MeshGraphNet(width=16, blocks=blocks, **sizes).double()


def doubled(graph: Data) -> Data:
    return graph.apply(lambda x: x.double() if x.is_floating_point() else x)


@pytest.mark.parametrize("method", ["metis", "bisection"])
@pytest.mark.parametrize("count", [1, 2, 5, 7])
def test_parts_are_of_about_equal_size(method, count):
    if method == "metis":
        pytest.importorskip("pymetis")
    sizes = np.bincount(cut(square(), count, method), minlength=count)
    assert len(sizes) == count and sizes.sum() == 400
    assert sizes.max() <= 1.1 * 400 / count + 1 and sizes.min() > 0


def test_a_long_strip_is_cut_across_its_length():
    pos = np.stack([np.linspace(0, 10, 80), np.tile([0.0, 1.0], 40)], axis=1)
    part = bisection(pos, 4)
    spans = [np.ptp(pos[part == i, 0]) for i in range(4)]
    assert max(spans) < 2.6


@pytest.mark.parametrize("method", ["metis", "bisection"])
@pytest.mark.parametrize("hops", [0, 1, 3])
def test_every_node_is_owned_once_and_sees_its_neighbourhood(method, hops):
    """Distances by powers of the adjacency matrix: whoever is within `hops` is in the part."""
    if method == "metis":
        pytest.importorskip("pymetis")
    graph = square(225)
    parts = parts_of(graph, hops, 120, method)
    assert len(parts) > 1 and max(len(p.nodes) for p in parts) <= 120
    owned = torch.cat([p.nodes[p.own] for p in parts])
    assert torch.equal(owned.sort().values, torch.arange(225))
    near = torch.eye(225)
    near[graph.edge_index[1], graph.edge_index[0]] = 1
    reach = torch.linalg.matrix_power(near, hops) > 0
    for part in parts:
        expected = torch.nonzero(reach[part.nodes[part.own]].any(0))[:, 0]
        assert torch.equal(part.nodes, expected)


def test_a_part_is_a_graph_of_its_own():
    graph = square(225)
    part = parts_of(graph, 2, 120)[0]
    inner = subgraph(graph, part.nodes)
    check_graph(inner)
    assert torch.equal(inner.pos, graph.pos[part.nodes])
    both = torch.isin(graph.edge_index, part.nodes).all(0)
    assert torch.equal(part.nodes[inner.edge_index], graph.edge_index[:, both])
    corners = torch.isin(graph.simplex_index, part.nodes).all(0)
    assert torch.equal(part.nodes[inner.simplex_index], graph.simplex_index[:, corners])


@pytest.mark.parametrize("method", ["metis", "bisection"])
def test_the_field_in_parts_is_the_field(method):
    if method == "metis":
        pytest.importorskip("pymetis")
    graph, model = square(), small_net().float()
    model.fit_statistics([graph])
    with torch.no_grad():
        whole, split = model(graph), InParts(model, 220, method)(graph)
    assert (split - whole).abs().max() <= 1e-5 * whole.abs().max()


@pytest.mark.parametrize("loss", [one_step, relative_l2_loss])
def test_gradients_in_parts_are_the_gradients(loss):
    """Of a loss over the whole field, for every weight, in double precision to 1e-10."""
    graph, model = doubled(square()), small_net()
    model.fit_statistics([graph])
    gradients = []
    for any_model in (model, InParts(model, 220)):
        model.zero_grad()
        loss(any_model, graph).backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert len(InParts(model, 220).parts(graph)) > 1 and len(gradients[0]) > 10
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_gradients_reach_the_states_of_a_graph_in_time():
    """As unrolled training needs: ∂L/∂u of the field in parts."""
    graph = doubled(to_graph(decaying(n=10), history=2))
    model = small_net(2, channels=2, history=2, inputs=0)
    found = []
    for any_model in (model, InParts(model, 90)):
        graph.u = graph.u.detach().requires_grad_()
        found += torch.autograd.grad(any_model(graph).square().sum(), graph.u)
    torch.testing.assert_close(*found)


def test_parts_go_through_a_batch_of_graphs():
    samples = [steady(seed, n=9) for seed in range(3)]
    batch = doubled(Batch.from_data_list([to_graph(s) for s in samples]))
    model = small_net(2)
    wrapped = InParts(model, 150)
    assert len(wrapped.parts(batch)) > 1
    torch.testing.assert_close(wrapped(batch), model(batch))


@pytest.mark.parametrize("method", ["metis", "bisection"])
def test_isolated_nodes_and_graphs_without_edges(method):
    if method == "metis":
        pytest.importorskip("pymetis")
    graph, model = doubled(square()), small_net(2)
    for kept in (graph.edge_index.ne(7).all(0), torch.zeros_like(graph.edge_index[0], dtype=bool)):
        other = graph.clone()
        other.edge_index = graph.edge_index[:, kept]
        wrapped = InParts(model, 150, method)
        assert len(wrapped.parts(other)) > 1
        torch.testing.assert_close(wrapped(other), model(other))


def test_the_wrapper_has_what_its_model_has_and_keeps_its_parts():
    graph, model = square(), small_net().float()
    wrapped = InParts(model, 220)
    assert wrapped.hparams is model.hparams and wrapped.loss is one_step
    assert [*wrapped.parameters()] == [*model.parameters()]
    assert wrapped.parts(graph) is wrapped.parts(graph) is wrapped.parts(graph.clone())
    parts = wrapped.parts(graph)
    fit(wrapped, [graph], epochs=1, batch_size=1, progress=False, accelerator="cpu")
    assert wrapped.parts(graph) is parts  # of a batch with the same edges
    bare = [Data(pos=graph.pos[:n], edge_index=graph.edge_index[:, :0]) for n in (400, 300)]
    owned = [sum(len(part.own) for part in wrapped.parts(other)) for other in bare]
    assert owned == [400, 300]  # no edges are not the same graph
    with torch.no_grad():
        torch.testing.assert_close(InParts(model, 400)(graph), model(graph))


def test_predictions_in_parts_are_predictions(tmp_path):
    """One argument of `predict`; what is saved and called is the model inside a wrapper."""
    sample, model = steady(n=15), small_net().float()
    expected = predict(model, sample)
    found = predict(model, sample, max_nodes=220)
    np.testing.assert_allclose(found.u, expected.u, rtol=1e-5, atol=1e-6)
    wrapped = InParts(model, 10**6)
    np.testing.assert_array_equal(predict(wrapped, sample, max_nodes=220).u, found.u)
    save(wrapped, tmp_path / "net.pt")
    again = load(tmp_path / "net.pt")
    assert type(again) is MeshGraphNet
    np.testing.assert_array_equal(predict(again, sample).u, expected.u)
    with pytest.raises(ValueError, match="no `hops`"):
        predict(small_net(slices=2).float(), sample, max_nodes=220)
    with pytest.raises(ValueError, match="does not fit into max_nodes=9"):
        predict(model, sample, max_nodes=9)


def test_models_that_see_everything_are_refused():
    with pytest.raises(ValueError, match="MeshGraphNet has no `hops`.*attention, coarse levels"):
        InParts(MeshGraphNet(width=4, blocks=1, slices=2), 10)
    with pytest.raises(ValueError, match="Linear has no `hops`"):
        hops_of(nn.Linear(1, 1))
    assert hops_of(small_net(2)) == 2


def test_errors_say_what_is_expected(monkeypatch):
    graph = square(225)
    with pytest.raises(ValueError, match="unknown method 'voronoi'; choose one of metis"):
        cut(graph, 2, "voronoi")
    with pytest.raises(ValueError, match="expected 1 to 225 parts .*got 226"):
        cut(graph, 226)
    with pytest.raises(ValueError, match="max_nodes of at least 1, got 0"):
        InParts(small_net(), 0)
    with pytest.raises(ValueError, match="InParts: unknown method 'zoo'; choose one of metis, bis"):
        InParts(small_net(), 100, "zoo")
    with pytest.raises(ValueError, match="a halo of 4 hops does not fit into max_nodes=20"):
        parts_of(graph, 4, 20)
    graph.extra = torch.zeros(225)
    with pytest.raises(ValueError, match="graph.extra is not in the schema"):
        subgraph(graph, torch.arange(3))


def test_without_metis_nodes_are_bisected_and_metis_is_named(monkeypatch):

    graph = square(225)
    monkeypatch.setattr(sys.modules[cut.__module__], "pymetis", None)
    assert np.array_equal(cut(graph, 3), cut(graph, 3, "bisection"))
    with pytest.raises(ImportError, match=r"pip install 'meshgnn\[large\]'"):
        metis(graph.edge_index.numpy(), 225, 3)
    with pytest.raises(ImportError, match="take method='bisection'"):
        InParts(small_net(), 100, "metis")
    assert len(InParts(small_net(1), 100).parts(graph)) > 1

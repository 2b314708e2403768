"""Fluxes: one evaluation an edge, whose message at one end is ± that at the other."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from learning_builders import steady
from periodic_builders import pairs, periodic_box
from torch_geometric.data import Batch

from meshgnn.checkpoint import load, save
from meshgnn.exported import Exported, export
from meshgnn.graph import to_graph
from meshgnn.mesh import Mesh
from meshgnn.mesh.periodic import twins
from meshgnn.models.mesh_graph_net import MeshGraphNet
from meshgnn.nn import FluxBlock, flux_walk, undirected
from meshgnn.nn.flux import FORMS
from meshgnn.partition import InParts
from meshgnn.sample import Boundary, Sample


def work(nodes: int = 12, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """h, e, pairs, Δx in float64 on a random graph; pairs sorted by the second end."""
    generator = torch.Generator().manual_seed(seed)
    every = torch.combinations(torch.arange(nodes))
    pairs = every[torch.rand(len(every), generator=generator) < 0.5]
    pairs = pairs[pairs[:, 1].argsort(stable=True)].t().contiguous()
    sizes = ((nodes, 6), (pairs.shape[1], 6), (pairs.shape[1], 2))
    h, e, dx = (torch.randn(s, generator=generator, dtype=torch.float64) for s in sizes)
    return h, e, pairs, dx


def block(form: str, **options: bool) -> FluxBlock:
    torch.manual_seed(1)
    return FluxBlock(6, 2, hidden=2, form=form, **options).double()


@pytest.fixture
def small_pieces(monkeypatch):
    """Seven edges a piece: the walk goes through several, the last one shorter."""
    monkeypatch.setattr(flux_walk, "_PIECE", 6 * 7)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("recompute", [False, True])
def test_the_walk_is_the_plain_form_and_so_are_its_gradients(form, recompute, small_pieces):
    h, e, pairs, dx = work()
    results = []
    for split in (True, False):
        net = block(form, split=split, recompute=recompute)
        x, y, d = (t.clone().requires_grad_() for t in (h, e, dx))
        out, state = net(x, y, pairs, d)
        (out.square().sum() + (state**3).sum()).backward()
        results.append([out, state, x.grad, y.grad, d.grad, *(p.grad for p in net.parameters())])
        with torch.no_grad():
            results[-1] += net(h, e.clone(), pairs, dx)
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("form", FORMS)
def test_first_and_second_derivatives_by_differences(form, small_pieces):
    net = block(form)
    h, e, pairs, dx = work(6)
    inputs = [t.requires_grad_() for t in (h, e, dx)]
    call = lambda x, y, d: net(x, y, pairs, d)  # noqa: E731
    assert torch.autograd.gradcheck(call, inputs)
    assert torch.autograd.gradgradcheck(call, inputs)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("split", [True, False])
def test_the_direction_that_is_taken_does_not_matter(form, split):
    """Ends swapped and Δx with the other sign on some edges: equal sums, equal edge states."""
    h, e, pairs, dx = work()
    turned = torch.arange(len(e)) % 3 == 0
    other = torch.where(turned, pairs.flip(0), pairs)
    net = block(form, split=split)
    with torch.no_grad():
        first = net.fluxes(h, e.clone(), pairs, dx)
        second = net.fluxes(h, e.clone(), other, torch.where(turned[:, None], -dx, dx))
    torch.testing.assert_close(first, second, rtol=1e-12, atol=1e-12)


def test_what_leaves_one_node_arrives_at_another():
    """Σ_i Σ_j m_ij = 0 to rounding where antisymmetric, channel by channel; not where symmetric."""
    h, e, pairs, dx = work(40)
    sums = {}
    with torch.no_grad():
        for form in FORMS:
            total = block(form).fluxes(h, e.clone(), pairs, dx)[0]
            sums[form] = total.sum(0).abs() / total.abs().sum(0)
    assert sums["antisymmetric"].max() < 1e-14 and sums["mixed"][3:].max() < 1e-14
    assert sums["symmetric"].min() > 1e-6 and sums["mixed"][:3].min() > 1e-6


def test_one_direction_of_every_edge():
    index = torch.tensor([[1, 2, 0, 2, 0, 1], [0, 0, 1, 1, 2, 2]])
    chosen, pairs = undirected(index)
    assert chosen.tolist() == [2, 4, 5] and pairs.tolist() == [[0, 0, 1], [1, 2, 2]]


@pytest.mark.parametrize("nodes", [0, 1, 3])
def test_nodes_without_edges_and_no_nodes(nodes):
    none, pairs = torch.zeros(0, 6).double(), torch.zeros(2, 0, dtype=torch.int64)
    chosen, ends = undirected(pairs)
    h = torch.randn(nodes, 6).double().requires_grad_()
    out, state = block("mixed")(h, none, ends, torch.zeros(0, 2).double())
    out.sum().backward()
    assert len(chosen) == 0 and out.shape == h.shape and state.shape == (0, 6)
    assert h.grad is not None and torch.isfinite(h.grad).all()


def test_edges_of_one_direction_and_unknown_forms_are_refused():
    with pytest.raises(ValueError, match="got 2 edges.*1 with j > i, 1 of them without the other"):
        undirected(torch.tensor([[1, 0, 0], [0, 1, 2]]))
    with pytest.raises(ValueError, match="1 with j > i, 2 of them without the other"):
        undirected(torch.tensor([[0, 3], [1, 2]]))  # as many of either kind, of other nodes
    with pytest.raises(ValueError, match="both directions, got 0 edges.*1 from a node to itself"):
        undirected(torch.tensor([[0], [0]]))
    with pytest.raises(ValueError, match="unknown form of fluxes 'odd'; choose one of antisym"):
        FluxBlock(4, 2, form="odd")


def net(form: str, **options: bool) -> MeshGraphNet:
    torch.manual_seed(0)
    return MeshGraphNet(width=16, blocks=3, edges=form, **options)


def renumbered(sample: Sample, order: np.ndarray) -> Sample:
    """The same sample with node order[i] as node i."""
    place = np.argsort(order)
    mesh, boundary = sample.mesh, sample.boundary
    cells = {kind: place[block] for kind, block in mesh.cells.items()}
    none = Boundary.none(mesh.num_nodes, 1)
    mask, values = boundary.dirichlet_mask[order], boundary.dirichlet_values[..., order, :]
    return replace(
        sample,
        mesh=Mesh(mesh.points[order], cells),
        boundary=Boundary(mask, values, none.facets, none.alpha, none.flux),
        inputs=sample.inputs[order],
        u=None,
    )


@pytest.mark.parametrize("form", FORMS)
def test_a_network_of_fluxes_does_not_see_how_nodes_are_numbered(form):
    """Other numbers turn edges around: node order[i] of the one is node i of the other."""
    sample = steady(n=6)
    order = np.random.default_rng(3).permutation(sample.mesh.num_nodes)
    graph, other = to_graph(sample), to_graph(renumbered(sample, order))
    model, plain = net(form), net(form, split=False)
    model.fit_statistics([graph])
    plain.load_state_dict(model.state_dict())
    with torch.no_grad():
        field = model(graph)
        torch.testing.assert_close(plain(graph), field, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(model(other), field[order], rtol=1e-4, atol=1e-5)


def test_a_network_of_fluxes_in_batches_in_parts_and_exported(tmp_path):
    graphs = [to_graph(steady(seed, n=n)) for seed, n in enumerate((12, 6, 9))]
    model = net("mixed")
    model.fit_statistics(graphs)
    model.eval()
    with torch.no_grad():
        fields = torch.cat([model(graph) for graph in graphs])
        torch.testing.assert_close(model(Batch.from_data_list(graphs)), fields)
        parts = InParts(model, 120)
        assert len(parts.parts(graphs[0])) > 1
        torch.testing.assert_close(parts(graphs[0]), fields[: len(graphs[0].pos)])
        export(model, graphs[:2], tmp_path / "net.pt2")
        field = Exported(tmp_path / "net.pt2")(graphs[2])
    torch.testing.assert_close(field, fields[-len(field) :])


def test_fluxes_on_a_periodic_mesh_and_in_a_file(tmp_path):
    mesh = periodic_box(2, 4)
    u = np.random.default_rng(0).normal(size=(2, mesh.num_nodes, 1))
    boundary = replace(Boundary.none(mesh.num_nodes, 1), twin=twins(mesh, pairs(2)))
    u = u[:, boundary.twin]
    inputs = np.zeros((mesh.num_nodes, 0))
    sample = Sample(mesh, boundary, inputs, times=np.array([0.0, 0.1]), u=u)
    model = MeshGraphNet(width=8, blocks=2, history=1, inputs=0, edges="antisymmetric")
    assert (model.hparams["edges"], model.hops) == ("antisymmetric", 2)
    graph = to_graph(sample, history=1)
    assert graph.edge_shift.abs().max() > 0
    save(model, tmp_path / "net.pt")
    with torch.no_grad():
        field = model(graph)
        torch.testing.assert_close(load(tmp_path / "net.pt")(graph), field)
    assert torch.isfinite(field).all()


def test_fluxes_have_no_other_gather():
    with pytest.raises(ValueError, match="fluxes are messages, got gather='states'"):
        MeshGraphNet(edges="mixed", gather="states")
    with pytest.raises(ValueError, match="unknown edges 'odd'; choose one of directed, antisymm"):
        MeshGraphNet(edges="odd", blocks=0)

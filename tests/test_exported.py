"""Exported programs: the field of the model, on graphs of sizes that were not traced."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from learning_builders import decaying, steady
from periodic_builders import pairs, periodic_box
from torch import nn
from torch_geometric.data import Batch, Data

from meshgnn.exported import Exported, export
from meshgnn.graph import to_graph
from meshgnn.mesh.periodic import twins
from meshgnn.models.beno import BENO
from meshgnn.models.mesh_graph_net import MeshGraphNet
from meshgnn.sample import Boundary, Sample


def graphs(*sizes: int, cells: str = "triangle") -> list[Data]:
    return [to_graph(steady(seed, n=n, cells=cells)) for seed, n in enumerate(sizes)]


def close(program: Exported, model: nn.Module, graph: Data) -> None:
    """Equal to 1e-5 of the largest value; the graph is one that export never saw."""
    with torch.no_grad():
        expected = model(graph)
        found = program(graph)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_mesh_graph_net_in_a_file_gives_its_field_on_any_graph(tmp_path):
    torch.manual_seed(0)
    model = MeshGraphNet(width=16, blocks=2, slices=4)
    train = graphs(5, 8)
    model.fit_statistics(train)
    names = export(model, train, tmp_path / "net.pt2")
    assert {"pos", "edge_index", "dirichlet"} <= set(names) and "cell_a" not in names
    program = Exported(tmp_path / "net.pt2")
    assert program.names == names and program.note["model"] == "MeshGraphNet"
    assert model.training
    model.eval()
    for graph in graphs(3, 11):
        close(program, model, graph)


def test_the_file_runs_with_torch_alone(tmp_path):
    """As the documentation has it: tensors in the order of the names in the file."""
    torch.manual_seed(0)
    model, train = MeshGraphNet(width=8, blocks=1, recompute=True), graphs(4, 6)
    names = export(model, train, tmp_path / "net.pt2")
    program = torch.export.load(tmp_path / "net.pt2").module()
    graph = graphs(9)[0]
    field = program(*(graph[name] for name in names))
    torch.testing.assert_close(field, model(graph))


def test_states_in_time_go_in_and_a_bundle_comes_out(tmp_path):
    torch.manual_seed(0)
    model = MeshGraphNet(width=8, blocks=1, channels=2, inputs=0, history=2, bundle=3)
    train = [to_graph(decaying(n=n), history=2, bundle=3) for n in (4, 5)]
    export(model, train, tmp_path / "net.pt2")
    program, graph = Exported(tmp_path / "net.pt2"), to_graph(decaying(3, n=7), history=2, bundle=3)
    assert program(graph).shape == (len(graph.pos), 3, 2)
    close(program, model, graph)


@pytest.mark.parametrize("preset", ["linear", "nonlinear"])
def test_beno_goes_through_with_its_transformed_graphs(tmp_path, preset):
    torch.manual_seed(0)
    model = BENO(preset=preset, width=8, layers=2, tokens=16)
    export(model, graphs(6, 9), tmp_path / "beno.pt2")
    program = Exported(tmp_path / "beno.pt2")
    for graph in graphs(7, 12):
        close(program, model, model.transform(graph))
    with pytest.raises(ValueError, match="the graph has no .*stencil.*; build it with to_graph"):
        program(graphs(5)[0])


def test_what_cannot_be_exported_is_said(tmp_path):
    net = MeshGraphNet(width=8, blocks=1)
    with pytest.raises(ValueError, match=r"two graphs of different numbers of nodes.*\[30, 30\]"):
        export(net, graphs(4, 4), tmp_path / "net.pt2")
    with pytest.raises(FileNotFoundError, match="no file .*net.pt2; write it with export"):
        Exported(tmp_path / "net.pt2")
    (tmp_path / "net.pt2").write_text("no program")
    with pytest.raises(ValueError, match="net.pt2 is no program that export wrote"):
        Exported(tmp_path / "net.pt2")


def torus(n: int) -> Data:
    mesh = periodic_box(2, n)
    boundary = replace(Boundary.none(mesh.num_nodes, 1), twin=twins(mesh, pairs(2)))
    inputs = np.random.default_rng(0).normal(size=(mesh.num_nodes, 2))[boundary.twin]
    return to_graph(Sample(mesh, boundary, inputs))


def test_periodic_graphs_have_a_program_of_their_own(tmp_path):
    """Where edges go around is no size: left out it would give another field in silence."""
    torch.manual_seed(0)
    model = MeshGraphNet(width=8, blocks=1)
    export(model, [torus(3), torus(5)], tmp_path / "torus.pt2")
    export(model, graphs(4, 6), tmp_path / "plain.pt2")
    plain = Exported(tmp_path / "plain.pt2")
    close(Exported(tmp_path / "torus.pt2"), model, torus(4))
    with pytest.raises(ValueError, match="has edge_shift, which .* export the model with periodic"):
        plain(torus(4))
    with pytest.raises(ValueError, match="has batch, which .*: give it one graph after the other"):
        plain(Batch.from_data_list(graphs(3, 5)))
    other = graphs(5)[0]
    other.a = other.a[:, :1]
    with pytest.raises(ValueError, match=r"graph.a of the size \[any, 2\] of .* got \[42, 1\]"):
        plain(other)
    with pytest.raises(ValueError, match="only some of the graphs have edge_shift"):
        export(model, [torus(3), *graphs(5)], tmp_path / "both.pt2")


def test_targets_may_be_there_or_not(tmp_path):
    train = [to_graph(steady(n=4)), to_graph(steady(1, n=6, solved=False))]
    assert ["y" in graph for graph in train] == [True, False]
    for i, order in enumerate((train, train[::-1])):
        names = export(MeshGraphNet(width=4, blocks=1), order, tmp_path / f"{i}.pt2")
        assert "pos" in names and "y" not in names


class _Counting(nn.Module):
    """A number of nodes that follows from values, not from sizes."""

    def forward(self, graph: Data) -> torch.Tensor:
        return torch.zeros(int(graph.a.sum()) + 1, 1, 1) if graph.a.sum() > 0 else graph.u


class _Rolling(nn.Module):
    """Another field in every call."""

    def forward(self, graph: Data) -> torch.Tensor:
        return torch.rand_like(graph.pos)[:, None, :1] + graph.mass[:, None, None]


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (_Counting(), "torch.export cannot trace _Counting for graphs of any size"),
        (_Rolling(), "the program of _Rolling gives another field on a graph of 20 nodes"),
    ],
)
def test_a_program_that_would_differ_is_not_written(tmp_path, model, text):
    with pytest.raises(ValueError, match=text):
        export(model, graphs(3, 4), tmp_path / "net.pt2")
    assert not list(tmp_path.iterdir())

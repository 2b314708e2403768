"""Defects that were found in other packages' mesh-graph pipelines; each must be impossible here."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from learning_builders import Tiny, decaying, steady
from torch_geometric.loader import DataLoader

from meshgnn import checkpoint, metrics
from meshgnn.checkpoint import load, predict, save
from meshgnn.graph import MeshDataset, to_graph
from meshgnn.losses import one_step, relative_l2_loss
from meshgnn.models import MODELS
from meshgnn.nn import Standardise
from meshgnn.sample import Boundary
from meshgnn.train import fit


def test_graphs_of_a_batch_are_distinct() -> None:
    """Theirs: one shared object per trajectory, overwritten on access, so that a batch of three
    time steps held three copies of the last."""
    sample = decaying(times=6)
    dataset = MeshDataset([sample], history=1)
    held = [dataset[0], dataset[1], dataset[2]]
    for k, graph in enumerate(held):
        np.testing.assert_array_equal(graph.u[:, 0].numpy(), sample.u[k].astype(np.float32))
    batch = next(iter(DataLoader(dataset, batch_size=3)))
    for k in range(3):
        torch.testing.assert_close(batch.y[batch.batch == k], held[k].y)
    kept = {name: value.clone() for name, value in dataset[0].to_dict().items()}
    for value in dataset[0].to_dict().values():  # spoil every tensor of one access
        value.zero_()
    for name, value in dataset[0].to_dict().items():
        assert torch.equal(value, kept[name]), name


def test_noise_is_new_in_every_epoch_and_the_statistics_are_of_clean_data() -> None:
    """Theirs: noise drawn once when the data set is built; the normalisation then saw it too."""
    inputs, spreads = [], []

    class Watching(Tiny):
        def fit_statistics(self, graphs):
            spreads.append(torch.stack([g.u for g in graphs]).std().item())

        def forward(self, graph):
            inputs.append(graph.u.clone())
            return super().forward(graph)

    dataset = MeshDataset([decaying(times=2)], history=1)
    clean = dataset[0].u
    fit(Watching(channels=2, inputs=0, history=1), dataset, epochs=3, noise=50.0, progress=False)
    assert spreads == [pytest.approx(clean.std().item())]
    assert not torch.equal(inputs[0], inputs[1]) and not torch.equal(inputs[1], inputs[2])
    fixed = dataset[0].dirichlet_mask
    for u in inputs:  # and none of it where the boundary values are known
        assert torch.equal(u[:, 0][fixed], clean[:, 0][fixed])
        assert (u[:, 0][~fixed] != clean[:, 0][~fixed]).all()


@pytest.mark.parametrize("loss", [one_step, relative_l2_loss])
def test_prescribed_nodes_are_out_of_the_loss(loss) -> None:
    """Theirs: a plain mean square over all nodes. Any output on Dirichlet nodes: the same loss."""
    graph = to_graph(steady())
    right, wrong = graph.y + 0.1, graph.y + 0.1
    wrong[graph.dirichlet_mask] = 1e3
    values = [loss(lambda g, out=out: out, graph).item() for out in (right, wrong)]
    assert values[0] == values[1] > 0


def test_a_model_file_alone_can_predict(tmp_path, monkeypatch) -> None:
    """Theirs: statistics in JSON files of the current directory, not in the checkpoint."""
    dataset = MeshDataset([steady(i) for i in range(3)])
    model = MODELS["MeshGraphNet"](width=8, blocks=1)
    fit(model, dataset, epochs=1, progress=False)
    save(model, tmp_path / "model.pt")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    again = load(tmp_path / "model.pt")
    assert torch.equal(again.scale_out.std, model.scale_out.std) and again.scale_out.std != 1
    asked = replace(steady(9), u=None)
    np.testing.assert_array_equal(predict(again, asked).u, predict(model, asked).u)
    assert not list(elsewhere.iterdir())


def test_statistics_survive_a_large_mean_and_a_constant() -> None:
    """Theirs: E[x²] − E[x]² in float32, and constants divided by 1e-8. x = 10⁴ + N(0, 0.1)."""
    x = np.random.default_rng(0).normal(1e4, 0.1, size=(5000, 1)).astype(np.float32)
    values = torch.from_numpy(np.concatenate([x, np.full_like(x, 7.0)], axis=1))
    scale = Standardise(2)
    scale.fit(values.split(1000))
    assert scale.std[0].item() == pytest.approx(float(x.astype(np.float64).std()), rel=1e-4)
    assert scale.std[1].item() == 1.0
    assert torch.isfinite(scale(values)).all() and (scale(values)[:, 1] == 0).all()


def test_every_boundary_type_has_its_place_and_any_name_is_a_tag() -> None:
    """Theirs: hard-coded integers minus 3 in a byte; other tags collide. Here the type follows from
    the condition, one-hot over four, for every combination on one mesh."""
    sample = steady(n=6)
    mesh = sample.mesh
    facets = mesh.boundary_facets["line"]
    centres = mesh.facet_centres
    chosen = (centres[:, 0] < 1e-9) | (centres[:, 0] > 1 - 1e-9)
    alpha = (centres[chosen][:, :1] > 0.5) * 2.0
    mask = mesh.points[:, 1:] < 1e-9
    boundary = Boundary(mask, 0.0 * mask, facets[chosen], alpha, 0 * alpha + 1)
    graph = to_graph(replace(sample, boundary=boundary))
    kinds = graph.bc.argmax(dim=1)
    assert (graph.bc.sum(dim=1) == 1).all() and set(kinds.tolist()) == {0, 1, 2, 3}
    x, y = torch.tensor(mesh.points.T)
    low, left, right = y < 1e-6, (x < 1e-6) & (y > 1e-6), (x > 1 - 1e-6) & (y > 1e-6)
    expected = torch.where(low, 1, torch.where(left, 2, torch.where(right, 3, 0)))
    assert torch.equal(kinds, expected)


def test_errors_are_computed_beside_trivial_predictors() -> None:
    """Theirs: pictures and no number."""
    samples = [steady(i) for i in range(3)]
    model = Tiny()
    table = metrics.evaluate(
        samples,
        {
            "learned": lambda sample: predict(model, sample),
            "zero": metrics.zero,
            "IDW": metrics.inverse_distance,
        },
    )
    for row in table.rows.values():
        assert np.isfinite(row["relative_l2"]) and np.isfinite(row["relative_h1"])
    assert table.rows["learned"]["boundary_error"] == 0


@pytest.mark.parametrize("name", ["MeshGraphNet", "BENO"])
def test_absent_optional_parts_do_no_harm(name: str) -> None:
    """Theirs: the hybrid network fails where there are no contact edges. Here a sample without any
    boundary condition, or without a single free node, is a sample like others."""
    model = MODELS[name](width=8, blocks=1)
    sample = steady(n=3)
    no_source = {"inputs": sample.inputs * [0, 1], "cell_inputs": sample.cell_inputs * [0, 1]}
    none = Boundary.none(sample.mesh.num_nodes, 1)  # nothing to balance a source: BENO refuses one
    bare = replace(sample, boundary=none, u=None, **no_source)
    assert np.isfinite(predict(model, bare).u).all()
    values = sample.u[0]
    fixed = replace(sample.boundary, dirichlet_mask=np.ones_like(values, dtype=bool))
    full = replace(sample, boundary=replace(fixed, dirichlet_values=values), u=None)
    np.testing.assert_array_equal(predict(model, full).u[0], values)


def test_a_stored_model_is_not_changed_by_its_use(tmp_path, monkeypatch) -> None:
    """Normalisers elsewhere go on accumulating in evaluation: two predictions then differ."""
    monkeypatch.setattr(checkpoint, "MODELS", {"Tiny": Tiny})
    model = Tiny()
    before = copy.deepcopy(model.state_dict())
    predict(model, steady(0))
    predict(model, steady(1))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

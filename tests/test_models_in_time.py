"""One contract over all of `MODELS` that march in time, wrappers among them."""

import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_models import SMALL as STEADY
from torch_geometric.data import Batch

from meshgnn.checkpoint import load, save
from meshgnn.geometry import domains
from meshgnn.graph import MeshDataset, to_graph
from meshgnn.losses import one_step
from meshgnn.marching import rollout
from meshgnn.mesh import Mesh
from meshgnn.models import MODELS
from meshgnn.problems import Heat
from meshgnn.train import fit

NET = {"inputs": 4, "width": 16}
SMALL = {
    "MeshGraphNet": NET | {"history": 2, "bundle": 3, "blocks": 2},
    "MPPDE": NET | {"history": 2, "bundle": 3, "layers": 2},
    "MMPDE": NET | {"history": 2, "bundle": 3, "layers": 2},
    "MPPDE wide": NET | {"history": 3, "layers": 2, "hops": 2, "slices": 4, "library": False},
    "Integrated": {"scheme": "rk2"},
    "MeanConserving": {},
    "Refined": {"steps": 2},
}
"""Constructor arguments by name; wrappers are made around an MPPDE of one state."""


def test_the_contracts_are_over_all_models():
    others = {"DMM", "GIOROM", "Observer"}  # test_dmm.py, test_giorom*.py, test_observer.py
    others |= {"MMGP", "Dropout", "Ensemble"}  # test_mmgp.py, test_uncertainty.py
    assert {name.split()[0] for name in STEADY | SMALL} | others == set(MODELS)


def build(name: str, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    cls, options = MODELS[name.split()[0]], SMALL[name]
    if "inputs" in options:
        return cls(**options)
    extra = {"inputs": 5, "params": 1} if name == "Refined" else {}  # its estimate and its stage
    return cls(MODELS["MPPDE"](**NET | extra, layers=2), **options)


def shaken(model: torch.nn.Module) -> torch.nn.Module:
    """So that no layer that starts at zero hides an effect."""
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.02 * torch.randn_like(p))
    return model.eval()


def series(family: str, seed: int):
    mesh = domains.draw(family, seed, 0.15)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        solved = Heat.draw(mesh, np.random.default_rng(seed), steps=10).solve(mesh)
    return replace(solved, u=solved.u[2:], times=solved.times[2:])  # after the jump at the boundary


@pytest.fixture(scope="module")
def samples():
    return [series("cut_square", 0), series("annulus", 1)]


def sizes(model: torch.nn.Module) -> dict[str, int]:
    return {"history": model.hparams["history"], "bundle": model.hparams.get("bundle", 1)}


def prepared(model: torch.nn.Module, *samples) -> list:
    transform = getattr(model, "transform", None) or (lambda graph: graph)
    return [transform(to_graph(s, **sizes(model))) for s in samples]


def windows(model: torch.nn.Module, samples) -> list:
    data = MeshDataset(samples, **sizes(model))
    return list(data if model.transform is None else data.transformed(model.transform))


@pytest.fixture(scope="module")
def fitted(samples) -> dict[str, torch.nn.Module]:
    """Every model with the statistics of the data, which are computed once."""
    models = {name: build(name) for name in SMALL}
    for model in models.values():
        model.fit_statistics(windows(model, samples))
    return models


@pytest.fixture
def ready(fitted) -> Callable[[str], torch.nn.Module]:
    torch.manual_seed(0)
    return lambda name: shaken(deepcopy(fitted[name]))


@pytest.mark.parametrize("name", list(SMALL))
def test_states_in_physical_units_with_exact_boundary_values(name, ready, samples):
    model = ready(name)
    for sample, graph in zip(samples, prepared(model, *samples), strict=True):
        out = model(graph)
        assert out.shape == (sample.mesh.num_nodes, graph.y.shape[1], 1)
        fixed = graph.dirichlet_mask[:, None].expand_as(out)
        assert fixed.any() and torch.equal(out[fixed], graph.dirichlet[fixed])
        assert (out - graph.y).abs().max() < 20 * graph.y.abs().max()


@pytest.mark.parametrize("name", list(SMALL))
def test_a_batch_equals_single_graphs(name, ready, samples):
    model = ready(name)
    graphs = prepared(model, *samples)
    together = model(Batch.from_data_list(graphs))
    alone = torch.cat([model(g) for g in graphs])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [n for n in SMALL if n != "Refined"])
def test_the_numbering_of_nodes_does_not_matter(name, ready, samples):
    model, sample = ready(name), samples[0]
    mesh = sample.mesh
    order = np.random.default_rng(0).permutation(mesh.num_nodes)
    place = np.argsort(order)
    groups = {
        k: type(g)(g.dim, {t: place[c] for t, c in g.cells.items()}) for k, g in mesh.groups.items()
    }
    other = Mesh(mesh.points[order], {k: place[c] for k, c in mesh.cells.items()}, groups)
    held, cells = sample.boundary, sample.cell_inputs
    facets = np.where(held.facets >= 0, place[held.facets], -1)
    values = held.dirichlet_values[..., order, :]
    boundary = replace(
        held, dirichlet_mask=held.dirichlet_mask[order], dirichlet_values=values, facets=facets
    )
    shuffled = replace(
        sample,
        mesh=other,
        boundary=boundary,
        inputs=sample.inputs[order],
        u=sample.u[:, order],
        cell_inputs=cells,
    )
    a, b = (model(graph) for graph in prepared(model, sample, shuffled))
    torch.testing.assert_close(a[order], b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", list(SMALL))
def test_every_parameter_receives_a_gradient(name, ready, samples):
    model = ready(name).train()
    loss = getattr(model, "loss", None) or one_step
    loss(model, Batch.from_data_list(prepared(model, *samples))).backward()
    without = [k for k, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@torch.no_grad()
def error(model: torch.nn.Module, graphs: list) -> float:
    return sum(one_step(model.eval(), graph).item() for graph in graphs) / len(graphs)


@pytest.mark.parametrize("name", list(SMALL))
def test_it_learns_is_kept_and_marches(name, fitted, samples, tmp_path):
    """The error of one step falls below that of the model which knows the statistics of the data
    alone; the file gives the same model; a rollout stays finite."""
    model = build(name)
    data, graphs = MeshDataset(samples, **sizes(model)), windows(model, samples)
    before = error(fitted[name], graphs)
    epochs = 24 if name in ("Refined", "MPPDE") else 12  # few of each stage; little is left
    fit(model, data, epochs=epochs, batch_size=4, lr=3e-3, progress=False)
    assert error(model, graphs) < 0.9 * before
    save(model, tmp_path / "model.pt")
    again = load(tmp_path / "model.pt")
    march, other = (rollout(m, samples[0], 6).u for m in (model, again))
    np.testing.assert_array_equal(march, other)
    assert np.abs(march).max() < 10 * np.abs(samples[0].u).max()


@pytest.mark.parametrize("name", list(SMALL))
def test_in_float64_it_marches_the_same(name, ready, samples):
    """Three calls, to the rounding of float32; boundary values are exact in both."""
    model, sample = ready(name), samples[0]
    single, double = rollout(model, sample, 3).u, rollout(model.double(), sample, 3).u
    assert 0 < np.abs(double - single).max() < 1e-4 * np.abs(single).max()
    mask = sample.boundary.dirichlet_mask
    assert (double[:, mask] == single[:, mask]).all()


@pytest.mark.parametrize("name", list(SMALL))
def test_it_runs_under_bfloat16_autocast(name, ready, samples):
    model = ready(name)
    graph = prepared(model, samples[0])[0]
    with torch.autocast("cpu", torch.bfloat16):
        out = model(graph)
    fixed = graph.dirichlet_mask[:, None].expand_as(out)
    assert out.dtype == torch.float32 and out.isfinite().all()
    assert torch.equal(out[fixed], graph.dirichlet[fixed])


@pytest.mark.gpu
@pytest.mark.parametrize("name", list(SMALL))
def test_it_runs_unchanged_on_a_gpu(name, ready, samples):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    model = ready(name)
    graph = prepared(model, samples[0])[0]
    on_cpu = model(graph)
    on_gpu = model.to("cuda")(graph.clone().to("cuda"))
    torch.testing.assert_close(on_gpu.cpu(), on_cpu, rtol=1e-3, atol=1e-4)

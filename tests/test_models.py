"""One contract over the steady ones of `MODELS`, and what each model claims for itself.

Those in time have theirs in test_models_in_time.py.
"""

import warnings

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from meshgnn.checkpoint import load, predict, save
from meshgnn.geometry import domains
from meshgnn.graph import MeshDataset, to_graph
from meshgnn.losses import relative_l2_loss
from meshgnn.mesh import Mesh
from meshgnn.models import MODELS
from meshgnn.problems import Heat, Poisson
from meshgnn.train import fit

BENO = {"width": 16, "layers": 4, "slice_nodes": 14, "tokens": 24}
SMALL = {
    "MeshGraphNet": {"width": 24, "blocks": 3, "hidden": 1, "slices": 6},
    "BENO": BENO,
    "BENO nonlinear": BENO | {"preset": "nonlinear"},
    "BENO learned": BENO | {"learned_operator": True},
}
"""Constructor arguments, by the name in `MODELS` and, where there are several, a word for each."""


def solved(family: str, seed: int, size: float = 0.12, **options):
    mesh = domains.draw(family, seed, size)
    return Poisson.draw(mesh, np.random.default_rng(seed), **options).solve(mesh)


@pytest.fixture(scope="module")
def samples():
    mixed = {"neumann": 0.3, "robin": 0.2, "contrast": 5.0}
    return [solved("cut_square", 0), solved("annulus", 1), solved("l_shape", 2, **mixed)]


def build(name: str, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    model = MODELS[name.split()[0]](**SMALL[name])
    with torch.no_grad():
        for p in model.parameters():  # so that no layer that starts at zero hides an effect
            p.add_(0.02 * torch.randn_like(p))
    return model.eval()


def prepared(model: torch.nn.Module, sample) -> object:
    graph = to_graph(sample)
    return graph if model.transform is None else model.transform(graph)


@pytest.mark.parametrize("name", list(SMALL))
def test_shape_units_and_exact_boundary_values(name, samples):
    model = build(name)
    for sample in samples:
        graph = prepared(model, sample)
        out = model(graph)
        assert out.shape == (sample.mesh.num_nodes, 1, 1)
        fixed = graph.dirichlet_mask[:, 0]
        assert fixed.any() and torch.equal(out[fixed], graph.dirichlet[fixed])


@pytest.mark.parametrize("name", list(SMALL))
def test_a_batch_equals_single_graphs(name, samples):
    model = build(name)
    graphs = [prepared(model, s) for s in samples]
    together = model(Batch.from_data_list(graphs))
    alone = torch.cat([model(g) for g in graphs])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", list(SMALL))
def test_the_numbering_of_nodes_does_not_matter(name, samples):
    model = build(name)
    mesh = samples[0].mesh
    order = np.random.default_rng(0).permutation(mesh.num_nodes)
    place = np.argsort(order)
    groups = {
        k: type(g)(g.dim, {t: place[c] for t, c in g.cells.items()}) for k, g in mesh.groups.items()
    }
    shuffled = Mesh(mesh.points[order], {k: place[c] for k, c in mesh.cells.items()}, groups)
    source = Poisson.draw(mesh, np.random.default_rng(5)).source
    problem = Poisson(source=source, dirichlet={"*": lambda x: 0.02 * np.sin(7 * x[..., 0])})
    a, b = (model(prepared(model, problem.sample(m))) for m in (mesh, shuffled))
    torch.testing.assert_close(a[order], b, rtol=1e-3, atol=2e-6)


@pytest.mark.parametrize("name", list(SMALL))
def test_every_parameter_receives_a_gradient(name, samples):
    model = build(name).train()
    graph = Batch.from_data_list([prepared(model, s) for s in samples])
    relative_l2_loss(model, graph).backward()
    without = [k for k, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize("name", list(SMALL))
def test_it_overfits_one_sample(name, samples):
    torch.manual_seed(0)
    model = MODELS[name.split()[0]](**SMALL[name])
    before = relative_l2_loss(model, prepared(model, samples[0])).item()
    epochs = 150 if name == "MeshGraphNet" else 50
    history = fit(model, MeshDataset(samples[:1]), epochs=epochs, batch_size=1, lr=5e-3)
    assert history.train[-1] < 0.2 * min(before, 1.0), (before, history.train[-1])


@pytest.mark.parametrize("name", list(SMALL))
def test_save_and_load_give_the_same_field(name, samples, tmp_path):
    model = build(name)
    model.register_buffer("_", torch.zeros(0), persistent=False)
    save(model, tmp_path / "model.pt")
    again = load(tmp_path / "model.pt")
    graph = prepared(model, samples[0])
    assert torch.equal(model(graph), again(graph))


@pytest.mark.parametrize("name", list(SMALL))
def test_in_float64_it_gives_the_same_field(name, samples):
    """To the rounding of float32; the field has more digits than those of float32."""
    model, sample = build(name), samples[0]
    single, double = predict(model, sample).u, predict(model.double(), sample).u
    assert 0 < np.abs(double - single).max() < 1e-5 * np.abs(single).max()
    free = ~sample.boundary.dirichlet_mask
    assert (double[0, free] != double[0, free].astype(np.float32)).any()


@pytest.mark.parametrize("name", list(SMALL))
def test_it_runs_under_bfloat16_autocast(name, samples):
    model = build(name)
    graph = prepared(model, samples[0])
    with torch.autocast("cpu", torch.bfloat16):
        out = model(graph)
    assert out.dtype == torch.float32 and out.isfinite().all()
    fixed = graph.dirichlet_mask[:, 0]
    assert torch.equal(out[fixed], graph.dirichlet[fixed])


@pytest.mark.gpu
@pytest.mark.parametrize("name", list(SMALL))
def test_it_runs_unchanged_on_a_gpu(name, samples):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    model = build(name)
    graph = prepared(model, samples[0])
    on_cpu = model(graph)
    on_gpu = model.to("cuda")(graph.clone().to("cuda"))
    torch.testing.assert_close(on_gpu.cpu(), on_cpu, rtol=1e-3, atol=1e-5)


def test_the_two_forms_of_mesh_graph_net_agree(samples):
    a, b = (
        MODELS["MeshGraphNet"](width=32, blocks=4, split=split).eval() for split in (True, False)
    )
    b.load_state_dict(a.state_dict())
    graph = to_graph(samples[0])
    torch.testing.assert_close(a(graph), b(graph), rtol=1e-5, atol=1e-5)


def test_mesh_graph_net_adds_to_the_last_state_of_a_time_series():
    mesh = domains.draw("cut_square", 3, 0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        series = Heat(
            initial=lambda x: x[..., 0], dirichlet={"*": 0.0}, times=np.linspace(0, 0.1, 6)
        ).solve(mesh)
    graphs = MeshDataset([series], history=2, bundle=3)
    model = MODELS["MeshGraphNet"](
        inputs=graphs[0].a.shape[1], history=2, bundle=3, width=16, blocks=2, hidden=1
    )
    model.fit_statistics(list(graphs))
    batch = next(iter(DataLoader(graphs, batch_size=2)))
    out = model(batch)
    assert out.shape == batch.y.shape == (2 * mesh.num_nodes, 3, 1)
    torch.nn.init.zeros_(model.decode[-1].weight)
    torch.nn.init.zeros_(model.decode[-1].bias)
    model.scale_out.mean.zero_()
    free = ~batch.dirichlet_mask[:, 0]
    assert torch.equal(model(batch)[free], batch.u[free, -1:].expand(-1, 3, -1))


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="expected history of at least 0, got -1"):
        MODELS["MeshGraphNet"](history=-1)
    with pytest.raises(ValueError, match="expected channels of at least 1, got 0"):
        MODELS["MeshGraphNet"](channels=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_in_half_precision_are_refused(dtype, samples):
    model = build("MeshGraphNet").to(dtype)
    with pytest.raises(ValueError, match=f"float32 or float64, got {dtype}; call model.float"):
        predict(model, samples[0])


def test_an_unknown_model_lists_those_there_are():
    with pytest.raises(
        KeyError, match="unknown name 'FNO'; there are BENO, DMM, .*GIOROM, .*MMPDE"
    ):
        MODELS["FNO"]
    with pytest.raises(AttributeError, match="meshgnn.models has no model 'FNO'; it has"):
        import meshgnn.models

        _ = meshgnn.models.FNO

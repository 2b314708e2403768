"""MMGP on a family of plates: errors, bands, files, batches, gradients, scalars, refusals."""

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from meshgnn.checkpoint import load, predict, save
from meshgnn.geometry.polygon import Loop, circle, ellipse, mesh_polygon
from meshgnn.graph import MeshDataset, to_graph
from meshgnn.mesh import Mesh
from meshgnn.metrics import relative_l2
from meshgnn.models import MODELS
from meshgnn.problems import Poisson
from meshgnn.sample import Sample
from meshgnn.train import fit

SIDES = ["bottom", "right", "top", "left"]


def solved(p: np.ndarray, mesh: Mesh | None = None) -> Sample:
    """−Δu = s on a plate with a hole at (p0, 0) of radius p1 and right side p2 high."""
    if mesh is None:
        corners = np.array([[-1, -0.5], [1, -p[2]], [1, p[2]], [-1, 0.5]])
        loops = [Loop(corners, SIDES), circle((p[0], 0.02), p[1], "hole", 0.08)]
        mesh = mesh_polygon(loops, 0.17)
    held, free = {"left": 0.0, "hole": 0.0}, {"right": p[4], "bottom": 0.0, "top": 0.0}
    return Poisson(p[3], dirichlet=held, neumann=free).solve(mesh)


def drawn(seed: int, n: int) -> list[Sample]:
    rng = np.random.default_rng(seed)
    low, high = np.array([-0.3, 0.1, 0.4, 1.0, 0.2]), np.array([0.3, 0.2, 0.6, 3.0, 0.6])
    return [solved(rng.uniform(low, high)) for _ in range(n)]


@pytest.fixture(scope="module")
def trained():
    data = MeshDataset(drawn(0, 24))
    model = MODELS["MMGP"](linear=[0], modes=7)
    history = fit(model, data, epochs=1, progress=False)
    return model, data, history


@pytest.fixture(scope="module")
def held_out() -> list[Sample]:
    return drawn(1, 10)


def mean_error(model, samples: list[Sample]) -> float:
    rows = [(predict(model, s).u, s.u, s.mesh.lumped_mass) for s in samples]
    return float(np.mean([relative_l2(*row) for row in rows]))


def test_errors_are_a_tenth_of_those_of_the_mean_field(trained, held_out):
    """24 shapes, 5 numbers: the mean is that of the training fields on the reference."""
    model, data, history = trained
    with torch.no_grad():
        found = [model.description(graph) for graph in data]
        fields = [e.laid.to_reference(g.y[:, 0].double()) for e, g in zip(found, data, strict=True)]
        mean = torch.stack(fields).mean(dim=0)
        guesses = [model.description(to_graph(s)).laid.to_shape(mean) for s in held_out]
    rows = [
        (g.numpy()[None], s.u, s.mesh.lumped_mass) for g, s in zip(guesses, held_out, strict=True)
    ]
    baseline = np.mean([relative_l2(*row) for row in rows])
    assert mean_error(model, held_out) < min(0.1 * baseline, 0.03)
    assert len(history) == 1 and 0 < history.train[0] < 1e-3


def test_a_problem_not_said_to_be_linear_is_learned_as_well(trained, held_out):
    model = MODELS["MMGP"](kernel="rbf", modes=3)
    fit(model, trained[1][:16], epochs=1, progress=False)
    assert len(model.fields) <= 3
    assert mean_error(model, held_out) < 0.15


def test_bands_cover_what_they_say(trained, held_out):
    """Of the free values 88 to 99.9 % within 1.96 σ on few held-out shapes; 0 where prescribed;
    wider on a shape that is far from all others."""
    model, *_ = trained
    inside, widths = [], []
    far = solved(np.array([0.45, 0.3, 0.7, 2.0, 0.4]))
    for sample in [*held_out, far]:
        out = predict(model, sample, uncertainty=True)
        assert out.names["u"] == ["u", "u_std"]
        error, band = np.abs(out.u[0, :, :1] - sample.u[0]), out.u[0, :, 1:]
        free = ~sample.boundary.dirichlet_mask
        assert (band[~free] == 0).all() and (band[free] > 0).mean() > 0.99
        inside.append((error <= 1.96 * band)[free])
        widths.append(band[free].mean())
    assert 0.88 <= np.concatenate(inside[:-1]).mean() <= 0.999
    assert widths[-1] > 2 * np.mean(widths[:-1])


def test_a_file_holds_all_of_it(trained, held_out, tmp_path):
    model, data, _ = trained
    model.fit_scalars(list(data), {"peak": torch.stack([g.y.max() for g in data])})
    save(model, tmp_path / "mmgp.pt")
    again = load(tmp_path / "mmgp.pt")
    for sample in held_out[:2]:
        one, other = (predict(m, sample, uncertainty=True).u for m in (model, again))
        np.testing.assert_array_equal(one, other)
        graph = to_graph(sample)
        assert again.scalars(graph)["peak"] == model.scalars(graph)["peak"]
    with pytest.raises(ValueError, match="expected 24 values of 'peak', one a graph, got shape"):
        model.fit_scalars(list(data), {"peak": torch.zeros(3)})
    with pytest.raises(ValueError, match="expected finite values of 'peak', got 24 that are not"):
        model.fit_scalars(list(data), {"peak": torch.full((24,), torch.nan)})


def test_scalars_have_values_and_bands(trained, held_out):
    """The largest value of the field within 10 %, and 3 σ in all but at most one of ten."""
    model, data, _ = trained
    model.fit_scalars(list(data), {"peak": torch.stack([g.y.max() for g in data])})
    misses = 0
    for sample in held_out:
        value, band = model.scalars(to_graph(sample))["peak"]
        assert value.item() == pytest.approx(sample.u.max(), rel=0.1)
        misses += abs(value.item() - sample.u.max()) > 3 * band.item()
    assert misses <= 1


def test_gradients_with_respect_to_the_shape(trained):
    """d/dp of a scalar output and of ∫ û, nodes moved by p, against central differences; the hole
    is tilted, for a closed curve that starts at a node has a kink there."""
    model, data, _ = trained
    model.fit_scalars(list(data), {"peak": torch.stack([g.y.max() for g in data])})
    corners = np.array([[-1, -0.5], [1, -0.47], [1, 0.47], [-1, 0.5]])
    hole = ellipse((0.11, 0.03), (0.17, 0.15), 0.43, "hole", 0.07)
    mesh = mesh_polygon([Loop(corners, SIDES), hole], 0.13)
    graph = to_graph(solved(np.array([0.0, 0.0, 0.0, 2.0, 0.4]), mesh))
    pos, values = graph.pos.double(), {"mass": graph.mass.double()}

    def outputs(p: torch.Tensor) -> torch.Tensor:
        move = torch.stack([0.2 * torch.cos(2 * pos[:, 1]), 0.3 * pos[:, 1] * pos[:, 0]], dim=1)
        part = graph.clone()
        part.pos = pos + p * move
        whole = (model(part)[:, 0, 0].double() * values["mass"]).sum()
        return torch.stack([model.scalars(part)["peak"][0], whole])

    p = torch.zeros((), dtype=torch.float64, requires_grad=True)
    slopes = [torch.autograd.grad(value, p, retain_graph=True)[0].item() for value in outputs(p)]
    step = 3e-3  # fields are float32
    with torch.no_grad():
        found = (outputs(p + step) - outputs(p - step)) / (2 * step)
    assert abs(slopes[0]) > 1e-3
    assert slopes[0] == pytest.approx(found[0].item(), rel=1e-3)
    assert slopes[1] == pytest.approx(found[1].item(), rel=2e-2)


def test_a_batch_equals_single_graphs(trained, held_out):
    model, *_ = trained
    graphs = [to_graph(s) for s in held_out[:2]]
    together = model(Batch.from_data_list(graphs))
    assert torch.equal(together, torch.cat([model(graph) for graph in graphs]))
    fixed = graphs[0].dirichlet_mask
    assert torch.equal(model(graphs[0])[:, 0][fixed], graphs[0].dirichlet[:, 0][fixed])


def test_a_checkpoint_and_a_validation_of_a_closed_fit(tmp_path):
    samples = drawn(3, 6)
    model = MODELS["MMGP"](linear=[0], modes=3)
    history = fit(
        model, MeshDataset(samples[:5]), epochs=9, checkpoint=tmp_path / "m.pt",
        validation=MeshDataset(samples[5:]), progress=False,
    )  # fmt: skip
    assert len(history) == len(history.validation) == 1
    one, other = (predict(m, samples[5]).u for m in (model, load(tmp_path / "m.pt")))
    np.testing.assert_array_equal(one, other)


def test_refusals(trained, held_out):
    model, *_ = trained
    fresh = MODELS["MMGP"]()
    graph = to_graph(held_out[0])
    with pytest.raises(ValueError, match="MMGP: it is not fitted; call fit with a data set"):
        fresh(graph)
    with pytest.raises(ValueError, match="MMGP: expected at least 3 samples, got 2"):
        fit(fresh, MeshDataset(held_out[:2]), epochs=1)
    with pytest.raises(ValueError, match="MMGP: expected kernel matern52 or rbf, got 'cubic'"):
        MODELS["MMGP"](kernel="cubic")
    with pytest.raises(ValueError, match="MMGP: expected dim of 2 or 3, got 4"):
        MODELS["MMGP"](dim=4)
    with pytest.raises(ValueError, match="MMGP: expected modes of at least 1, got 0"):
        MODELS["MMGP"](modes=0)
    with pytest.raises(ValueError, match="MMGP: expected linear to name columns 0 to 1, got .5."):
        MODELS["MMGP"](linear=[5])
    other = mesh_polygon([Loop(np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]), "wall")], 0.2)
    stranger = Poisson(1.0, dirichlet={"wall": 0.0}).solve(other)
    with pytest.raises(ValueError, match="'hole' 1 in the reference, 0 here"):
        predict(model, stranger)
    with pytest.raises(ValueError, match="MMGP: shape 3 of the training set: corresp"):
        fit(fresh, MeshDataset([*held_out[:3], stranger]), epochs=1)
    wrapped = graph.clone()
    wrapped.period = torch.ones(1, 2)
    with pytest.raises(ValueError, match="MMGP: periodic meshes are not covered"):
        model(wrapped)

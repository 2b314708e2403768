"""MMGP on small heat sinks of tetrahedra: errors, bands, files, gradients."""

import numpy as np
import pytest
import torch
from heat_sinks import sink

from meshgnn.checkpoint import load, predict, save
from meshgnn.graph import MeshDataset, to_graph
from meshgnn.metrics import relative_l2
from meshgnn.models import MODELS
from meshgnn.problems import Poisson
from meshgnn.sample import Sample
from meshgnn.train import fit


def drawn(seed: int, n: int) -> list[Sample]:
    """Height, foot and distance of the fins, flux and cooling vary; two kinds of mesh."""
    rng, out = np.random.default_rng(seed), []
    for i in range(n):
        p = rng.uniform([0.3, 0.16, 0.42, 0.5, 0.2], [0.5, 0.24, 0.5, 2.0, 0.5])
        cooled = dict.fromkeys(("top", "fins"), (p[4], 0.0))
        problem = Poisson(neumann={"base": p[3], "sides": 0.0}, robin=cooled)
        out.append(problem.solve(sink(p[0], p[1], 0.8, p[2], 2 + (i % 4 == 1))))
    return out


@pytest.fixture(scope="module")
def trained():
    data = MeshDataset(drawn(0, 14))
    model = MODELS["MMGP"](dim=3, linear=[0], modes=5)
    fit(model, data, epochs=1, progress=False)
    model.fit_scalars(list(data), {"peak": torch.stack([g.y.max() for g in data])})
    return model, data


def test_errors_are_a_tenth_of_those_of_the_mean_field(trained, tmp_path):
    """14 shapes, 5 numbers; bands are positive; a file gives the same again."""
    model, data = trained
    with torch.no_grad():
        found = [model.description(graph) for graph in data]
        fields = [e.laid.to_reference(g.y[:, 0].double()) for e, g in zip(found, data, strict=True)]
    mean, errors, baseline = torch.stack(fields).mean(dim=0), [], []
    samples = drawn(1, 2)
    for sample in samples:
        out, mass = predict(model, sample, uncertainty=True), sample.mesh.lumped_mass
        assert (out.u[0, :, 1] > 0).all()
        errors.append(relative_l2(out.u[..., :1], sample.u, mass))
        guess = model.description(to_graph(sample)).laid.to_shape(mean).numpy()[None]
        baseline.append(relative_l2(guess, sample.u, mass))
    assert np.mean(errors) < 0.1 * np.mean(baseline)
    save(model, tmp_path / "m.pt")
    again = predict(load(tmp_path / "m.pt"), samples[0]).u
    np.testing.assert_array_equal(again, predict(model, samples[0]).u)


def test_gradients_with_respect_to_the_shape(trained):
    """d/dp of a scalar output, nodes moved by p, against central differences; away from p = 0,
    where points of flat patches are on edges of triangles."""
    model, _ = trained
    graph = to_graph(drawn(2, 2)[1])
    x, y, z = graph.pos.double().T
    move = torch.stack([0.2 * x * z, y**2, z**2], dim=1)

    def peak(p: torch.Tensor) -> torch.Tensor:
        part = graph.clone()
        part.pos = graph.pos.double() + p * move
        return model.scalars(part)["peak"][0]

    p = torch.tensor(0.0137, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(peak(p), p)
    with torch.no_grad():
        found = (peak(p + 1e-5) - peak(p - 1e-5)) / 2e-5
    assert abs(slope.item()) > 1e-3
    assert slope.item() == pytest.approx(found.item(), rel=1e-3)

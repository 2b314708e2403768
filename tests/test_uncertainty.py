"""Ensembles and Monte-Carlo dropout behind `predict(..., uncertainty=True)`."""

import numpy as np
import pytest
import torch
from learning_builders import steady

from meshgnn.checkpoint import load, predict, save
from meshgnn.graph import MeshDataset, to_graph
from meshgnn.io import write
from meshgnn.models import MODELS
from meshgnn.train import fit


def network(seed: int, **options) -> torch.nn.Module:
    torch.manual_seed(seed)
    return MODELS["MeshGraphNet"](**{"width": 12, "blocks": 2, "hidden": 1, "slices": 3} | options)


def fitted(model: torch.nn.Module, epochs: int = 3) -> torch.nn.Module:
    data = MeshDataset([steady(i, n=3) for i in range(4)])
    fit(model, data, epochs=epochs, batch_size=2, lr=5e-3, progress=False)
    return model


def wrapped(name: str) -> torch.nn.Module:
    if name == "Ensemble":
        return MODELS[name]([network(0), network(1), network(2)])
    return MODELS[name](network(0), rate=0.2, draws=8)


@pytest.fixture(scope="module", params=["Ensemble", "Dropout"])
def model(request) -> torch.nn.Module:
    return fitted(wrapped(request.param))


def test_fields_carry_bands(model):
    """σ > 0 at free nodes, 0 on prescribed ones; twice the same; no random number is used up."""
    sample = steady(9, n=3)
    before = torch.random.get_rng_state()
    one, other = (predict(model, sample, uncertainty=True).u for _ in range(2))
    assert torch.equal(before, torch.random.get_rng_state())
    np.testing.assert_array_equal(one, other)
    mask = sample.boundary.dirichlet_mask[:, 0]
    assert (one[0, mask, 1] == 0).all() and (one[0, ~mask, 1] > 0).all()
    np.testing.assert_array_equal(one[..., :1], predict(model, sample).u)


def test_one_file_holds_all_of_it(model, tmp_path):
    save(model, tmp_path / "model.pt")
    again, sample = load(tmp_path / "model.pt"), steady(9, n=3)
    one, other = (predict(m, sample, uncertainty=True) for m in (model, again))
    np.testing.assert_array_equal(one.u, other.u)
    assert one.names["u"] == other.names["u"] == ["u", "u_std"]


def test_the_band_is_an_array_for_paraview(model, tmp_path):
    """VTK's own reader finds u and u_std at the nodes of the .vtu that `write` makes."""
    pyvista = pytest.importorskip("pyvista")
    out = predict(model, steady(9, n=3), uncertainty=True)
    write(tmp_path / "band.vtu", out)
    arrays = pyvista.read(tmp_path / "band.vtu").point_data
    for k, name in enumerate(("u", "u_std")):
        np.testing.assert_allclose(arrays[name], out.u[0, :, k], rtol=1e-6)


def test_an_ensemble_is_the_mean_and_the_spread_of_its_members():
    """Members trained one by one; fitting them together gives each its own loss alone."""
    members = [fitted(network(seed), 1) for seed in range(3)]
    ensemble, graph = MODELS["Ensemble"](members), to_graph(steady(9, n=3))
    assert ensemble.meta["names"]["u"] == ["u"]
    with torch.no_grad():
        rows = torch.stack([member(graph) for member in members])
        torch.testing.assert_close(ensemble(graph), rows.mean(dim=0))
        torch.testing.assert_close(ensemble.uncertainty(graph), rows.std(dim=0))
        full = to_graph(steady(3, n=3))
        losses = [float(member.loss(member, full)) for member in members]
        assert float(ensemble.loss(ensemble, full)) == pytest.approx(np.mean(losses))


def test_dropout_leaves_units_out_in_training_only():
    """In training two calls differ; in evaluation the field is that of the network inside."""
    model, graph = wrapped("Dropout"), to_graph(steady(9, n=3))
    with torch.no_grad():
        assert not torch.equal(model.train()(graph), model(graph))
        assert torch.equal(model.eval()(graph), model.inner(graph))
        narrow = MODELS["Dropout"](network(0), rate=0.01, draws=8).eval()
        assert narrow.uncertainty(graph).mean() < 0.5 * model.uncertainty(graph).mean()


def test_refusals():
    with pytest.raises(ValueError, match="Ensemble: expected at least 2 models, got 1"):
        MODELS["Ensemble"]([network(0)])
    with pytest.raises(ValueError, match="got MeshGraphNet of different hparams; train the same"):
        MODELS["Ensemble"]([network(0), network(1, width=8)])
    with pytest.raises(ValueError, match="same hparams, got BENO and MeshGraphNet; train"):
        MODELS["Ensemble"]([network(0), MODELS["BENO"](width=16, layers=4)])
    with pytest.raises(
        ValueError, match="Ensemble: expected a steady model with hparams, got Mesh"
    ):
        MODELS["Ensemble"]([network(0, history=1), network(1, history=1)])
    with pytest.raises(ValueError, match="Dropout: expected a rate between 0 and 1 and at least 2"):
        MODELS["Dropout"](network(0), rate=1.0)
    with pytest.raises(ValueError, match="Dropout: MMGP has no InteractionBlock or SliceAttention"):
        MODELS["Dropout"](MODELS["MMGP"]())
    with pytest.raises(
        ValueError, match="gives no uncertainty .* into an Ensemble, or it into a Dr"
    ):
        predict(fitted(network(0), 1), steady(9, n=3), uncertainty=True)

"""One file is a whole model; a mesh goes in and a field comes out."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from learning_builders import Tiny, decaying, steady
from torch import nn

from meshgnn import checkpoint
from meshgnn.checkpoint import load, predict, save
from meshgnn.mesh import Mesh
from meshgnn.metrics import boundary_error
from meshgnn.models import MODELS
from meshgnn.sample import Sample


@pytest.fixture(autouse=True)
def known_models(monkeypatch) -> None:
    monkeypatch.setattr(checkpoint, "MODELS", {"Tiny": Tiny, **dict.fromkeys(MODELS)})


def trained(**sizes) -> Tiny:
    torch.manual_seed(0)
    model = Tiny(**sizes)
    model.scale.fill_(3.5)  # a buffer that normalises
    model.meta = {"names": {"u": ["u"], "inputs": ["source", "diffusivity"]}, "graphs": 4}
    return model


def test_loaded_model_is_the_saved_one(tmp_path) -> None:
    model, sample = trained(width=5), steady()
    save(model, tmp_path / "model.pt")
    again = load(tmp_path / "model.pt")
    assert again.hparams == model.hparams and again.meta == model.meta and not again.training
    for (name, a), (_, b) in zip(
        model.state_dict().items(), again.state_dict().items(), strict=True
    ):
        assert torch.equal(a, b), name
    np.testing.assert_array_equal(predict(again, sample).u, predict(model, sample).u)


def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "model.pt"
    save(trained(), path)
    before = path.read_bytes()

    def half(content, file):
        with open(file, "wb") as out:
            out.write(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(KeyboardInterrupt):
        save(trained(width=9), path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["model.pt"]


def test_what_cannot_be_saved_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="save: Linear is not in meshgnn.models.MODELS.*LearnedIC"):
        save(nn.Linear(1, 1), tmp_path / "model.pt")
    wrapped = checkpoint.MODELS["MeanConserving"] = MODELS["MeanConserving"]
    history = {"channels": 1, "inputs": 0, "history": 1}
    save(wrapped(wrapped(Tiny(**history))), tmp_path / "model.pt")
    (tmp_path / "model.pt").unlink()

    class Mine(Tiny):
        """A model of one's own."""

    with pytest.raises(ValueError, match="save: Mine is not in meshgnn.models.MODELS"):
        save(wrapped(wrapped(Mine(**history))), tmp_path / "model.pt")
    model = trained()
    model.hparams = {"activation": torch.tanh}
    with pytest.raises(ValueError, match="expected Tiny.hparams to be its constructor arguments"):
        save(model, tmp_path / "model.pt")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        save(trained(), tmp_path / "nowhere" / "model.pt")
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_loaded_is_named(tmp_path) -> None:
    path = tmp_path / "model.pt"
    with pytest.raises(FileNotFoundError, match="of packaged weights; there are .*ic_poisson"):
        load("poisson-of-another-world")
    path.write_bytes(b"no checkpoint at all")
    with pytest.raises(ValueError, match="is not a meshgnn checkpoint, or is damaged"):
        load(path)
    torch.save({"weights": torch.ones(3)}, path)
    with pytest.raises(ValueError, match="is not a meshgnn checkpoint; expected a file save wrote"):
        load(path)
    save(trained(), path)
    content = torch.load(path, weights_only=True)
    torch.save({**content, "format": 99}, path)
    with pytest.raises(ValueError, match="checkpoint format 99, this meshgnn reads format 1"):
        load(path)
    torch.save({**content, "model": "Huge"}, path)
    with pytest.raises(
        ValueError, match="holds a model .Huge., which this version does not know.*LearnedIC"
    ):
        load(path)
    torch.save({**content, "hparams": {"width": 4}}, path)
    with pytest.raises(ValueError, match="does not fit the Tiny of this meshgnn.*size mismatch"):
        load(path)
    torch.save({**content, "hparams": {"depth": 4}}, path)
    with pytest.raises(ValueError, match="does not fit the Tiny of this meshgnn.*'depth'"):
        load(path)


def test_a_truncated_file_is_named(tmp_path) -> None:
    path = tmp_path / "model.pt"
    save(trained(), path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match="is not a meshgnn checkpoint, or is damaged"):
        load(path)


@pytest.mark.parametrize(
    "damaged",
    [b"", b"X", b"ctz\xc8w%", b"j\xf1p>z\x89\xf3", b"\x80\x02}q\x01", b"PK\x03\x04"],
)
def test_whatever_the_unpickler_trips_over_is_a_damaged_file(tmp_path, damaged: bytes) -> None:
    """Among them bytes that raise IndexError, struct.error, UnicodeDecodeError, KeyError."""
    path = tmp_path / "model.pt"
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="is not a meshgnn checkpoint, or is damaged: ."):
        load(path)


@pytest.mark.parametrize("key", ["format", "model", "hparams", "state", "meta"])
def test_a_checkpoint_has_all_its_parts(tmp_path, key: str) -> None:
    path = tmp_path / "model.pt"
    save(trained(), path)
    content = torch.load(path, weights_only=True)
    del content[key]
    torch.save(content, path)
    with pytest.raises(ValueError, match="is not a meshgnn checkpoint; expected a file save wrote"):
        load(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_no_damaged_one(tmp_path) -> None:
    path = tmp_path / "model.pt"
    save(trained(), path)
    path.chmod(0)
    with pytest.raises(PermissionError):
        load(path)


def test_loading_never_runs_code(tmp_path) -> None:
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    path = tmp_path / "evil.pt"
    content = {"format": 1, "model": "Tiny", "hparams": {}, "state": Evil()}
    torch.save(content, path)
    with pytest.raises(ValueError, match="is not a meshgnn checkpoint"):
        load(path)
    path.write_bytes(pickle.dumps(Evil(), protocol=2))
    with pytest.raises(ValueError, match="is not a meshgnn checkpoint"):
        load(path)
    assert not (tmp_path / "ran").exists()


def test_packaged_weights_are_found_by_name(tmp_path, monkeypatch) -> None:
    save(trained(), tmp_path / "small.pt")
    monkeypatch.setattr(checkpoint, "_WEIGHTS", tmp_path)
    assert isinstance(load("small"), Tiny)
    with pytest.raises(FileNotFoundError, match="there are small. Train one"):
        load("large")


@pytest.mark.parametrize("cells", ["line", "mixed 2D", "mixed 3D"])
def test_prediction_has_exact_boundary_values_and_reads_no_truth(cells: str) -> None:
    sample = steady(cells=cells)
    model = trained(dim=sample.mesh.points.shape[1])
    result = predict(model, sample)
    assert result.u.shape == (1, sample.mesh.num_nodes, 1) and result.u.dtype == np.float64
    assert boundary_error(result.u, sample) == 0
    assert result.mesh is sample.mesh and result.names == sample.names
    blind = predict(model, replace(sample, u=None))
    np.testing.assert_array_equal(blind.u, result.u)


def test_prediction_leaves_mode_and_gradients_alone() -> None:
    model = trained(dropout=0.5).train()
    np.testing.assert_array_equal(predict(model, steady()).u, predict(model, steady()).u)
    assert model.training and all(p.grad is None for p in model.parameters())


def test_names_come_from_the_model_where_the_sample_has_none() -> None:
    result = predict(trained(), replace(steady(), names={}))
    assert result.names == {"u": ["u"]}


def test_uncertainty_comes_as_further_components(tmp_path) -> None:
    class Unsure(Tiny):
        def uncertainty(self, graph):
            return 0.1 * torch.ones(len(graph.pos), 1, 1)

    result = predict(Unsure(), steady(), uncertainty=True)
    assert result.u.shape == (1, 30, 2) and result.names["u"] == ["u", "u_std"]
    np.testing.assert_allclose(result.u[0, :, 1], 0.1, rtol=1e-6)
    mask = result.boundary.dirichlet_mask
    assert (mask[:, :1] == steady().boundary.dirichlet_mask).all() and not mask[:, 1].any()
    result.save(tmp_path / "s.vtkhdf")
    np.testing.assert_array_equal(Sample.load(tmp_path / "s.vtkhdf").u, result.u)
    with pytest.raises(ValueError, match="Tiny gives no uncertainty"):
        predict(trained(), steady(), uncertainty=True)


def test_predictions_that_cannot_be_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"made for space dimensions: 2 \(dim=2\), the graph has 3"
    ):
        predict(trained(), steady(cells="tetra", n=2))
    with pytest.raises(ValueError, match=r"inputs per node: 2 \(inputs=2\), the graph has 1"):
        predict(trained(), replace(steady(), inputs=np.ones((30, 1)), names={}))
    swapped = replace(steady(), names={"u": ["u"], "inputs": ["diffusivity", "source"]})
    with pytest.raises(ValueError, match=r"trained with inputs \['source', 'diffusivity'\]"):
        predict(trained(), swapped)
    with pytest.raises(ValueError, match="history=1 and 6 times; use rollout"):
        predict(trained(channels=2, inputs=0, history=1), decaying())
    with pytest.raises(ValueError, match="history=0 and 6 times; use rollout"):
        predict(trained(channels=2, inputs=0), decaying())
    broken = trained()
    broken.scale.fill_(float("nan"))
    with pytest.raises(ValueError, match="Tiny gave NaN or infinity at 12 nodes, the first"):
        predict(broken, steady())


def test_predicting_needs_neither_gmsh_nor_pyvista(tmp_path) -> None:
    """Loading and predicting in a process where gmsh, PyVista and Fabric cannot be imported."""
    program = """
import sys
for name in ("gmsh", "pyvista", "vtk", "lightning_fabric", "skfem", "meshio"):
    sys.modules[name] = None
import numpy as np, torch
import meshgnn as mg
points = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1], [0.4, 0.5]])
cells = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
mesh = mg.Mesh(points, {"triangle": cells})
from meshgnn.sample import Boundary
sample = mg.Sample(mesh, Boundary.none(5, 1), np.ones((5, 2)))
model = mg.models.MODELS["MeshGraphNet"](width=8, blocks=1)
mg.save(model, sys.argv[1])
assert mg.predict(mg.load(sys.argv[1]), sample).u.shape == (1, 5, 1)
"""
    path = str(tmp_path / "model.pt")
    subprocess.run([sys.executable, "-c", program, path], check=True, timeout=120)


def test_broken_meshes_are_refused() -> None:
    """A field on islands, or where ∫ φ_i dx is negative, means nothing: what is wrong is named."""
    sample = replace(steady(solved=False), cell_inputs=np.zeros((0, 0)))
    points, cells = sample.mesh.points, sample.mesh.cells["triangle"].copy()
    cells[3] = cells[3, ::-1]
    inverted = replace(sample, mesh=Mesh(points, {"triangle": cells}))
    with pytest.raises(ValueError, match="1 of 40 cells are inverted or degenerate .*: 3; repair"):
        predict(Tiny(), inverted)
    left = sample.mesh.points[sample.mesh.cells["triangle"]][:, :, 0].mean(axis=1)
    cells = sample.mesh.cells["triangle"][(left < 0.25) | (left > 0.75)]
    apart = Mesh(points, {"triangle": cells})
    with pytest.raises(ValueError, match="is disconnected: 2 components|belong to no cell"):
        predict(Tiny(), replace(sample, mesh=apart))

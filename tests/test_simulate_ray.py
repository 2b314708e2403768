"""`simulate` and `fit_online` on a Ray cluster of this machine: the samples of joblib."""

from pathlib import Path

import numpy as np
import pytest
import torch
from inline_workers import InlineEngine
from learning_builders import Tiny
from test_many_processes_simulate import suicidal

from meshgnn.losses import relative_l2_loss
from meshgnn.online import fit_online
from meshgnn.simulate import simulate, workers

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.many


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """One for all tests; `simulate` takes the one there is, and leaves it."""
    options = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    # workers import the helpers of the tests
    path = str(Path(__file__).parent)
    ray.init(
        "local",
        num_cpus=2,
        object_store_memory=100 * 2**20,
        runtime_env={"env_vars": {"PYTHONPATH": path}},
        **options,
    )
    yield
    ray.shutdown()


def test_the_same_files_byte_for_byte_and_resumed(tmp_path: Path) -> None:
    options = {"seed": 3, "size": 0.2, "progress": False, "neumann": 0.2}
    one = simulate("Poisson", "interval", 5, tmp_path / "one", jobs=1, **options)
    two = simulate("Poisson", "interval", 3, tmp_path / "two", engine="ray", **options)
    two[1].unlink()
    kept = two[0].stat().st_mtime_ns
    two = simulate("Poisson", "interval", 5, tmp_path / "two", engine="ray", **options)
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    assert two[0].stat().st_mtime_ns == kept and ray.is_initialized()


def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    family = suicidal(str(marks))
    paths = simulate("Poisson", family, 6, tmp_path / "out", engine="ray", progress=False)
    again = simulate("Poisson", family, 6, tmp_path / "again", jobs=1, progress=False)
    assert (marks / "killed").exists()
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]


def test_errors_of_a_sample_are_those_of_joblib(tmp_path: Path) -> None:
    def broken(rng: np.random.Generator) -> None:
        raise ArithmeticError("no mesh today")

    with pytest.raises(ArithmeticError, match="^no mesh today"):
        simulate("Poisson", broken, 2, tmp_path, engine="ray", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_online_training_takes_its_samples_from_ray(monkeypatch) -> None:
    """With `fresh`, the weights are those of samples computed here: samples have numbers."""
    monkeypatch.setattr(workers, "LokyEngine", InlineEngine)
    sizes = {"epochs": 1, "steps": 4, "batch_size": 2, "threshold": 4, "fresh": 1.0, "size": 0.2}
    quiet = {"loss": relative_l2_loss, "progress": False, "accelerator": "cpu"}
    found = []
    for engine in ("ray", "joblib"):
        torch.manual_seed(0)
        model = Tiny(dim=1)
        fit_online(model, "Poisson", "interval", engine=engine, **sizes, **quiet)
        found.append([p.detach() for p in model.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))

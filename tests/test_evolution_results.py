"""The benchmark of problems in time: its figures meet their targets, its configurations build."""

import json
import math
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from meshgnn.mesh import Mesh
from meshgnn.sample import Boundary, Sample

BENCHMARKS = Path(__file__).resolve().parents[1] / "scripts" / "benchmarks"
RESULTS = BENCHMARKS / "results"
# configuration, test set, metric: largest share of persistence
OF_PERSISTENCE = [
    ("burgers", "new starts", "mse", 0.05),
    ("burgers_hole", "new starts", "mse", 0.05),
    ("e1_100", "as trained", "accumulated", 0.1),
    ("e1_50", "as trained", "accumulated", 0.1),
    ("e1_40", "as trained", "accumulated", 0.1),
    ("wake_shapes", "cylinders", "all", 0.5),
    ("wake_shapes", "other shapes", "all", 0.9),
]
# configuration, what it is compared with, test set, metric, largest ratio
OF_ANOTHER = [
    ("burgers", "burgers_net", "new starts", "mse", 0.5),
    ("burgers_hole", "burgers_hole_net", "new starts", "mse", 0.5),
    ("e3_50_long", "e3_50_long_blind", "as trained", "accumulated", 0.5),
    *(
        (f"burgers_pushforward_seed{s}", f"burgers_one_step_seed{s}", "new starts", "mse", 1.0)
        for s in range(3)
    ),
]
# cells, largest accumulated error of WENO5 against 800 cells
WENO5 = {100: 0.16, 50: 0.34, 40: 0.41}


@pytest.fixture(scope="module")
def runs():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield import_module("evolution_runs")
    finally:
        sys.path.remove(str(BENCHMARKS))


def measured(name: str) -> dict:
    path = RESULTS / f"evolution_{name}.json"
    if not path.exists():
        pytest.skip(f"{name} is not measured yet, docs/evolution.md says so")
    return json.loads(path.read_text())["tests"]


@pytest.mark.parametrize(("name", "test", "metric", "share"), OF_PERSISTENCE)
def test_a_trained_march_is_far_ahead_of_persistence(name, test, metric, share):
    rows = measured(name)[test]
    assert rows["learned"][metric] <= share * rows["persistence"][metric]


@pytest.mark.parametrize(("name", "other", "test", "metric", "ratio"), OF_ANOTHER)
def test_one_march_is_better_than_another(name, other, test, metric, ratio):
    ours, theirs = (measured(n)[test]["learned"][metric] for n in (name, other))
    assert ours <= ratio * theirs


@pytest.mark.parametrize(("cells", "largest"), list(WENO5.items()))
def test_the_classical_line_is_a_strong_one(cells, largest):
    rows = measured("e1_classical")[f"{cells} cells"]
    assert rows["WENO5"]["accumulated"] <= largest
    assert 75 <= rows["persistence"]["accumulated"] <= 111
    assert 285 <= rows["zero"]["accumulated"] <= 350


def test_boundary_values_were_exact_in_every_march():
    files = [p for p in RESULTS.glob("evolution_*.json") if "configuration" in p.read_text()]
    marches = [
        rows["learned"] for p in files for rows in json.loads(p.read_text())["tests"].values()
    ]
    assert marches and all(row.get("boundary", 0.0) == 0 for row in marches)
    assert all(math.isfinite(v) for row in marches for v in row.values() if isinstance(v, float))


@pytest.mark.xfail(reason="3 of 4 within 3 %, one 4 % off; other shapes 2.6 times", strict=True)
def test_wakes_keep_their_frequency_and_carry_over():
    """Within 3 % after ten periods; on other shapes at most twice the error."""
    rows = measured("wake_shapes")
    here, there = (rows[name]["learned"] for name in ("cylinders", "other shapes"))
    assert max(abs(ratio - 1) for ratio in here["frequency_ratios"]) <= 0.03
    assert there["all"] <= 2 * here["all"]


def test_schaefer_turek_lies_inside_the_published_ranges():
    found = json.loads((RESULTS / "schaefer_turek.json").read_text())
    for name, (low, high) in found["published"].items():
        assert low <= found["fine"][name] <= high


def test_every_configuration_builds_its_model_and_its_loss(runs):
    """On a mesh of one cell in its dimension: options that no model has would raise."""
    evolution = import_module("evolution")
    plans = {name: plan for name, plan in runs.RUNS.items() if plan is not None}
    assert len(plans) > 20 and set().union(*runs.SECTIONS.values()) == set(runs.RUNS)
    for plan in plans.values():
        dim = 1 if plan.train[0].startswith("E") else 2
        cells = {"line": np.array([[0, 1]])} if dim == 1 else {"triangle": np.array([[0, 1, 2]])}
        mesh = Mesh(np.eye(dim + 1)[:, :dim], cells)
        empty = Sample(mesh, Boundary.none(dim + 1, dim), np.zeros((dim + 1, 0)))
        model = evolution.built(plan, empty)
        assert model.hparams["history"] >= 1 and callable(model.forward)
        loss = evolution.loss_of(plan)
        assert loss is None or callable(loss)

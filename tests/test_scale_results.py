"""What was measured of speed and size meets its bars; what misses one is named with its figure."""

import json
import math
from pathlib import Path

import pytest

RESULTS = Path(__file__).resolve().parents[1] / "scripts" / "benchmarks" / "results"


def result(name: str) -> dict:
    path = RESULTS / f"{name}.json"
    if not path.exists():
        pytest.skip(f"{path.name} is not there: see scripts/benchmarks")
    return json.loads(path.read_text())


def rows(case: str) -> list[dict]:
    found = result("scale")
    if case not in found:
        pytest.skip(f"not measured: python scripts/benchmarks/scale.py {case}")
    return found[case]


def form(case: str, name: str) -> dict:
    return next(row for row in rows(case) if row["form"] == name)


def missed(*values: object, reason: str) -> object:
    return pytest.param(*values, marks=pytest.mark.xfail(strict=True, reason=reason))


@pytest.mark.parametrize(
    ("nodes", "figure", "most"),
    [
        missed("2000", "forward_ratio", 0.75, reason="0.93: 0.75 would be 1.09 times the floor"),
        ("2000", "train_ratio", 0.9),
        missed("2000", "train_ratio", 0.75, reason="0.87; the aim beyond the bar of 0.9"),
        ("20000", "forward_ratio", 0.8),
        ("20000", "train_ratio", 0.8),
    ],
)
def test_time_beside_the_network_of_physicsnemo(nodes: str, figure: str, most: float) -> None:
    """Same weights, its faster form, CPU time of one thread."""
    found = result("peers")[nodes]
    assert found["theirs"][figure] == 1
    assert found["ours"]["difference"] <= 1e-5
    assert found["ours"][figure] <= most


@pytest.mark.parametrize("nodes", ["2000", "20000"])
def test_memory_of_training(nodes: str) -> None:
    """At most 0.25 MB a node above the libraries, where activations are computed again."""
    assert result("peers")[nodes]["ours, recompute"]["train_mb_per_node"] <= 0.25


def test_blocks_are_those_of_the_textbook_in_less_time() -> None:
    plain, split = form("core_2000", "plain"), form("core_2000", "split")
    assert split["difference"] <= 1e-5
    assert split["train_ratio"] <= 0.75 * plain["train_ratio"]


@pytest.mark.xfail(strict=True, reason="1.44 times the floor of the products")
def test_blocks_are_near_the_floor() -> None:
    split = form("core_2000", "split")
    assert split["train_ms"] <= 1.3 * split["floor_train_ms"]


def test_a_million_nodes_become_a_graph() -> None:
    """In 6 s; ten million within 24 GB."""
    assert rows("graph_1000000")[0]["ms"] <= 6000


def test_ten_million_nodes_become_a_graph() -> None:
    assert rows("graph_10000000")[0]["peak_mb"] <= 24 * 1024


def test_a_million_nodes_become_a_field() -> None:
    assert min(row["peak_mb"] for row in rows("predict_1000000")) <= 8 * 1024


def test_parts_are_the_whole() -> None:
    parts = form("predict_20000", "in parts")
    assert parts["difference"] <= 1e-5


def test_gradients_of_a_step_of_training_are_those_of_the_textbook() -> None:
    """To what rounding in float32 makes of them."""
    for row in rows("train_2000"):
        assert row["compared_with"] == "plain" and row["difference"] <= 1e-4


def test_two_processes_simulate_nearly_twice_as_fast() -> None:
    assert rows("simulate")[-1]["jobs"] == 2
    assert rows("simulate")[-1]["speed_up"] >= 1.8


def held_out(case: str, name: str) -> float:
    """Mean over seeds."""
    errors = [
        r["held_out"] for r in result("flux")["runs"] if (r["case"], r["form"]) == (case, name)
    ]
    if not errors:
        pytest.skip("not measured: python scripts/benchmarks/flux.py")
    return math.fsum(errors) / len(errors)


def gain(name: str, figure: str) -> float:
    found = result("flux")
    if "speed" not in found:
        pytest.skip("not measured: python scripts/benchmarks/flux.py")
    return next(row[figure] for row in found["speed"] if row["form"] == name)


@pytest.mark.parametrize(
    ("case", "name"),
    [
        ("Poisson", "antisymmetric"),
        ("Poisson", "mixed"),
        ("elasticity", "antisymmetric"),
        ("elasticity", "mixed"),
        ("Burgers, unrolled", "antisymmetric"),
        ("Burgers, unrolled", "mixed"),
        missed("Burgers", "mixed", reason="0.21 in marches where directed edges have 0.17"),
        missed("Burgers", "antisymmetric", reason="0.23 in marches where directed edges have 0.17"),
    ],
)
def test_fluxes_are_as_accurate_as_directed_edges(case: str, name: str) -> None:
    """At equal steps and seeds; 5 % is less than seeds differ by."""
    assert held_out(case, name) <= 1.05 * held_out(case, "directed")


@pytest.mark.parametrize("figure", ["forward_gain", "train_gain"])
def test_fluxes_are_faster_than_directed_edges(figure: str) -> None:
    """At width 128 on 2,000 nodes."""
    assert gain("mixed", figure) >= 1.5

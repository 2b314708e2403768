"""What docs/shapes.md and docs/variations.md report, held to what was asked for; an aim that is
missed is marked so."""

import json
from pathlib import Path

import pytest

RESULTS = Path(__file__).resolve().parent.parent / "scripts" / "benchmarks" / "results"


def measured(run: str) -> dict:
    path = RESULTS / f"shapes_{run}.json"
    if not path.exists():
        pytest.skip(f"{run} is not measured yet, docs/shapes.md says so")
    return json.loads(path.read_text())


def missed(family: str, reason: str):
    return pytest.param(family, marks=pytest.mark.xfail(reason=reason, strict=True))


@pytest.mark.parametrize(
    "family", ["plate", "aerofoil", missed("plate_wide", "0.018: thin ligaments, 100 shapes")]
)
def test_errors_are_a_hundredth(family):
    """Mean relative L2 over 50 held-out shapes, 100 for training."""
    found = measured(family + "_mmgp")
    assert found["samples"] == 100 and found["errors"][0] <= 0.01


@pytest.mark.parametrize(
    "family",
    ["plate", "aerofoil", missed("plate_wide", "0.895"), missed("heatsink", "0.991: too wide")],
)
def test_bands_cover_95_percent(family):
    assert 0.90 <= measured(family + "_mmgp")["coverage"] <= 0.99


@pytest.mark.parametrize("family", ["plate", "plate_wide", "aerofoil"])
def test_a_prediction_takes_less_than_50_milliseconds(family):
    """CPU time of one thread, files and pictures left out."""
    assert measured(family + "_mmgp")["milliseconds"] <= 50


@pytest.mark.parametrize(
    "family", ["plate", "aerofoil", "heatsink", missed("plate_wide", "an eighth of the nearest")]
)
def test_simple_predictors_are_far_behind(family):
    found = measured(family + "_mmgp")
    assert found["errors"][0] <= 0.1 * min(found["nearest"][0], found["mean"][0])


@pytest.mark.parametrize("family", ["plate", "aerofoil", "heatsink"])
@pytest.mark.parametrize("network", ["local", "global"])
def test_mmgp_is_far_ahead_of_networks_that_train_longer(family, network):
    """At least ten times nearer, on the same shapes, in less CPU time of training."""
    found, other = measured(family + "_mmgp"), measured(f"{family}_{network}")
    assert other["samples"] == found["samples"] and other["fit_seconds"] > found["fit_seconds"]
    assert found["errors"][0] <= 0.1 * other["errors"][0]


@pytest.mark.parametrize("family", ["plate", "aerofoil", "heatsink"])
def test_a_network_that_knows_the_equation_is_nearest(family):
    """`BENO` holds the operator of the mesh: nearer than `MMGP`, and slower to train."""
    found, other = measured(family + "_mmgp"), measured(family + "_beno")
    assert other["errors"][0] < found["errors"][0] and other["samples"] == found["samples"]


def test_a_thousand_variations_of_five_thousand_nodes_take_less_than_a_minute():
    """CPU seconds of one thread, all of them valid when asked again, in ten families."""
    found = json.loads((RESULTS / "variations.json").read_text())
    families = [one for one in found.values() if "valid" in one]
    assert len(families) == 10
    for one in families:
        assert one["valid"] == 1000 and one["setup"] + one["seconds"] <= 60
        assert one["least_quality"] >= 0.1 and 4900 <= one["nodes"] <= 5200
    one, other = found["same bytes"]["equal"]
    assert one == other == found["plate, all kinds at once"]["sha256"]


@pytest.mark.parametrize("mesh", ["plate", "bracket"])
@pytest.mark.parametrize("equation", ["Poisson", "LinearElasticity"])
def test_moved_and_new_meshes_agree_within_the_error_of_discretisation(mesh, equation):
    """The difference is below the sum of the two errors, on the worst of five shapes."""
    found = json.loads((RESULTS / "variations.json").read_text())[f"fem, {mesh}, {equation}"]
    assert found["members"] == 5 and found["worst_share"] <= 1
    assert found["difference"] <= found["error_morphed"] + found["error_remeshed"]

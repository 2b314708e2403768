"""The benchmark of mesh movers: its figures meet their targets."""

import json
from pathlib import Path

import pytest

RESULTS = Path(__file__).resolve().parents[1] / "scripts" / "benchmarks" / "results"
CLASSICAL = ("fields_gradient_1", "fields_gradient_0.1", "fields_interpolation_1")
LEARNED = tuple(f"{name}_mover" for name in CLASSICAL)
DEFAULT = (CLASSICAL[2], LEARNED[2])


def unmet(reasons: dict[str, str], names: tuple[str, ...] = LEARNED) -> list:
    """The names, those with a reason as expected failures."""
    marks = {
        name: pytest.mark.xfail(reason=reason, strict=True) for name, reason in reasons.items()
    }
    return [pytest.param(name, marks=marks.get(name, ())) for name in names]


def measured(name: str) -> dict:
    path = RESULTS / f"movers_{name}.json"
    if not path.exists():
        pytest.skip(f"{name} is not measured yet, docs/movers.md says so")
    return json.loads(path.read_text())


@pytest.mark.parametrize("name", [*CLASSICAL, *LEARNED])
def test_every_held_out_mesh_is_valid(name):
    """200 fields: no folded cell by signed area, no node outside."""
    found = measured(name)
    assert found["count"] == 200 and found["folded"] == found["outside"] == 0


@pytest.mark.parametrize(
    "name",
    unmet(
        {
            "fields_gradient_1": "4.96 degrees in one of 200 classical meshes",
            "fields_gradient_0.1": "2.5 degrees; 9.5 % of the classical meshes",
        },
        (*CLASSICAL, *LEARNED),
    ),
)
def test_no_angle_is_below_5_degrees(name):
    assert measured(name)["smallest_angle"] >= 5


@pytest.mark.parametrize("name", LEARNED)
def test_learned_meshes_are_even_on_average(name):
    """Mean std ratio at most 0.20 at scale 1, 0.35 at scale 0.1."""
    found = measured(name)
    assert found["std_ratio"][0] <= found["bar"]


@pytest.mark.parametrize(
    "name",
    unmet(
        {
            "fields_gradient_1_mover": "78 % of the cases, worst 0.56 (classical 74 %, 0.54)",
            "fields_gradient_0.1_mover": "65 %, worst 4.7 (classical 79 %, 0.73)",
            "fields_interpolation_1_mover": "84 %, worst 1: the mesh given (classical 75 %, 0.53)",
        }
    ),
)
def test_every_learned_mesh_is_even(name):
    found = measured(name)
    assert found["std_ratio"][2] <= found["bar"]


@pytest.mark.parametrize("name", LEARNED)
def test_learned_meshes_are_within_half_as_much_again_of_the_classical(name):
    """In the mean over the fields; the worst case in the test after this."""
    assert measured(name)["of_classical"][0] <= 1.5


@pytest.mark.parametrize(
    "name",
    unmet(
        {
            "fields_gradient_1_mover": "88 % of the cases; large annuli up to 13",
            "fields_gradient_0.1_mover": "81 % of the cases, up to 27",
            "fields_interpolation_1_mover": "85 % of the cases; the mesh given in some",
        }
    ),
)
def test_each_learned_mesh_is_within_half_as_much_again_of_its_classical(name):
    assert measured(name)["of_classical"][2] <= 1.5


@pytest.mark.parametrize(
    "name", unmet({DEFAULT[0]: "0.73 on average", DEFAULT[1]: "0.76 on average"}, DEFAULT)
)
def test_the_default_monitor_lowers_interpolation_errors(name):
    """Mean ratio at most 0.70."""
    assert measured(name)["interpolation_ratio"][0] <= 0.70


@pytest.mark.parametrize(
    "name",
    unmet({DEFAULT[0]: "1.01 in one of 200", DEFAULT[1]: "1.03 in one of 200"}, DEFAULT),
)
def test_the_default_monitor_never_raises_interpolation_errors(name):
    assert measured(name)["interpolation_ratio"][2] <= 1.0


@pytest.mark.xfail(reason="1.3 to 4.4 times in four of six cases, never in two", strict=True)
def test_the_learned_mesh_is_made_5_times_as_fast_as_the_classical_one_as_even():
    """At 10,000 nodes, wherever the classical iteration gets as even at all."""
    rows = measured("speed")["cases"].values()
    both = [row for row in rows if "as_even" in row]
    assert all(row["as_even"]["seconds"] >= 5 * row["learned"]["seconds"] for row in both)

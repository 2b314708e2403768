"""The tables of marches in `docs/lagrangian.md` from the result files of `lagrangian.py`.

python scripts/benchmarks/lagrangian_tables.py
"""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "lagrangian.md"
KINDS = {"pull": "pulled", "drop": "dropped", "throw": "thrown"}
CASES = {
    "pull": {
        "test": "pulled by up to a quarter of its size and released, clamped at one side",
        "faster": "pulled by up to 0.35",
        "other_body": "pulled, a U that was not trained on",
    },
    "drop": {
        "test": "dropped on a floor, turned at random",
        "faster": "dropped from up to 0.75 m instead of 0.5",
        "other_body": "dropped, the U",
    },
    "throw": {
        "test": "thrown and spinning in a box",
        "faster": "thrown at up to 1.5 √(g L) instead of 1",
        "other_body": "thrown, the U",
    },
}
SOLIDS = {"pull_3d": "pulled", "drop_3d": "dropped"}
Found = dict[str, dict[str, Any]]


def number(value: float) -> str:
    """Two digits."""
    return f"{value:.1e}".replace("e-0", "e-") if value < 0.1 else f"{value:.2g}"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows]]


def marches(found: Found) -> list[str]:
    head = ["motion", "first 20 frames", "all frames", "worst motion", "frozen", "ballistic"]
    keys = ("mse_early", "mse", "worst", "frozen", "ballistic")
    rows = [
        [text, *(number(found[kind][case][key]) for key in keys)]
        for kind, cases in CASES.items()
        for case, text in cases.items()
    ]
    return table(head, rows)


def solver(found: Found) -> list[str]:
    first = found["pull"]["finite_elements"]
    coarse, fine, truth = (first[name]["nodes"] for name in ("coarse", "fine", "truth"))
    head = ["motion", f"`GIOROM`, {found['pull']['points']} points, decoded", f"{coarse} nodes"]
    head += [f"{fine:,} nodes", f"{truth:,} nodes, the truth"]
    rows = []
    for kind, text in KINDS.items():
        own, others = found[kind]["test"], found[kind]["finite_elements"]
        cells = [(own["mse"], own["cpu_s_a_frame"])]
        cells += [
            (others[name]["mse"], others[name]["cpu_s_a_frame"]) for name in ("coarse", "fine")
        ]
        row = [f"{number(error)}, {1e3 * seconds:.2g} ms" for error, seconds in cells]
        rows.append([text, *row, f"{1e3 * others['truth']['cpu_s_a_frame']:.2g} ms"])
    return table(head, rows)


def solids(found: Found) -> list[str]:
    """Bodies in space, as far as they are measured."""
    head = ["motion", "all frames", "worst motion", "frozen", "more", "other body", "frozen"]
    head += ["half the points", "twice", "other sets", "fewest elements", "twice the nodes"]
    rows = []
    for name, text in SOLIDS.items():
        path = RESULTS / f"lagrangian_rollout_{name}.json"
        if not path.exists():
            continue
        run = json.loads(path.read_text())
        test, other, solved = run["test"], run["other_body"], run["finite_elements"]
        figures = [test["mse"], test["worst"], test["frozen"], run["faster"]["mse"]]
        figures += [other["mse"], other["frozen"]]
        figures += [run["points_of_test"][str(n)] for n in (run["points"] // 2, 2 * run["points"])]
        figures += [run["sets"]["farthest"]["relative_distance"]]
        figures += [solved["coarse"]["mse"], solved["fine"]["mse"]]
        rows.append([text, *(number(value) for value in figures)])
    return table(head, rows)


def points(found: Found) -> list[str]:
    counts = list(found["pull"]["points_of_test"])
    rows = [
        [text, *(number(found[kind]["points_of_test"][n]) for n in counts)]
        for kind, text in KINDS.items()
    ]
    return table(["motion", *counts], rows)


def decoders(found: Found) -> list[str]:
    names = list(found["pull"]["decoders"])
    rows = [[name, *(number(found[kind]["decoders"][name]) for kind in KINDS)] for name in names]
    return table(["decoder", *KINDS.values()], rows)


def sets(found: Found) -> list[str]:
    head = ["motion", '`sampling="farthest"`', "error", '`sampling="random"`', "error"]
    rows = []
    for kind, text in KINDS.items():
        both = (found[kind]["sets"][name] for name in ("farthest", "random"))
        figures = [one[key] for one in both for key in ("relative_distance", "relative_error")]
        rows.append([text, *(number(value) for value in figures)])
    return table(head, rows)


def main() -> None:
    found = {
        kind: json.loads((RESULTS / f"lagrangian_rollout_{kind}.json").read_text())
        for kind in KINDS
    }
    page = PAGE.read_text()
    for make in (marches, solver, points, solids, decoders, sets):
        begin, end = f"<!-- {make.__name__}: begin -->\n", f"<!-- {make.__name__}: end -->"
        head, rest = page.split(begin)
        page = head + begin + "\n".join(make(found)) + "\n" + end + rest.split(end)[1]
    PAGE.write_text(page)
    print(f"wrote {PAGE.name}")


if __name__ == "__main__":
    main()

"""The tables of `docs/shapes.md` from the result files of `shapes.py`."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "shapes.md"
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
NAMES = {
    "mmgp": "MMGP",
    "local": "MeshGraphNet, local",
    "global": "MeshGraphNet, global path",
    "beno": "BENO",
}


def tables(runs: list[str]) -> None:
    """Write the tables between the two marks of the page; what is not measured is said."""
    found = {run: _read(run) for run in runs}
    lines = ["| family | method | mean | median | worst | training, CPU s | call, CPU ms |"]
    lines.append("|---" * 7 + "|")
    for run, result in found.items():
        family, model = run.rsplit("_", 1)
        if result is None:
            lines.append(f"| {family} | {NAMES[model]} | not measured |" + " |" * 4)
            continue
        times = [f"{result['fit_seconds']:.0f}", f"{result['milliseconds']:.0f}"]
        lines.append(_row(family, NAMES[model], result["errors"], times))
        for name in ("nearest", "mean"):
            if name in result:
                text = {"nearest": "nearest sample, transferred", "mean": "mean field"}[name]
                lines.append(_row(family, text, result[name], ["", ""]))
    lines += ["", "| family | nodes | modes: shape, inputs, boundary data, field | coverage | "]
    lines[-1] += "least of a shape | rank correlation of σ and error |"
    lines.append("|---" * 6 + "|")
    for run, result in found.items():
        if result is not None and "coverage" in result:
            low, high = result["nodes"]
            modes = ", ".join(str(count) for count in result["modes"].values())
            lines.append(
                f"| {run.rsplit('_', 1)[0]} | {low} to {high} | {modes} | {result['coverage']:.3f} "
                f"| {result['coverage_of_shapes'][0]:.2f} | {result['rank_of_band']:.2f} |"
            )
    head, rest = PAGE.read_text().split(BEGIN)
    tail = rest.split(END)[1]
    PAGE.write_text(head + BEGIN + "\n" + "\n".join(lines) + "\n" + END + tail)
    print(f"wrote {PAGE.name}")


def _row(family: str, method: str, errors: list[float], times: list[str]) -> str:
    return f"| {family} | {method} | " + " | ".join([*(f"{e:.2g}" for e in errors), *times]) + " |"


def _read(run: str) -> dict[str, Any] | None:
    path = RESULTS / f"shapes_{run}.json"
    return json.loads(path.read_text()) if path.exists() else None

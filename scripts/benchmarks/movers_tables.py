"""`docs/movers.md` from the result files of `movers.py`."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "movers.md"
HEAD = """# Meshes that move: every figure

Made by `python scripts/benchmarks/movers.py`; the files are in `scripts/benchmarks/results/`.
Volumes are signed. The share of a cell is the integral of the monitor over the moved cell by the
volume of the cell of the reference; std and range ratios are those of the shares, moved over
unmoved, CV is std over mean. Interpolation and FEM errors are L2, against the function itself,
moved over unmoved. CPU seconds of one thread of a shared machine.
"""
FIELDS = """Functions of one to three fronts, rims of discs and bumps, 2 to 5 edges thin,
on eight families of meshes (squares, polygons, domains with holes), no two cases alike. Mean,
median, worst:
"""
SHOWN = ("std_ratio", "range_ratio", "cv_after", "interpolation_ratio", "seconds")


def write() -> None:
    """Write the page; runs without a result file are named as missing."""
    from movers import RUNS

    lines = [HEAD, "## Cases with published figures\n"]
    found = _read("references")
    lines += ["`references`: not measured.\n"] if found is None else _references(found)
    lines += ["## Held-out fields\n", FIELDS]
    names = [name for name in RUNS if name.startswith("fields")]
    lines += ["| run | cases | nodes | " + " | ".join(SHOWN) + " | folded | outside | angle |"]
    lines += ["|---" * (len(SHOWN) + 6) + "|"]
    lines += [_fields(name, _read(name)) for name in names]
    PAGE.write_text("\n".join(lines) + "\n")
    print(f"wrote {PAGE.name}")


def _read(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"movers_{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def _references(found: dict[str, Any]) -> list[str]:
    lines = []
    for case, rows in found.items():
        columns = list(dict.fromkeys(key for row in rows.values() for key in row))
        lines += [f"| {case} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
        for name, row in rows.items():
            cells = [f"{row[c]:.3g}" if c in row else "" for c in columns]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        lines.append("")
    published = (
        "Published (movement, its demonstrations): Helmholtz CV 0.473 to 0.0257, error ratio "
    )
    return [*lines, published + "0.58; ring CV 1.21 to 0.349, each on its own triangles.\n"]


def _fields(name: str, found: dict[str, Any] | None) -> str:
    if found is None:
        return f"| `{name}` | not measured |" + " |" * (len(SHOWN) + 4)
    ratios = [", ".join(f"{v:.3g}" for v in found[key]) for key in SHOWN]
    low, high = found["nodes"]
    rest = [found["folded"], found["outside"], f"{found['smallest_angle']:.3g}°"]
    cells = [found["count"], f"{low} to {high}", *ratios, *rest]
    return f"| `{name}` | " + " | ".join(str(c) for c in cells) + " |"

"""`docs/evolution.md` from the result files of `evolution.py`."""

import json
from pathlib import Path
from typing import Any

from evolution_runs import RUNS, SECTIONS

RESULTS = Path(__file__).resolve().parent / "results"
PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "evolution.md"
PUBLISHED = """Published accumulated errors on E1 at 100, 50, 40 cells, of other data and targets:
MP-PDE 1.55, 1.67, 1.47; FNO-PF 0.54, 0.51, 0.57; "WENO5" 2.02, 6.23, 9.63, which is the distance of
two different grids and filters rather than the error of that method.
"""
HEAD = f"""# Problems in time: every figure, beside what needs no learning

Made by `python scripts/benchmarks/evolution.py`; the files are in `scripts/benchmarks/results/`.
Means over the test trajectories, which are drawn from another seed than the training's. Boundary
values are imposed exactly and no march sees any truth after its first states. Times are of a shared
machine and vary by a factor of two.

- accumulated: Σ over the 200 frames after the first 50 of the mean square error over the cells, to
  averages of a solution on 800 cells.
- mse: mean square over all predicted times, nodes and components.
- step n, all: mass-weighted relative L2 at that step, and over all of them.

{PUBLISHED}"""


def write() -> None:
    """Write the page; configurations without a result file are named as missing."""
    lines = [HEAD]
    for title, runs in SECTIONS.items():
        lines.append(f"## {title}\n")
        for name in runs:
            path = RESULTS / f"evolution_{name}.json"
            if path.exists():
                lines += _run(name, json.loads(path.read_text()))
            else:
                lines.append(f"`{name}`: not measured.\n")
    missing = RUNS.keys() - {name for runs in SECTIONS.values() for name in runs}
    assert not missing, f"configurations in no section: {missing}"
    PAGE.write_text("\n".join(lines))
    print(f"wrote {PAGE.name}")


def _run(name: str, result: dict[str, Any]) -> list[str]:
    lines = [f"**`{name}`**" + (f": {_plan(result)}" if "configuration" in result else "") + "\n"]
    for title, rows in result["tests"].items():
        columns = list(dict.fromkeys(k for row in rows.values() for k in row))
        columns = [c for c in columns if not any(isinstance(r.get(c), list) for r in rows.values())]
        lines += [f"| {title} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
        lines += [_row(who, row, columns) for who, row in rows.items()]
        lines += [_lists(who, row) for who, row in rows.items() if _lists(who, row)]
        lines.append("")
    return lines


def _plan(result: dict[str, Any]) -> str:
    plan = result["configuration"]
    depth = f" of depth {plan['depth']}" if plan["depth"] > 1 else ""
    around = f" in {plan['wrapper'][0]}" if plan["wrapper"] else ""
    after = f", from the weights of `{plan['after']}`" if plan.get("after") else ""
    beside = f", with {plan['beside'][1]} of {plan['beside'][0]}" if plan.get("beside") else ""
    return (
        f"{plan['name']}{around}, {result['parameters']:,} parameters; {plan['train'][1]} "
        f"trajectories, {result['steps']:,} steps for `{plan['loss']}`"
        f"{depth}, "
        f"{result['train_seconds'] / 60:.0f} min on {result['threads']} thread, seed "
        f"{plan['seed']}{after}{beside}."
    )


def _row(who: str, row: dict[str, Any], columns: list[str]) -> str:
    cells = [f"{row[c]:.3g}" if c in row else "" for c in columns]
    return f"| {who} | " + " | ".join(cells) + " |"


def _lists(who: str, row: dict[str, Any]) -> str:
    lists = {key: value for key, value in row.items() if isinstance(value, list)}
    parts = [f"{key} {', '.join(f'{x:.3g}' for x in value)}" for key, value in lists.items()]
    return f"\n{who}: {'; '.join(parts)}" if parts else ""


if __name__ == "__main__":
    write()

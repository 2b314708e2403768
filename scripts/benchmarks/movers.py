"""Meshes that move, classical and learned: every table of docs/movers.md.

    python scripts/benchmarks/movers.py             # everything
    python scripts/benchmarks/movers.py references  # one of them
    python scripts/benchmarks/movers.py tables      # docs/movers.md from the results

One file per run in `results/movers_<name>.json`, skipped when present. The runs over many fields
keep every case in `data/movers/`, so that they go on where they were stopped.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from movers_cases import cube, helmholtz, ring
from movers_data import TRAINED, UNSEEN, Case, case

import meshgnn as mg
from meshgnn.adaptivity import mesh_measures
from meshgnn.monitors import Monitor

RESULTS = Path(__file__).resolve().parent / "results"
KEPT = RESULTS.parent / "data" / "movers"
COUNT = 200
SIZES = (None, 0.05, 0.035)  # None: some 300 to 800 nodes


def main() -> None:
    for name in sys.argv[1:] or [*RUNS, "tables"]:
        if name == "tables":
            from movers_tables import write

            write()
            continue
        path = RESULTS / f"movers_{name}.json"
        if path.exists():
            print(f"{path.name} is there already")
            continue
        path.write_text(json.dumps(RUNS[name](), indent=1) + "\n")


def references() -> dict[str, Any]:
    """Cases with published figures."""
    return {"helmholtz": helmholtz(), "ring": ring(), "cube": cube()}


def fields(kind: str, scale: float, mover: str | None = None) -> Callable[[], dict[str, Any]]:
    """The measures over `COUNT` held-out fields with a monitor."""

    def measured() -> dict[str, Any]:
        folder = KEPT / f"{kind}_{scale:g}_{mover or 'classical'}"
        folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for i in range(COUNT):
            path = folder / f"{i:06d}.json"
            if not path.exists():
                path.write_text(json.dumps(_one(i, Monitor(kind, scale), mover)))
            rows.append(json.loads(path.read_text()))
        return {"monitor": [kind, scale], "count": COUNT, **_summary(rows)}

    return measured


def _one(i: int, monitor: Monitor, mover: str | None) -> dict[str, Any]:
    families = (*TRAINED, *UNSEEN)
    drawn = case(families[i % len(families)], 2, i, SIZES[i % len(SIZES)])
    begin = process_time()
    moved = mg.adapt(drawn.mesh, drawn.field, _mover(mover), monitor)
    seconds = process_time() - begin
    return row(drawn, moved, monitor) | {"seconds": seconds, "family": drawn.family}


def row(drawn: Case, moved: mg.Mesh, monitor: Monitor) -> dict[str, Any]:
    """The measures of one mesh."""
    found = mesh_measures(drawn.mesh, moved, drawn.field, monitor, drawn.function)
    return found.as_dict() | {"nodes": drawn.mesh.num_nodes}


def _mover(name: str | None) -> Any:
    return None if name is None else mg.load(KEPT / f"{name}.pt")


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean, median and worst of the ratios; sums of what must be 0; the smallest angle."""
    table: dict[str, Any] = {}
    for key in ("std_ratio", "range_ratio", "cv_after", "interpolation_ratio", "seconds"):
        values = np.array([r[key] for r in rows])
        table[key] = [float(f"{f(values):.3g}") for f in (np.mean, np.median, np.max)]
    table |= {key: int(sum(r[key] for r in rows)) for key in ("folded", "outside")}
    table["smallest_angle"] = float(f"{min(r['smallest_angle'] for r in rows):.3g}")
    table["not_better"] = sum(r["interpolation_ratio"] > 1 for r in rows)
    table["nodes"] = [min(r["nodes"] for r in rows), max(r["nodes"] for r in rows)]
    return table


RUNS: dict[str, Callable[[], dict[str, Any]]] = {
    "references": references,
    "fields_gradient_1": fields("gradient", 1.0),
    "fields_gradient_0.1": fields("gradient", 0.1),
    "fields_interpolation_1": fields("interpolation", 1.0),
}


if __name__ == "__main__":
    main()

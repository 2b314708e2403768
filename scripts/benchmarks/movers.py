"""Meshes that move, classical and learned: every table of docs/movers.md.

    python scripts/benchmarks/movers.py             # everything
    python scripts/benchmarks/movers.py references  # one of them
    python scripts/benchmarks/movers.py train       # the packaged weights, anew
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
from movers_cases import cube, disc, helmholtz, ring
from movers_data import TRAINED, UNSEEN, Case, case
from movers_solver import RUNS as SOLVERS
from movers_speed import speed
from movers_training import train

import meshgnn as mg
from meshgnn.adaptivity import mesh_measures
from meshgnn.monitors import Monitor

RESULTS = Path(__file__).resolve().parent / "results"
KEPT = RESULTS.parent / "data" / "movers"
COUNT = 200
BAR, ANY_BAR, ANGLE = 0.20, 0.35, 5.0  # std ratios at scale 1 and below; degrees
RATIOS = ("std_ratio", "of_classical", "range_ratio", "cv_after", "interpolation_ratio", "seconds")
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
    return {"helmholtz": helmholtz(), "ring": ring(), "disc": disc(), "cube": cube()}


def fields(kind: str, scale: float, mover: str | None = None) -> Callable[[], dict[str, Any]]:
    """The measures over `COUNT` held-out fields with a monitor.

    Args:
        kind, scale: of the monitor.
        mover: name of packaged weights; the classical mesh without it. The rows of a mover also
            have their std ratio over that of the classical mesh of the same case.
    """

    def measured() -> dict[str, Any]:
        monitor = Monitor(kind, scale)
        rows = [_kept(i, monitor, mover) for i in range(COUNT)]
        if mover is not None:
            for i, found in enumerate(rows):
                other = _kept(i, monitor, None)
                if "failed" not in other:
                    found["of_classical"] = found["std_ratio"] / other["std_ratio"]
        bar = ANY_BAR if scale < 1 else BAR
        return {"monitor": [kind, scale], "bar": bar, "count": COUNT, **_summary(rows, bar)}

    return measured


def _kept(i: int, monitor: Monitor, mover: str | None) -> dict[str, Any]:
    """The measures of a case, made once."""
    folder = KEPT / f"{monitor.kind}_{monitor.scale:g}_{mover or 'classical'}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{i:06d}.json"
    if not path.exists():
        path.write_text(json.dumps(_one(i, monitor, mover)))
    return json.loads(path.read_text())


def _one(i: int, monitor: Monitor, mover: str | None) -> dict[str, Any]:
    families = (*TRAINED, *UNSEEN)
    drawn = case(families[i % len(families)], 2, i, SIZES[i % len(SIZES)])
    model = None if mover is None else mg.load(mover)
    begin = process_time()
    try:
        moved = mg.adapt(drawn.mesh, drawn.field, model, monitor)
    except RuntimeError as error:  # the classical iteration diverged, and says so
        return {"failed": str(error), "family": drawn.family, "nodes": drawn.mesh.num_nodes}
    seconds = process_time() - begin
    return row(drawn, moved, monitor) | {"seconds": seconds, "family": drawn.family}


def row(drawn: Case, moved: mg.Mesh, monitor: Monitor) -> dict[str, Any]:
    """The measures of one mesh."""
    found = mesh_measures(drawn.mesh, moved, drawn.field, monitor, drawn.function)
    return found.as_dict() | {"nodes": drawn.mesh.num_nodes}


def _summary(rows: list[dict[str, Any]], bar: float) -> dict[str, Any]:
    """Mean, median and worst of the ratios; sums of what must be 0; the smallest angle; shares."""
    failed = [r for r in rows if "failed" in r]
    rows = [r for r in rows if "failed" not in r]
    table: dict[str, Any] = {"failed": len(failed)}
    for key in RATIOS:
        values = np.array([r[key] for r in rows if key in r])
        if len(values):
            table[key] = [float(f"{f(values):.3g}") for f in (np.mean, np.median, np.max)]
    table |= {key: int(sum(r[key] for r in rows)) for key in ("folded", "outside")}
    angles = np.array([r["smallest_angle"] for r in rows])
    table["smallest_angle"] = float(f"{angles.min():.3g}")
    table["angle_share"] = float(np.mean(angles >= ANGLE))
    table["share"] = float(np.mean([r["std_ratio"] <= bar for r in rows]))
    both = [r["of_classical"] for r in rows if "of_classical" in r]
    if both:
        table["classical_share"] = float(np.mean(np.array(both) <= 1.5))
    table["not_better"] = sum(r["interpolation_ratio"] > 1 for r in rows)
    table["nodes"] = [min(r["nodes"] for r in rows), max(r["nodes"] for r in rows)]
    known = [r for r in rows if r["family"] in TRAINED]
    for name, part in (("trained", known), ("unseen", [r for r in rows if r not in known])):
        table[f"std_ratio_{name}"] = float(f"{np.mean([r['std_ratio'] for r in part]):.3g}")
    return table


RUNS: dict[str, Callable[[], dict[str, Any]]] = {
    "references": references,
    "train": train,
    "fields_gradient_1": fields("gradient", 1.0),
    "fields_gradient_0.1": fields("gradient", 0.1),
    "fields_interpolation_1": fields("interpolation", 1.0),
    "fields_gradient_1_mover": fields("gradient", 1.0, "mover"),
    "fields_gradient_0.1_mover": fields("gradient", 0.1, "mover"),
    "fields_interpolation_1_mover": fields("interpolation", 1.0, "mover"),
    "speed": speed,
    **SOLVERS,
}


if __name__ == "__main__":
    main()

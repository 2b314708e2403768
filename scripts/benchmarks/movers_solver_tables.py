"""The section of `docs/movers.md` about `MMPDE`, from the result files of `movers_solver.py`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from movers_solver import BRANCHES, PLANS, RUNS

RESULTS = Path(__file__).resolve().parent / "results"
MEASURES = (("one step", "one_step", "error"), ("20 steps", "rollout", "error"))
HEAD = """## A solver that moves its mesh beside its twin that does not

`MMPDE` with two networks of 3 layers and width 32, without fitted terms; "identity" has the same
networks, skips, first weights and number of steps, "no_fixed" the moved branch alone. The mover is
the untrained `DMM`, which is the classical iteration in six stages, with the interpolation monitor
at scale 1. Relative L2 errors at the nodes of the mesh given, of one step over the test windows and
of marches of 20 steps; mean over seeds ± standard deviation, in brackets each seed. The moved
meshes of the training data are made once and are not in its time.

Found: no gain. The moved mesh is 6 to 8 % worse on fronts and equal within the spread on wakes, at
7 to 12 times the cost of a call; the aim was a ratio of 0.8.
"""
CASES = {
    "burgers": """Burgers fronts on squares, 30 + 10 trajectories of 31 frames, 550 to 730 nodes:
bumps that steepen to fronts 0.5 to 0.75 edges thin. The truth is P1 on the mesh refined twice,
0.4 % from P2 there; P1 on the mesh itself is 10 % off. Trained on one step; the monitor as it was
before it took the size of cells in.
""",
    "wake": """Wakes of cylinders, Re 80 to 160, 16 + 4 trajectories, a state every 0.04 s: 20 steps
are about 2.5 periods. The 1,800 to 2,000 nodes are closer at the cylinder and in its wake as given,
and the mover changes the sizes of half of the cells, roots of their areas, to 0.92 to 1.10 times
what they were (of 90 %: 0.80 to 1.17). The way there and back changes states by 2.4 % and their
change over a step by 8 %. Two known states, with noise of 0.05; 1, 1, 2, 3 and 4 calls on the
model's own output in epochs 1 to 5, with the gradient through all. In training such a state has the
moved mesh of the true one, in marches its own.

The way to train was chosen with "identity", seed 0, on two validation trajectories, three marches
each, at 75 to 95 CPU s a try: error over 20 steps (persistence 0.393) after training on one call
0.415, on three 0.260, on 1, 2 and 4 by epoch 0.280, all with noise of 0.02; the last with none
0.323, with 0.05 **0.249**. With fitted terms, on one call, the march blew up.
""",
}


def section() -> list[str]:
    """Lines of the page; runs without a result file are named as missing."""
    lines = [HEAD]
    for case in PLANS:
        lines += [CASES[case]]
        lines += ["| branch | one step | 20 steps | parameters | training, CPU s | CPU s a step |"]
        lines += ["|---" * 6 + "|"]
        found = {branch: results(case, branch) for branch in BRANCHES}
        lines += [_row(branch, rows) for branch, rows in found.items()]
        lines += [_persistence(found), _ratios(case), ""]
    missing = [name for name in RUNS if not (RESULTS / f"movers_{name}.json").exists()]
    return [*lines, *([f"Not measured: {', '.join(missing)}.\n"] if missing else [])]


def results(case: str, branch: str) -> dict[int, dict[str, Any]]:
    """{seed: result} of what there is."""
    paths = {seed: RESULTS / f"movers_solver_{case}_{branch}_seed{seed}.json" for seed in range(3)}
    return {seed: json.loads(path.read_text()) for seed, path in paths.items() if path.exists()}


def ratios(case: str, test: str, key: str = "error") -> list[float]:
    """Error of "moved" over that of "identity", for every seed that has both."""
    moved, still = results(case, "moved"), results(case, "identity")
    seeds = [seed for seed in moved if seed in still]
    errors = [[r[s]["tests"][test]["learned"][key] for s in seeds] for r in (moved, still)]
    return [a / b for a, b in zip(*errors, strict=True)]


def spread(values: list[float]) -> str:
    """Mean ± standard deviation, and each."""
    if not values:
        return "not measured"
    each = ", ".join(f"{v:.3g}" for v in values)
    if len(values) == 1:
        return each
    return f"{np.mean(values):.3g} ± {np.std(values, ddof=1):.2g} ({each})"


def _row(branch: str, rows: dict[int, dict[str, Any]]) -> str:
    if not rows:
        return f"| {branch} | not measured |" + " |" * 4
    cells = [
        spread([r["tests"][test]["learned"][key] for r in rows.values()])
        for _, test, key in MEASURES
    ]
    first = next(iter(rows.values()))
    seconds = np.mean([r["cpu_seconds"] for r in rows.values()])
    step = np.mean([r["cpu_seconds_a_step"] for r in rows.values()])
    cells += [f"{first['parameters']:,}", f"{seconds:.0f}", f"{step:.2g}"]
    return f"| {branch} | " + " | ".join(cells) + " |"


def _persistence(found: dict[str, dict[int, dict[str, Any]]]) -> str:
    rows = [r for branch in found.values() for r in branch.values()]
    if not rows:
        return "| persistence | not measured |" + " |" * 4
    cells = [f"{rows[0]['tests'][test]['persistence'][key]:.3g}" for _, test, key in MEASURES]
    return "| persistence | " + " | ".join(cells) + " | | | |"


def _ratios(case: str) -> str:
    cells = [spread(ratios(case, test, key)) for _, test, key in MEASURES]
    return "| moved / identity | " + " | ".join(cells) + " | | | |"

"""The learned preconditioner beside IC(0), MIC(0), multigrid and the direct solver.

    python scripts/benchmarks/preconditioner.py         # all parts, some ten minutes on one core
    python scripts/benchmarks/preconditioner.py data    # one of data, frobenius, both, times

Training, one run per loss: 200 P1 Poisson matrices on cut squares, polygons and annuli of 500 to
3,500 unknowns, contrast of the diffusivity 1, 10 and 100, some parts Neumann or Robin; 30 on
solids; 30 of plane elasticity. All methods start at 0 and stop at ‖b - A x‖₂ <= 1e-8 ‖b‖₂ with b
normal. One file per part in `results/`, kept when present; delete it to run again. `data`, the
loss of Li et al., also writes `meshgnn/weights/ic_poisson.pt`, which `times` uses.

The break-even of `times` is of one matrix, without the training. With the training (146 s), against
IC(0) at 100,000 unknowns, it is some 240 right-hand sides of one matrix, or some 790 matrices of
one right-hand side each, which all need their set-up.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from time import perf_counter, process_time

import numpy as np
import torch
from preconditioner_systems import direct, elastic, five_point, free, modified, scalar, solve
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator

import meshgnn as mg
from meshgnn.fem import multigrid
from meshgnn.geometry.domains import FAMILIES
from meshgnn.preconditioner import (
    LearnedIC,
    data_loss,
    frobenius_loss,
    incomplete_cholesky,
    training_graph,
)
from meshgnn.problems import Poisson

HERE = Path(__file__).resolve().parent
WEIGHTS = HERE.parent.parent / "meshgnn" / "weights" / "ic_poisson.pt"
UNSEEN = ("l_shape", "plate_with_holes", "disc_with_holes", "channel_with_obstacle")
LOSSES = {
    "data": data_loss,
    "frobenius": frobenius_loss,
    "both": lambda model, graph: data_loss(model, graph) + frobenius_loss(model, graph),
}


def train(name: str) -> tuple[LearnedIC, dict]:
    """The model of one loss, and what its training took."""
    systems = [scalar(0, i) for i in range(200)]
    systems += [scalar(1, i, "box_with_hole") for i in range(30)] + [
        elastic(2, i) for i in range(30)
    ]
    graphs = [
        training_graph(matrix, direct(matrix), np.random.default_rng([9, i]))
        for i, matrix in enumerate(systems)
    ]
    torch.manual_seed(0)
    model = LearnedIC()
    begin = perf_counter()
    options = {"epochs": 12, "batch_size": 4, "lr": 5e-3, "seed": 0}
    history = mg.fit(model, graphs, loss=LOSSES[name], progress=False, **options)
    report = {
        "loss": name,
        "systems": len(graphs),
        "mean unknowns": round(mean(g.num_nodes for g in graphs)),
        "parameters": sum(p.numel() for p in model.parameters()),
        **options,
        "history": [float(f"{v:.4g}") for v in history.train],
        "seconds, shared machine": round(perf_counter() - begin, 1),
    }
    return model, report


def neumann(number: int) -> csr_matrix:
    """No part prescribed, one unknown held, which `certify` does."""
    mesh = FAMILIES["polygon"](np.random.default_rng([80, number]), 0.03)
    return csr_matrix(Poisson(neumann={"*": 0.0}).system(mesh).matrix[1:][:, 1:])


def iterations(model: LearnedIC) -> dict:
    """Means of the iterations over systems, and each over that of IC(0)."""
    cases = {
        "held out": [scalar(77, i) for i in range(18)],
        "h / 2": [scalar(78, i, scale=0.5) for i in range(9)],
        "h / 4": [scalar(78, i, scale=0.25) for i in range(3)],
        **{f: [scalar(79, i, f) for i in range(9)] for f in UNSEEN},
        **{f"five points, {n}²": [five_point(n)] for n in (32, 64, 128)},
        "box_with_hole, held out": [scalar(77, i, "box_with_hole") for i in range(6)],
        "box_with_hole, h / 2": [scalar(78, i, "box_with_hole", 0.5) for i in range(3)],
        "elasticity, held out": [elastic(77, i) for i in range(6)],
        "free constant": [neumann(i) for i in range(3)],
    }
    methods = {
        "IC(0)": lambda a: incomplete_cholesky(a).operator(),
        "learned": model.operator,
        "MIC(0)": lambda a: modified(a, 1.0).operator(),
        "MIC(0), 0.95": lambda a: modified(a, 0.95).operator(),
    }
    result = {}
    for case, matrices in cases.items():
        rng = np.random.default_rng(5)
        rights = [rng.standard_normal(a.shape[0]) for a in matrices]
        row = {"systems": len(matrices), "unknowns": round(mean(a.shape[0] for a in matrices))}
        for method, build in methods.items():
            counts = [solve(a, b, build(a)) for a, b in zip(matrices, rights, strict=True)]
            row[method] = round(mean(counts), 1) if np.isfinite(counts).all() else "no convergence"
        row["learned / IC(0)"] = round(row["learned"] / row["IC(0)"], 3)
        result[case] = row
        print(case, row, flush=True)
    return result


def times(model: LearnedIC) -> dict:
    """Set-up and one right-hand side, and from how many of them on the learned pays.

    In CPU seconds of one thread, which is wall time where nothing else runs.
    """
    methods = {
        "IC(0)": lambda a: incomplete_cholesky(a).operator(),
        "learned": model.operator,
        "MIC(0), 0.95": lambda a: modified(a, 0.95).operator(),
        "multigrid": lambda a: multigrid(a).aspreconditioner(cycle="V"),
        "direct": direct,
    }
    what = f"CPU seconds of one thread, medians of 5; shared machine of {os.cpu_count()} cores"
    seconds = keep("data", lambda: trained("data"))["seconds, shared machine"]
    result: dict = {"what": what, "training s": seconds}
    for n, size in ((1_000, 0.0344), (10_000, 0.01075), (100_000, 0.0034)):
        mesh = FAMILIES["cut_square"](np.random.default_rng(3), size)
        matrix = free(Poisson.draw(mesh, np.random.default_rng(3), contrast=10.0).system(mesh))
        b = np.random.default_rng(0).standard_normal(matrix.shape[0])
        table = {name: timed(matrix, b, build) for name, build in methods.items()}
        for name, row in table.items():
            if name != "learned":
                row["break-even of learned"] = break_even(table["learned"], row)
                row["training repaid"] = repaid(table["learned"], row, seconds)
        result[f"{n}"] = {"unknowns": matrix.shape[0], **table}
        print(json.dumps(result[f"{n}"], indent=1), flush=True)
    return result


def timed(matrix: csr_matrix, b: np.ndarray, build: Callable) -> dict:
    setup, each, count = [], [], None
    for _ in range(5):
        begin = process_time()
        operator = build(matrix)
        setup.append(process_time() - begin)
        begin = process_time()
        if isinstance(operator, LinearOperator):
            count = solve(matrix, b, operator)
        else:
            operator(b)
        each.append(process_time() - begin)
    found = {"set-up s": median(setup), "solve s": median(each), "iterations": count}
    return {k: v if v is None else float(f"{v:.3g}") for k, v in found.items()}


def break_even(learned: dict, other: dict) -> str:
    """From how many right-hand sides set-up + k · solve of the learned is the smaller."""
    gain = other["solve s"] - learned["solve s"]
    extra = learned["set-up s"] - other["set-up s"]
    if gain > 0:
        return f"from {max(1, int(extra / gain) + 1)} right-hand sides"
    last = int(extra / gain) if gain < 0 and extra < 0 else 0
    return f"up to {last} right-hand sides only" if last else "never"


def repaid(learned: dict, other: dict, training: float) -> dict:
    """From how many solves on the training is made up for too, in both ways to count them."""
    gain = other["solve s"] - learned["solve s"]
    extra = learned["set-up s"] - other["set-up s"]
    costs = {
        "right-hand sides of one matrix": (training + extra, gain),
        "matrices of one right-hand side": (training, gain - extra),
    }
    return {
        name: int(cost / saved) + 1 if saved > 0 else "never"
        for name, (cost, saved) in costs.items()
    }


def keep(name: str, make: Callable[[], dict]) -> dict:
    path = HERE / "results" / f"preconditioner_{name}.json"
    if not path.exists():
        path.write_text(json.dumps(make(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"wrote {path.name}")
    return json.loads(path.read_text(encoding="utf-8"))


def trained(name: str) -> dict:
    """Training and the iterations of what came out; the data loss gives the packaged weights."""
    model, report = train(name)
    if name == "data":
        WEIGHTS.parent.mkdir(exist_ok=True)
        mg.save(model, WEIGHTS)
    return report | {"iterations to 1e-8": iterations(model)}


def main() -> None:
    parts: dict[str, Callable[[], dict]] = {name: lambda n=name: trained(n) for name in LOSSES}
    parts["times"] = lambda: times(mg.load("ic_poisson"))
    for name in sys.argv[1:] or parts:
        keep(name, parts[name])


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()

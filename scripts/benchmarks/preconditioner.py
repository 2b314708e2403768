"""The learned preconditioner beside IC(0), MIC(0), multigrid and the direct solver.

    python scripts/benchmarks/preconditioner.py         # all parts, some ten minutes on one core
    python scripts/benchmarks/preconditioner.py data    # one of data, frobenius, both, times

Training: 200 P1 Poisson matrices on cut squares, polygons and annuli of 500 to 3,500 unknowns,
contrast of the diffusivity 1, 10 and 100, some parts Neumann or Robin; one run per loss. All
methods start at 0 and stop at ‖b - A x‖₂ <= 1e-8 ‖b‖₂ with b normal. One file per part in
`results/`, kept when present; delete it to run again. `data`, the loss of Li et al., also writes
`meshgnn/weights/ic_poisson.pt`, which `times` uses.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from time import perf_counter

import numpy as np
import torch
from numba import njit
from scipy.sparse import csc_array, csr_array, csr_matrix
from scipy.sparse.linalg import LinearOperator, cg, splu

import meshgnn as mg
from meshgnn.fem import multigrid
from meshgnn.geometry.domains import FAMILIES
from meshgnn.preconditioner import (
    Factor,
    LearnedIC,
    data_loss,
    frobenius_loss,
    incomplete_cholesky,
    training_graph,
)
from meshgnn.problems import LinearElasticity, Poisson

HERE = Path(__file__).resolve().parent
WEIGHTS = HERE.parent.parent / "meshgnn" / "weights" / "ic_poisson.pt"
TRAINED = ("cut_square", "polygon", "annulus")
UNSEEN = ("l_shape", "plate_with_holes", "disc_with_holes")
LOW, HIGH = 0.022, 0.045  # edge lengths that training meshes are drawn from
LOSSES = {
    "data": data_loss,
    "frobenius": frobenius_loss,
    "both": lambda model, graph: data_loss(model, graph) + frobenius_loss(model, graph),
}


def system(seed: int, number: int, family: str | None = None, scale: float = 1.0) -> csr_matrix:
    """Matrix of the free unknowns; mesh, size and problem follow from (seed, number)."""
    rng = np.random.default_rng([seed, number])
    family = family or TRAINED[number % 3]
    size = scale * np.exp(rng.uniform(np.log(LOW), np.log(HIGH)))
    mesh = FAMILIES[family](rng, size)
    contrast = (1.0, 10.0, 100.0)[number // 3 % 3]
    problem = Poisson.draw(mesh, rng, contrast=contrast, neumann=0.2, robin=0.1).system(mesh)
    return csr_matrix(problem.matrix[problem.free][:, problem.free])


def elastic(number: int) -> csr_matrix:
    mesh = FAMILIES["polygon"](np.random.default_rng([6, number]), 0.04)
    problem = LinearElasticity(dirichlet={"*": 0.0}).system(mesh)
    return csr_matrix(problem.matrix[problem.free][:, problem.free])


def direct(matrix: csr_matrix) -> Callable[[np.ndarray], np.ndarray]:
    options = {"SymmetricMode": True}
    return splu(matrix.tocsc(), "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options).solve


def modified(matrix: csr_matrix, share: float) -> Factor:
    """MIC(0): this share of what the pattern drops goes to the diagonal, so that L Lᵀ v ≈ Â v."""
    factor = incomplete_cholesky(matrix)
    n = len(factor.order)
    below = csc_array(csr_array((factor.matrix, factor.column, factor.start), shape=(n, n)))
    below.sort_indices()
    data, v = below.data.copy(), 1 / factor.scale[factor.order]
    diagonal = _modified(below.indptr, below.indices, data, v, share)
    rows = csr_array(csc_array((data, below.indices, below.indptr), shape=(n, n)))
    rows.sort_indices()
    return factor.corrected(rows.data, diagonal)


@njit(cache=True)
def _modified(start, row, entry, v, share):
    diagonal = np.ones(len(v))
    for k in range(len(v)):
        diagonal[k] = np.sqrt(max(diagonal[k], 1e-6))
        for e in range(start[k], start[k + 1]):
            entry[e] /= diagonal[k]
        for e in range(start[k], start[k + 1]):
            j = row[e]
            diagonal[j] -= entry[e] ** 2
            for g in range(e + 1, start[k + 1]):
                i, product, kept = row[g], entry[e] * entry[g], False
                for q in range(start[j], start[j + 1]):
                    if row[q] == i:
                        entry[q] -= product
                        kept = True
                        break
                if not kept:
                    diagonal[i] -= share * product * v[j] / v[i]
                    diagonal[j] -= share * product * v[i] / v[j]
    return diagonal


def solve(matrix: csr_matrix, b: np.ndarray, operator: LinearOperator) -> float:
    """Iterations, infinitely many where the residual does not get there."""
    steps: list[np.ndarray] = []
    options = {"rtol": 1e-8, "atol": 0.0, "maxiter": 20_000}
    x, failed = cg(matrix, b, M=operator, callback=steps.append, **options)
    failed = failed or np.linalg.norm(b - matrix @ x) > 2e-8 * np.linalg.norm(b)
    return float("inf") if failed else len(steps)


def train(name: str) -> tuple[LearnedIC, dict]:
    """The model of one loss, and what its training took."""
    graphs = []
    for number in range(200):
        matrix = system(0, number)
        graphs.append(training_graph(matrix, direct(matrix), np.random.default_rng([9, number])))
    torch.manual_seed(0)
    model = LearnedIC()
    begin = perf_counter()
    options = {"epochs": 15, "batch_size": 4, "lr": 5e-3, "seed": 0}
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


def iterations(model: LearnedIC) -> dict:
    """Means of the iterations over systems, and each over that of IC(0)."""
    cases = {
        "held out": [system(77, i) for i in range(18)],
        "h / 2": [system(78, i, scale=0.5) for i in range(9)],
        "h / 4": [system(78, i, scale=0.25) for i in range(3)],
        **{f: [system(79, i, f) for i in range(9)] for f in UNSEEN},
        "elasticity, never trained on": [elastic(i) for i in range(3)],
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
    """Seconds of set-up and of one right-hand side, and from how many of them the learned pays."""
    methods = {
        "IC(0)": lambda a: incomplete_cholesky(a).operator(),
        "learned": model.operator,
        "MIC(0), 0.95": lambda a: modified(a, 0.95).operator(),
        "multigrid": lambda a: multigrid(a).aspreconditioner(cycle="V"),
        "direct": direct,
    }
    result: dict = {"machine": f"shared machine, {os.cpu_count()} cores, one thread, medians of 5"}
    for n, size in ((1_000, 0.0414), (10_000, 0.0131), (100_000, 0.00415)):
        mesh = FAMILIES["cut_square"](np.random.default_rng(3), size)
        problem = Poisson.draw(mesh, np.random.default_rng(3), contrast=10.0).system(mesh)
        matrix = csr_matrix(problem.matrix[problem.free][:, problem.free])
        b = np.random.default_rng(0).standard_normal(matrix.shape[0])
        table = {name: timed(matrix, b, build) for name, build in methods.items()}
        for name, row in table.items():
            if name != "learned":
                row["break-even of learned"] = break_even(table["learned"], row)
        result[f"{n}"] = {"unknowns": matrix.shape[0], **table}
        print(json.dumps(result[f"{n}"], indent=1), flush=True)
    return result


def timed(matrix: csr_matrix, b: np.ndarray, build: Callable) -> dict:
    setup, each, count = [], [], None
    for _ in range(5):
        begin = perf_counter()
        operator = build(matrix)
        setup.append(perf_counter() - begin)
        begin = perf_counter()
        if isinstance(operator, LinearOperator):
            count = solve(matrix, b, operator)
        else:
            operator(b)
        each.append(perf_counter() - begin)
    found = {"set-up s": median(setup), "solve s": median(each), "iterations": count}
    return {k: v if v is None else float(f"{v:.3g}") for k, v in found.items()}


def break_even(learned: dict, other: dict) -> str:
    """From how many right-hand sides set-up + k · solve of the learned is the smaller."""
    gain = other["solve s"] - learned["solve s"]
    extra = learned["set-up s"] - other["set-up s"]
    if gain <= 0:
        return "never" if extra >= 0 else f"up to {int(extra / gain)} right-hand sides only"
    return f"from {max(1, int(extra / gain) + 1)} right-hand sides"


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

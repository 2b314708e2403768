"""Elliptic solvers beside the trivial predictors and the classical solver: every table in docs.

    python scripts/benchmarks/elliptic.py              # everything, some three hours of one core
    python scripts/benchmarks/elliptic.py corner_900   # one of them
    python scripts/benchmarks/elliptic.py tables       # docs/elliptic.md from the results

One file per configuration in `results/elliptic_<name>.json`, skipped when present; delete it to run
again. Every run is one process of one thread; start several for several cores. Errors are
mass-weighted relative L2 to P1 on the same mesh (finite volumes on a lattice), means over samples;
"to P2" is the distance to P2 at the same nodes, and the row "label itself" that of the label.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from elliptic_data import samples

import meshgnn as mg
from meshgnn.metrics import evaluate, inverse_distance, mean_value, nearest_sample, zero
from meshgnn.models import MODELS
from meshgnn.sample import Sample

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Run:
    """One configuration.

    Args:
        train: set and number of samples to train on; seed 0.
        tests: {title: (set, number)}, seed 1; titles are those of the tables.
        model: options of the model.
        fit: options of `fit`.
        name: of the model in `MODELS`.
        labels: "p1" or "p2" to train on.
        compare: whether the trivial predictors stand beside.
        seed: of weights and order.
    """

    train: tuple[str, int]
    tests: dict[str, tuple[str, int]]
    model: dict[str, Any] = field(default_factory=dict)
    fit: dict[str, Any] = field(default_factory=lambda: {"epochs": 2})
    name: str = "BENO"
    labels: str = "p1"
    compare: bool = False
    seed: int = 0


FOUR = {"four corners": ("corner-4", 100)}
SHAPES = {f"{n} corners": (f"corner-{n}", 100) for n in (3, 2, 1, 0)}
FINER = {"four corners, h/2": ("corner-half", 50), "square with a hole": ("hole", 100)}
LATTICE = {f"lattice, {n} corners": (f"lattice-{n}", 100) for n in (4, 3, 2, 1, 0)}
BALANCED = {"‖u_f‖ = ‖u_g‖": ("corner-balanced", 100)}
ELECTRIC = {
    "1 to 3 discs": ("loetzsch-validation-random", 100),
    "4 and 5 discs": ("loetzsch-superposition-random", 100),
    "U": ("loetzsch-shape-random", 100),
}
NET = {"width": 64, "blocks": 8, "hidden": 1, "slices": 16}
RUNS = {
    "corner_900": Run(("corner-4", 900), FOUR | SHAPES | FINER | BALANCED, compare=True),
    "corner_300": Run(("corner-4", 300), FOUR, fit={"epochs": 6}),
    "corner_90": Run(("corner-4", 90), FOUR, fit={"epochs": 20}),
    "corner_900_seed1": Run(("corner-4", 900), FOUR | SHAPES, seed=1),
    "corner_900_seed2": Run(("corner-4", 900), FOUR | SHAPES, seed=2),
    "corner_900_no_tokens": Run(("corner-4", 900), FOUR, {"boundary_encoder": False}),
    "corner_900_nonlinear": Run(("corner-4", 900), FOUR | SHAPES, {"preset": "nonlinear"}),
    "corner_900_p2": Run(
        ("corner-4", 900), FOUR | SHAPES | FINER, {"learned_operator": True}, labels="p2"
    ),
    "mixed_900": Run(("corner-mixed", 900), {"mixed": ("corner-mixed", 100)}, compare=True),
    "lattice_900": Run(("lattice-4", 900), LATTICE, {"learned_operator": True}, compare=True),
    "lattice_900_fixed_operator": Run(("lattice-4", 900), LATTICE),
    "box": Run(("box", 60), {"box with hole": ("box", 10)}, {"dim": 3}, {"epochs": 1}),
    "elasticity": Run(
        ("elastic", 300),
        {"plate with holes": ("elastic", 60)},
        {"equation": "elasticity"},
        {"epochs": 6},
        compare=True,
    ),
    "materials": Run(
        ("materials", 300), {"contrast 1,000": ("materials", 60)}, fit={"epochs": 6}, compare=True
    ),
    "packaged": Run(("many", 420), {"held out": ("many", 70)}, fit={"epochs": 4}, compare=True),
    "loetzsch_random": Run(
        ("loetzsch-train-random", 400), ELECTRIC, fit={"epochs": 6}, compare=True
    ),
    "loetzsch_fixed": Run(("loetzsch-train-fixed", 400), ELECTRIC, fit={"epochs": 6}),
    "loetzsch_random_net": Run(
        ("loetzsch-train-random", 400), ELECTRIC, NET, {"epochs": 15, "lr": 1e-3}, "MeshGraphNet"
    ),
    "loetzsch_fixed_net": Run(
        ("loetzsch-train-fixed", 400), ELECTRIC, NET, {"epochs": 15, "lr": 1e-3}, "MeshGraphNet"
    ),
    "paper": Run(
        ("lattice-blurred", 300),
        {"lattice, 4 corners": ("lattice-blurred", 100)},
        {"preset": "paper"},
        {"epochs": 1, "lr": 3e-4, "batch_size": 4},
        compare=True,
    ),
}


def main() -> None:
    torch.set_num_threads(1)
    names = sys.argv[1:] or [*RUNS, "ablations", "tables"]
    for name in names:
        if name == "tables":
            from elliptic_tables import write

            write()
            continue
        path = RESULTS / f"elliptic_{name}.json"
        if path.exists():
            print(f"{path.name} is there already")
            continue
        if name == "ablations":
            from elliptic_ablations import ablations

            result = ablations(*map(trained, ("corner_900", "corner_900_nonlinear", "mixed_900")))
        else:
            result = run(name)
        path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


def trained(name: str) -> torch.nn.Module:
    """The model that a configuration trained; trains it where its weights are not there."""
    path = RESULTS.parent / "data" / "elliptic" / f"{name}.pt"
    if not path.exists():
        train(name)
    return mg.load(path)


def train(name: str) -> dict[str, Any]:
    """Train and keep one configuration; what it cost."""
    plan = RUNS[name]
    data = samples(plan.train[0], 0, plan.train[1], plan.labels == "p2")
    torch.manual_seed(plan.seed)
    model = MODELS[plan.name](**plan.model)
    graphs = mg.MeshDataset(data)
    begin = perf_counter()
    options = {"lr": 3e-3, "batch_size": 8} | plan.fit
    history = mg.fit(model, graphs, seed=plan.seed, **options)
    seconds = perf_counter() - begin
    mg.save(model, RESULTS.parent / "data" / "elliptic" / f"{name}.pt")
    return {
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "nodes": round(float(np.mean([s.mesh.num_nodes for s in data]))),
        "train_seconds": round(seconds, 1),
        "threads": torch.get_num_threads(),
        "epochs": len(history.train),
        "loss": [float(f"{x:.4g}") for x in history.train],
    }


def run(name: str) -> dict[str, Any]:
    """Train, then measure on every test set beside what needs no training."""
    plan = RUNS[name]
    cost = train(name)
    model = trained(name)
    torch.manual_seed(plan.seed)
    untrained = MODELS[plan.name](**plan.model)
    if hasattr(untrained, "fit_statistics"):
        untrained.fit_statistics(list(mg.MeshDataset(samples(*_first(plan.train)))))
    predictors: dict[str, Callable[[Sample], Any]] = {
        "learned": lambda sample: mg.predict(model, sample),
        "untrained": lambda sample: mg.predict(untrained, sample),
    }
    if plan.compare:
        known = samples(plan.train[0], 0, plan.train[1])
        predictors |= {
            "zero": zero,
            "mean of u": mean_value(known),
            "inverse distance": inverse_distance,
            "nearest training sample": nearest_sample(known),
        }
    result: dict[str, Any] = {"configuration": asdict(plan), **cost, "tests": {}}
    for title, (kind, count) in plan.tests.items():
        result["tests"][title] = measured(kind, count, predictors, f"{name}: {title}")
    return result


def measured(
    kind: str, count: int, predictors: dict[str, Callable[[Sample], Any]], title: str
) -> dict[str, dict[str, float]]:
    """{predictor: {metric: value}} on one test set, with the distance to P2 where there is one."""
    truth = samples(kind, 1, count)
    table = evaluate(truth, predictors)
    table.show(title)
    rows = {name: dict(row) for name, row in table.rows.items()}
    if truth[0].label_error is not None:
        finer = evaluate(samples(kind, 1, count, True), predictors).rows
        for name in predictors:
            rows[name]["to_p2"] = finer[name]["relative_l2"]
    direct = np.median([sample.meta["direct_seconds"] for sample in truth])
    rows["classical"] = {"relative_l2": 0.0, "seconds": float(direct)}
    rows["classical"]["nodes"] = float(np.mean([sample.mesh.num_nodes for sample in truth]))
    return {k: {m: float(f"{v:.4g}") for m, v in row.items()} for k, row in rows.items()}


def _first(train: Sequence[Any]) -> tuple[str, int, int]:
    """A few training samples, for the normalisation of an untrained network."""
    return train[0], 0, min(train[1], 32)


if __name__ == "__main__":
    main()

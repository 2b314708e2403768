"""A field anywhere in space and time from one node in ten: `Observer` beside simpler predictors.

    python scripts/benchmarks/observer.py                   # everything: some 15 minutes of a core
    python scripts/benchmarks/observer.py observer sparse   # without the ablation

Data and weights are kept in `data/observer/`; training goes on where it was stopped. What is
measured goes to `results/observer.json` and from there to `docs/observer.md`: delete it to measure
again.
"""

import json
import sys
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from observer_data import FOLDER, samples, thinned
from observer_measures import SEED, measured, sparse
from observer_tables import write

import meshgnn as mg
from meshgnn import losses
from meshgnn.models import MODELS

RESULTS = Path(__file__).resolve().parent / "results" / "observer.json"
TRAINED, HELD_OUT, TESTED, BUNDLE = 64, 8, 16, 10
SIZES = {"inputs": 2, "params": 1, "history": 2}
RUNS: dict[str, dict[str, Any]] = {
    "observer": {"model": {"width": 48}},
    "no_drop": {"model": {"width": 48, "drop": 0.0}},
    "sparse": {"model": {"width": 48, "blocks": 3, "hidden": 1, "bundle": 2}, "epochs": 10},
}


def main() -> None:
    torch.set_num_threads(1)
    cost = {name: train(name) for name in sys.argv[1:] or RUNS}
    if not {"observer", "sparse"} <= cost.keys() or RESULTS.exists():
        return
    models = {name: mg.load(FOLDER / f"{name}.pt") for name in cost}
    result = {"training": cost, **measured(models, samples(2, TESTED), BUNDLE)}
    RESULTS.write_text(json.dumps(rounded(result), indent=1) + "\n")
    write()


def train(name: str) -> dict[str, Any]:
    """Train and keep one of them; what it cost."""
    path, costs = FOLDER / f"{name}.pt", FOLDER / f"{name}.json"
    if path.exists() and costs.exists():
        return json.loads(costs.read_text())
    torch.manual_seed(SEED)
    options = SIZES | {"bundle": BUNDLE} | RUNS[name]["model"]
    model = MODELS["MeshGraphNet" if name == "sparse" else "Observer"](**options)
    sets = [[thinned(s) for s in samples(seed, n)] for seed, n in ((0, TRAINED), (1, HELD_OUT))]
    loss = None
    if name == "sparse":
        sets = [[sparse(s) for s in one] for one in sets]
        loss = losses.unrolled(BUNDLE // options["bundle"])
    data, rest = (
        mg.MeshDataset(one, 2, BUNDLE, stride) for one, stride in zip(sets, (1, 9), strict=True)
    )
    begin = process_time()
    history = mg.fit(
        model,
        data,
        epochs=RUNS[name].get("epochs", 6),
        batch_size=4,
        lr=2e-3,
        loss=loss,
        seed=SEED,
        validation=rest,
        checkpoint=FOLDER / f"{name}_training.pt",
        save_every=1,
    )
    done = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "windows": len(data),
        "epochs": len(history),
        "cpu_seconds": process_time() - begin,
        "loss": list(history.train),
        "validation": list(history.validation),
    }
    mg.save(model, path)
    costs.write_text(json.dumps(rounded(done)))
    return done


def rounded(value: Any) -> Any:
    """Four digits, which is more than is reproducible."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    return float(f"{value:.4g}") if isinstance(value, float | np.floating) else value


if __name__ == "__main__":
    main()

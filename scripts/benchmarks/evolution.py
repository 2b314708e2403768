"""Time-dependent solvers beside persistence, DMD and the classical solver: every table in docs.

    python scripts/benchmarks/evolution.py              # everything: many hours of two cores
    python scripts/benchmarks/evolution.py e1_100       # one of them
    python scripts/benchmarks/evolution.py tables       # docs/evolution.md from the results

One file per configuration in `results/evolution_<name>.json`, skipped when present; delete it to
run again. Training goes on from its checkpoint when it was stopped. Each run is one process, of as
many threads as OMP_NUM_THREADS says. What is measured on a set is in `evolution_measures.py`.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from evolution_classical import baselines
from evolution_data import thinned
from evolution_measures import measured
from evolution_runs import RUNS, Run

import meshgnn as mg
from meshgnn import losses
from meshgnn.models import MODELS
from meshgnn.models.mp_pde.paper import PaperNet

RESULTS = Path(__file__).resolve().parent / "results"
KEPT = RESULTS.parent / "data" / "evolution"


def main() -> None:
    for name in sys.argv[1:] or [*RUNS, "tables"]:
        if name == "tables":
            from evolution_tables import write

            write()
            continue
        path = RESULTS / f"evolution_{name}.json"
        if path.exists():
            print(f"{path.name} is there already")
            continue
        plan = RUNS[name]
        result = baselines(name) if plan is None else run(name, plan)
        path.write_text(json.dumps(rounded(result), indent=1, ensure_ascii=False) + "\n")


def run(name: str, plan: Run) -> dict[str, Any]:
    """Train, then march through every test set."""
    cost = train(name, plan)
    model = mg.load(KEPT / f"{name}.pt")
    tests = {t: measured(model, plan, kind, n) for t, (kind, n) in plan.tests.items()}
    return {"configuration": asdict(plan), **cost, "tests": tests}


def train(name: str, plan: Run) -> dict[str, Any]:
    """Train and keep one configuration; what it cost."""
    path, cost = KEPT / f"{name}.pt", KEPT / f"{name}_cost.json"
    if path.exists() and cost.exists():
        return json.loads(cost.read_text())
    sets = [plan.train, plan.beside] if plan.beside else [plan.train]
    data = [s for kind in sets for s in thinned(kind, 0, plan.every, plan.blind)]
    torch.manual_seed(plan.seed)
    model = mg.load(KEPT / f"{plan.after}.pt") if plan.after else built(plan, data[0])
    history, bundle = model.hparams["history"], model.hparams["bundle"]
    graphs = mg.MeshDataset(data, history, bundle * plan.depth, plan.stride)
    begin, cpu = perf_counter(), process_time()
    options = {"lr": 1e-3, "batch_size": 16, "save_every": 1, "progress": False} | plan.fit
    checkpoint = KEPT / f"{name}_training.pt"
    options |= {"seed": plan.seed, "keep_statistics": bool(plan.after)}
    done = mg.fit(model, graphs, loss=loss_of(plan), checkpoint=checkpoint, **options)
    result = {
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "nodes": round(float(np.mean([s.mesh.num_nodes for s in data]))),
        "windows": len(graphs),
        "steps": len(done.train) * -(-len(graphs) // options["batch_size"]),
        "train_seconds": sum(done.seconds),
        "cpu_seconds": process_time() - cpu,
        "last_start_seconds": perf_counter() - begin,
        "threads": torch.get_num_threads(),
        "epochs": len(done.train),
        "loss": list(done.train),
    }
    mg.save(model, path)
    cost.write_text(json.dumps(rounded(result)))
    return result


def built(plan: Run, sample: mg.Sample) -> torch.nn.Module:
    """The untrained model for samples of this kind."""
    sizes: dict[str, Any] = {"dim": sample.mesh.points.shape[1], "channels": sample.channels}
    sizes |= {"params": len(sample.params), "inputs": sample.inputs.shape[1]}
    model = MODELS[plan.name](**sizes | plan.model)
    if plan.wrapper is None:
        return model
    name, options = plan.wrapper
    return MODELS[name](model, **options)


def loss_of(plan: Run) -> losses.Loss | None:
    """The loss by its name; None is that of the model."""
    kinds: dict[str, Any] = {
        "one_step": lambda: losses.one_step,
        "model": lambda: None,
        "pushforward": lambda: losses.pushforward(plan.depth),
        "random_pushforward": lambda: losses.RandomPushforward(
            plan.depth, warm_up=0 if plan.after else 1
        ),
        "unrolled": lambda: losses.unrolled(plan.depth),
        "derivative": lambda: losses.derivative(plan.depth),
        "published": lambda: losses.RandomPushforward(plan.depth, PaperNet.loss),
    }
    loss = kinds[plan.loss]()
    return losses.short_history(loss, plan.alone) if plan.alone else loss


def rounded(value: Any) -> Any:
    """Four digits, which is more than is reproducible."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    return float(f"{value:.4g}") if isinstance(value, float | np.floating) else value


if __name__ == "__main__":
    main()

"""Fluxes, one evaluation an edge, beside directed edges: accuracy and speed.

    python scripts/benchmarks/flux.py              # what is missing, some forty minutes of a core

Poisson's equation and linear elasticity on cut squares, and Burgers' equation on a periodic square,
where a step of the model is 0.04 s, by single steps and by four on its own answers: the same
samples, seeds, sizes, steps and learning rates for every form; only `edges` differs. Errors are
mass-weighted relative L2, means over samples; of Burgers over marches of 20 steps. Speed: forward
and forward + backward at width 128, 15 blocks, 2,000 nodes, all forms in turn, the least CPU time
of each. Results: `results/flux.json`; the tables of `docs/scale.md` are made by `scale_tables.py`.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch

from meshgnn.allocator import keep_freed_memory
from meshgnn.benchmark.measure import unsolved
from meshgnn.checkpoint import predict
from meshgnn.geometry.periodic import periodic_square
from meshgnn.graph import MeshDataset, to_graph
from meshgnn.losses import one_step, relative_l2_loss, unrolled
from meshgnn.marching import rollout
from meshgnn.metrics import relative_l2
from meshgnn.models import MeshGraphNet
from meshgnn.problems import Burgers
from meshgnn.sample import Sample
from meshgnn.simulate import draw_sample
from meshgnn.train import fit

RESULTS = Path(__file__).resolve().parent / "results" / "flux.json"
FORMS = ("directed", "antisymmetric", "symmetric", "mixed")
SEEDS, SIZES, MARCH = (0, 1), {"width": 64, "hidden": 2}, 20


def poisson(seed: int, count: int) -> list[Sample]:
    """Some 85 nodes each."""
    return [draw_sample("Poisson", "cut_square", seed, i, 0.15) for i in range(count)]


def elasticity(seed: int, count: int) -> list[Sample]:
    """Loads and materials of two constants, some 85 nodes each."""
    return [draw_sample("LinearElasticity", "cut_square", seed, i, 0.15) for i in range(count)]


def burgers(seed: int, count: int) -> list[Sample]:
    """144 nodes, 41 states of 0.04 s; no inputs."""
    mesh, samples = periodic_square(0.1), []
    for i in range(count):
        draw = Burgers.draw(mesh, np.random.default_rng([seed, i]), frames=160, dt=1e-2, refine=1)
        full = draw.solve(mesh)
        none = {"inputs": np.zeros((mesh.num_nodes, 0)), "names": full.names | {"inputs": []}}
        samples.append(replace(full, times=full.times[::4], u=full.u[::4], **none))
    return samples


def of_field(model: torch.nn.Module, sample: Sample) -> float:
    return relative_l2(predict(model, sample).u, sample.u, sample.mesh.lumped_mass)


def of_march(model: torch.nn.Module, sample: Sample) -> float:
    """Over all steps of a march from the first state."""
    found = rollout(model, sample, MARCH).u
    return relative_l2(found[1:], sample.u[1 : MARCH + 1], sample.mesh.lumped_mass)


Case = tuple[Callable[[int, int], list[Sample]], tuple[int, int], dict, dict, Callable, Callable]
_FIELD = {"epochs": 40}, relative_l2_loss, of_field
_STEP = {"blocks": 4, "channels": 2, "inputs": 0, "params": 1, "history": 1}
DEPTH = {"Burgers, unrolled": 4}  # steps on its own answers
CASES: dict[str, Case] = {
    "Poisson": (poisson, (128, 48), {"blocks": 8}, *_FIELD),
    "elasticity": (elasticity, (128, 48), {"blocks": 8, "channels": 2, "inputs": 4}, *_FIELD),
    "Burgers": (burgers, (16, 8), _STEP, {"epochs": 8}, one_step, of_march),
    "Burgers, unrolled": (burgers, (16, 8), _STEP, {"epochs": 4}, unrolled(4), of_march),
}


def trained(case: str, form: str, seed: int, data: tuple[list[Sample], list[Sample]]) -> dict:
    """One network: held-out error and what its training cost."""
    _, _, sizes, options, loss, error = CASES[case]
    torch.manual_seed(seed)
    model = MeshGraphNet(edges=form, **SIZES, **sizes)
    graphs = MeshDataset(data[0], sizes.get("history", 0), DEPTH.get(case, 1))
    begin = process_time()
    options = options | {"batch_size": 8, "lr": 1e-3, "seed": seed, "accelerator": "cpu"}
    history = fit(model, graphs, loss=loss, progress=False, **options)
    seconds = process_time() - begin
    held_out = float(np.mean([error(model, sample) for sample in data[1]]))
    row = {"case": case, "form": form, "seed": seed, "trained": history.train[-1]}
    count = sum(p.numel() for p in model.parameters())
    row |= {"steps": len(history.train) * -(-len(graphs) // 8), "parameters": count}
    return row | {"held_out": held_out, "cpu_s": seconds}


def speed(nodes: int = 2000, repeats: int = 7) -> list[dict[str, Any]]:
    """Times of all forms in turn, and how many times faster than directed edges they are."""
    graph, models = to_graph(unsolved(nodes)), {}
    for form in FORMS:
        torch.manual_seed(0)
        models[form] = MeshGraphNet(width=128, blocks=15, activation="relu", edges=form)
    times: dict[str, dict[str, float]] = {form: {} for form in FORMS}
    for _ in range(repeats):
        for form, model in models.items():
            for key, train in (("forward_ms", False), ("train_ms", True)):
                model.zero_grad(set_to_none=True)
                begin = process_time()
                with torch.set_grad_enabled(train):
                    field = model(graph)
                if train:
                    field.square().mean().backward()
                ms = 1e3 * (process_time() - begin)
                times[form][key] = min(ms, times[form].get(key, ms))
    rows = []
    for form, found in times.items():
        gain = {f"{k[:-3]}_gain": times["directed"][k] / ms for k, ms in found.items()}
        rows.append({"form": form, "nodes": nodes, **found, **gain})
    return rows


def main() -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"runs": []}
    done = {(row["case"], row["form"], row["seed"]) for row in found["runs"]}
    for seed in SEEDS:
        for case, (draw, (train, test), *_) in CASES.items():
            left = [form for form in FORMS if (case, form, seed) not in done]
            data = (draw(0, train), draw(1, test)) if left else ([], [])
            for form in left:
                found["runs"].append(trained(case, form, seed, data))
                RESULTS.write_text(json.dumps(found, indent=1) + "\n")
                print(found["runs"][-1], flush=True)
    if "speed" not in found:
        found["speed"] = speed()
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        print(*found["speed"], sep="\n")


if __name__ == "__main__":
    main()

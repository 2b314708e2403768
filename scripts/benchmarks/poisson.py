"""What each model learns of Poisson's equation from the demo's 300 samples, beside the baselines.

    python scripts/benchmarks/poisson.py            # all configurations, about an hour on two cores
    python scripts/benchmarks/poisson.py beno       # one of them

Training families: cut squares, polygons, annuli. Tests: 60 samples of these families, and 30 draws
on `meshes/plate.msh`, a shape of none of them. One file per configuration and seed in `results/`,
skipped when present; delete it to run again. Errors are mass-weighted relative L2 to P1 on the
same mesh, means over samples.
"""

import json
import os
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

import meshgnn as mg
from meshgnn.metrics import evaluate, inverse_distance, nearest_sample, zero
from meshgnn.models import MODELS
from meshgnn.problems import Poisson
from meshgnn.simulate import simulate

HERE = Path(__file__).resolve().parent
FAMILIES = ["cut_square", "polygon", "annulus"]
SMALL = {"width": 64, "blocks": 8, "hidden": 1}
CONFIGURATIONS = {
    "beno": ("BENO", {}, {"epochs": 4, "lr": 3e-3}),
    "mesh_graph_net_global": ("MeshGraphNet", SMALL | {"slices": 16}, {"epochs": 25, "lr": 1e-3}),
    "mesh_graph_net_local": ("MeshGraphNet", SMALL, {"epochs": 25, "lr": 1e-3}),
}


def main() -> None:
    simulate("Poisson", FAMILIES, 360, HERE / "data" / "poisson", seed=0)
    graphs = mg.MeshDataset(HERE / "data" / "poisson")
    train, test = graphs[:300], graphs.samples[300:]
    plate = mg.read(HERE.parent.parent / "meshes" / "plate.msh")
    problems = [Poisson.draw(plate, np.random.default_rng([7, i])) for i in range(30)]
    unseen = [problem.solve(plate) for problem in problems]
    for name in sys.argv[1:] or CONFIGURATIONS:
        path = HERE / "results" / f"poisson_{name}_seed0.json"
        if path.exists():
            print(f"{path.name} is there already")
            continue
        result = run(name, train, graphs.samples[:300], {"seen families": test, "plate": unseen})
        path.write_text(json.dumps(result, indent=1) + "\n")


def run(name: str, train, samples: list, tests: dict) -> dict:
    kind, sizes, options = CONFIGURATIONS[name]
    torch.manual_seed(0)
    model = MODELS[kind](**sizes)
    untrained = MODELS[kind](**sizes)
    untrained.load_state_dict(model.state_dict())
    begin = perf_counter()
    history = mg.fit(model, train, batch_size=8, seed=0, **options)
    seconds = perf_counter() - begin
    predictors = {
        "learned": lambda sample: mg.predict(model, sample),
        "untrained": lambda sample: mg.predict(untrained, sample),
        "zero": zero,
        "inverse distance": inverse_distance,
        "nearest training sample": nearest_sample(samples),
    }
    result = {
        "model": kind,
        "hparams": model.hparams,
        "parameters": sum(p.numel() for p in model.parameters()),
        "training": {"samples": len(samples), "batch_size": 8, "seed": 0, **options},
        "seconds": round(seconds, 1),
        "cores": os.cpu_count(),
        "final_loss": history.train[-1],
    }
    for title, solved in tests.items():
        table = evaluate(solved, predictors)
        table.show(f"{name}: {title}")
        result[title] = {
            k: {m: float(f"{v:.4g}") for m, v in r.items()} for k, r in table.rows.items()
        }
    return result


if __name__ == "__main__":
    main()

"""Fields on varying shapes: `MMGP` beside graph networks, the nearest sample and the mean field.

    python scripts/benchmarks/shapes.py            # whatever is not measured yet, then the page
    python scripts/benchmarks/shapes.py plate_mmgp aerofoil_mmgp
    MINUTES=4 python scripts/benchmarks/shapes.py aerofoil_local aerofoil_global
    python scripts/benchmarks/shapes.py tables     # docs/shapes.md from the result files alone

A family is 100 shapes for training and 50 for tests (`shapes_data.py`), 60 and 30 of the solid
heat sinks, kept in `data/shapes/`.
Every run has a file in `results/`: delete it to measure again. Graph networks get `MINUTES` minutes
of one core each (8 unless said; the table gives what was used), `MMGP` what it takes.
"""

import json
import os
import sys
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from sets import files
from shapes_data import DATA, write
from shapes_tables import RESULTS, tables

import meshgnn as mg
from meshgnn.graph import MeshDataset, to_graph
from meshgnn.losses import relative_l2_loss
from meshgnn.metrics import relative_l2
from meshgnn.models import MODELS
from meshgnn.sample import Sample

TRAINED, TESTED = 100, 50
MINUTES = float(os.environ.get("MINUTES", "8"))
COUNTS = {"heatsink": (60, 30)}
SEEDS = 0, 2  # 1 are the shapes that settings were chosen with
LOCAL = {"width": 48, "blocks": 8, "hidden": 1}
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "local": ("MeshGraphNet", LOCAL),
    "global": ("MeshGraphNet", LOCAL | {"slices": 16}),
    "beno": ("BENO", {"width": 24, "layers": 6}),
}
ELASTIC = ("plate", "plate_wide")
FAMILIES: dict[str, dict[str, Any]] = {
    "plate": {"linear": [0, 1]},
    "plate_wide": {"linear": [0, 1]},
    "aerofoil": {"linear": [0]},
    "heatsink": {"linear": [0]},
}
RUNS = [f"{family}_mmgp" for family in FAMILIES]
RUNS += [f"{family}_{name}" for family in ("plate", "aerofoil", "heatsink") for name in NETWORKS]


def main() -> None:
    torch.set_num_threads(1)
    for run in [name for name in sys.argv[1:] or RUNS if name != "tables"]:
        path = RESULTS / f"shapes_{run}.json"
        if not path.exists():
            family, model = run.rsplit("_", 1)
            found = mmgp(family) if model == "mmgp" else network(family, model)
            path.write_text(json.dumps(rounded(found), indent=1) + "\n")
            print(run, found, flush=True)
    tables(RUNS)


def sets(family: str) -> tuple[list[Sample], list[Sample]]:
    """Training and test samples."""
    counts = zip(SEEDS, COUNTS.get(family, (TRAINED, TESTED)), strict=True)
    paths = [files(DATA / family / str(seed), n, write(family, seed)) for seed, n in counts]
    train, test = ([Sample.load(p) for p in part] for part in paths)
    return train, test


def mmgp(family: str) -> dict[str, Any]:
    """Fit, test errors, coverage and time of `MMGP`, and the two predictors that it brings."""
    train, test = sets(family)
    data = MeshDataset(train)
    model = made("MMGP", data, FAMILIES[family])
    begin = process_time()
    mg.fit(model, data, epochs=1, progress=False)
    found: dict[str, Any] = {"fit_seconds": process_time() - begin, "samples": len(train)}
    found |= {"nodes": sizes(train + test), "modes": modes(model)}
    fields, bands, times, walls = [], [], [], []
    for sample in test:
        begin, wall = process_time(), perf_counter()
        fields.append(mg.predict(model, sample).u)
        times.append(process_time() - begin)
        walls.append(perf_counter() - wall)
        bands.append(mg.predict(model, sample, uncertainty=True).u[0, :, sample.channels :])
    found |= {"errors": errors(fields, test), "milliseconds": 1e3 * float(np.median(times))}
    found |= {"wall_milliseconds": 1e3 * float(np.median(walls))}
    inside = [covered(*row) for row in zip(fields, bands, test, strict=True)]
    found["coverage"] = float(np.concatenate(inside).mean())
    found["coverage_of_shapes"] = np.quantile([i.mean() for i in inside], [0, 0.1, 0.5]).tolist()
    actual = np.array(
        [relative_l2(f, s.u, s.mesh.lumped_mass) for f, s in zip(fields, test, strict=True)]
    )
    expected = [np.sqrt((b**2).mean()) for b in bands]
    found["rank_of_band"] = float(np.corrcoef(ranks(actual), ranks(np.array(expected)))[0, 1])
    graphs = list(data)
    with torch.no_grad():
        found |= simple(model, graphs, test)
    return found


def simple(model: Any, graphs: list[Any], test: list[Sample]) -> dict[str, Any]:
    """Errors of the mean field and of the nearest sample, on the reference and back."""
    known = [model.description(graph) for graph in graphs]
    solved = [e.laid.to_reference(g.y[:, 0].double()) for e, g in zip(known, graphs, strict=True)]
    mean, places = torch.stack(solved).mean(dim=0), torch.stack([e.z for e in known])
    size = torch.stack([e.size for e in known])
    out: dict[str, list[np.ndarray]] = {"mean": [], "nearest": []}
    for sample in test:
        here = model.description(to_graph(sample))
        near = int((places - here.z).norm(dim=1).argmin())
        out["mean"].append(exact(sample, here.laid.to_shape(mean)))
        near_field = solved[near] * (here.size / size[near])
        out["nearest"].append(exact(sample, here.laid.to_shape(near_field)))
    return {name: errors(fields, test) for name, fields in out.items()}


def network(family: str, name: str) -> dict[str, Any]:
    """Training for `MINUTES` of one core, and test errors."""
    train, test = sets(family)
    data = MeshDataset(train)
    kind, options = NETWORKS[name]
    if kind == "BENO":
        options = options | {"equation": "elasticity" if family in ELASTIC else "diffusion"}
    torch.manual_seed(0)
    model = made(kind, data, options)
    begin = process_time()
    fit = {"batch_size": 2, "lr": 3e-3, "loss": relative_l2_loss, "progress": False}
    mg.fit(made(kind, data, options), data[:6], epochs=1, **fit)
    each = (process_time() - begin) * len(data) / 6
    epochs = max(1, round(60 * MINUTES / each))
    begin = process_time()
    mg.fit(model, data, epochs=epochs, **fit)
    found: dict[str, Any] = {"fit_seconds": process_time() - begin, "epochs": epochs}
    found["weights"] = sum(p.numel() for p in model.parameters())
    begin = process_time()
    fields = [mg.predict(model, sample).u for sample in test]
    found["milliseconds"] = 1e3 * (process_time() - begin) / len(test)
    return found | {"errors": errors(fields, test), "samples": len(train)}


def made(kind: str, data: MeshDataset, options: dict[str, Any]) -> Any:
    """The model for the graphs of a data set."""
    graph = data[0]
    given = {"dim": graph.pos.shape[1], "inputs": graph.a.shape[1]}
    if kind != "BENO":
        given["channels"] = graph.y.shape[2]
    return MODELS[kind](**given, **options)


def errors(fields: list[np.ndarray], test: list[Sample]) -> list[float]:
    """Mean, median and worst relative L2 error."""
    found = [relative_l2(u, s.u, s.mesh.lumped_mass) for u, s in zip(fields, test, strict=True)]
    return [float(f(found)) for f in (np.mean, np.median, np.max)]


def covered(field: np.ndarray, band: np.ndarray, sample: Sample) -> np.ndarray:
    """Which free values are within 1.96 standard deviations."""
    free = ~sample.boundary.dirichlet_mask
    return (np.abs(field - sample.u)[0] <= 1.96 * band)[free]


def exact(sample: Sample, field: torch.Tensor) -> np.ndarray:
    """With the boundary values of the sample."""
    mask, values = sample.boundary.dirichlet_mask, sample.boundary.dirichlet_values
    return np.where(mask, values, field.numpy())[None]


def ranks(values: np.ndarray) -> np.ndarray:
    """Place of each in the order of all."""
    return values.argsort().argsort().astype(float)


def modes(model: Any) -> dict[str, int]:
    """How many components there are of what."""
    d = model.description
    parts = {"shape": d.shapes, "inputs": d.data, "boundary data": d.rim, "field": model.fields}
    return {name: len(part) for name, part in parts.items()}


def sizes(samples: list[Sample]) -> list[int]:
    """Smallest and largest number of nodes."""
    counts = [sample.mesh.num_nodes for sample in samples]
    return [min(counts), max(counts)]


def rounded(value: Any) -> Any:
    """Four digits are enough for a file."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()

"""`MMPDE` with a mesh that moves beside the same model with one that does not.

    python scripts/benchmarks/movers.py solver_burgers_moved_seed0

Runs of `movers.py`. Branches: "moved" has a mover, "identity" has the same networks, skips and
number of trained weights, "no_fixed" has the moved branch alone. Training goes on from its
checkpoint when it was stopped; the moved meshes of the training windows, whose states are data,
are made once for all seeds. What is kept is in `data/movers_solver/`.
"""

import copy
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from time import process_time
from typing import Any

import numpy as np
import torch
from movers_solver_data import FOLDER, trajectories
from movers_solver_losses import Growing
from torch_geometric.data import Batch, Data

import meshgnn as mg
from meshgnn import metrics
from meshgnn.models.dmm import DMM
from meshgnn.models.mm_pde import MMPDE

STEPS = 20
Row = dict[str, float]


@dataclass(frozen=True)
class Plan:
    """What a case is trained on and measured on.

    Args:
        train: number of trajectories, seed 0.
        test: number of trajectories, seed 2.
        stride: states between the starts of two training windows; of tests too.
        start: the state from which test marches of `STEPS` steps start.
        channels: of the state.
        mover: options of the `DMM`, which is not trained.
        model: of `MMPDE`.
        fit: of `fit`.
        depths: calls of the model in a training window, of every epoch; none: one call.
    """

    train: int
    test: int
    stride: tuple[int, int]
    start: int
    channels: int
    mover: dict[str, Any] = field(default_factory=lambda: {"kind": "interpolation", "scale": 1.0})
    model: dict[str, Any] = field(default_factory=dict)
    fit: dict[str, Any] = field(default_factory=dict)
    depths: tuple[int, ...] = ()


NET = {"width": 32, "layers": 3, "library": False}
PLANS = {
    "burgers": Plan(30, 10, (2, 2), 8, 2, model=NET, fit={"epochs": 8, "batch_size": 4}),
    "wake": Plan(
        *(16, 4, (16, 4), 10, 3),
        model=NET | {"slices": 8, "history": 2},
        fit={"epochs": 5, "batch_size": 1, "noise": 0.05},
        depths=(1, 1, 2, 3, 4),
    ),
}
BRANCHES = ("moved", "identity", "no_fixed")


def run(case: str, branch: str, seed: int) -> dict[str, Any]:
    """Train, then measure one step and marches through the test set."""
    plan = PLANS[case]
    model, cost = trained(case, branch, seed)
    truth = trajectories(case, 2, plan.test)
    windows = _windows(case, truth, model, plan.stride[1], 2)
    begin = process_time()
    marches = [march(model, s, plan.start) for s in truth]
    seconds = (process_time() - begin) / (len(truth) * STEPS)
    tests = {
        "one_step": {"learned": one_step(model, windows), "persistence": one_step(None, windows)},
        "rollout": {who: _mean(m[who] for m in marches) for who in marches[0]},
    }
    return {
        "configuration": asdict(plan) | {"case": case, "branch": branch, "seed": seed},
        "nodes": [min(s.mesh.num_nodes for s in truth), max(s.mesh.num_nodes for s in truth)],
        **cost,
        "cpu_seconds_a_step": seconds,
        "tests": tests,
    }


def trained(case: str, branch: str, seed: int) -> tuple[MMPDE, dict[str, Any]]:
    """The model, and what it cost."""
    name, plan = f"{case}_{branch}_seed{seed}", PLANS[case]
    path, paid = FOLDER / f"{name}.pt", FOLDER / f"{name}_cost.json"
    if path.exists() and paid.exists():
        return mg.load(path), json.loads(paid.read_text())
    model = built(case, branch, seed)
    truth, depth = trajectories(case, 0, plan.train), max(plan.depths, default=1)
    graphs = _windows(case, truth, model, plan.stride[0], 0, depth)
    begin = process_time()
    options = {"lr": 2e-3, "save_every": 1, "progress": False} | plan.fit
    options |= {"loss": Growing(plan.depths)} if plan.depths else {}
    done = mg.fit(model, graphs, seed=seed, checkpoint=FOLDER / f"{name}_training.pt", **options)
    cost = {
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "windows": len(graphs),
        "steps": len(done.train) * -(-len(graphs) // options["batch_size"]),
        "cpu_seconds": process_time() - begin,
        "seconds": sum(done.seconds),
        "threads": torch.get_num_threads(),
        "loss": list(done.train),
    }
    mg.save(model, path)
    paid.write_text(json.dumps(cost))
    return model, cost


def built(case: str, branch: str, seed: int) -> MMPDE:
    """The untrained model of a branch."""
    plan = PLANS[case]
    torch.manual_seed(seed)
    mover = "identity" if branch == "identity" else DMM(dim=2, **plan.mover)
    torch.manual_seed(seed)  # the weights of all branches are the same
    options: dict[str, Any] = {"fixed_branch": branch != "no_fixed"} | plan.model
    return MMPDE(mover, dim=2, channels=plan.channels, **options)


def one_step(model: MMPDE | None, windows: list[Data]) -> Row:
    """Relative L2 error of one call, over all windows; without a model that of persistence."""
    squares = torch.zeros(2, dtype=torch.float64)
    for i in range(0, len(windows), 8):
        batch = Batch.from_data_list(windows[i : i + 8])
        with torch.no_grad():
            found = batch.u[:, -1:] if model is None else model(batch)
        weight = batch.mass[:, None, None]
        parts = (weight * (found - batch.y) ** 2).sum(), (weight * batch.y**2).sum()
        squares += torch.stack(parts).double()
    return {"error": float((squares[0] / squares[1]).sqrt())}


def march(model: MMPDE, sample: mg.Sample, start: int) -> dict[str, Row]:
    """Relative L2 errors over a march of `STEPS` states, and of its last state."""
    history = model.hparams["history"]
    first, last = start - history + 1, start + STEPS + 1
    assert sample.u is not None
    goal, mass = sample.u[start + 1 : last], sample.mesh.lumped_mass
    known = _cut(sample, first, last)
    found = mg.rollout(model, known, STEPS).u
    assert found is not None
    still = np.broadcast_to(sample.u[start], goal.shape)
    pairs = {"learned": found[history:], "persistence": still}
    return {
        who: {
            "error": float(metrics.relative_l2(u, goal, mass)),
            "last": float(metrics.relative_l2(u[-1:], goal[-1:], mass)),
        }
        for who, u in pairs.items()
    }


def _windows(
    case: str, samples: list[mg.Sample], model: MMPDE, stride: int, seed: int, depth: int = 1
) -> list[Data]:
    """Transformed graphs of all windows, with the moved meshes of all states to start from."""
    data = mg.MeshDataset(samples, model.hparams["history"], depth, stride)
    graphs = list(data.transformed(model.transform))
    if model.mover is None:
        return graphs
    kept = []
    for graph, x in zip(graphs, _points(case, model, graphs, seed), strict=True):
        graph = model.remembered(graph, x[:, 0])
        graph.moved_steps = x
        kept.append(graph)
    return kept


def _points(case: str, model: MMPDE, graphs: list[Data], seed: int) -> list[torch.Tensor]:
    """Moved points [N, depth, d] of all windows, from their file where there is one."""
    path = FOLDER / f"{case}_points_{seed}.pt"
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        torch.save([_of_states(model, graph) for graph in graphs], path)
    return torch.load(path)


@torch.no_grad()
def _of_states(model: MMPDE, graph: Data) -> torch.Tensor:
    """Where the nodes are for the last known state and those after it but the last."""
    part, found = copy.copy(graph), []
    for u in torch.cat([graph.u[:, -1:], graph.y[:, :-1]], dim=1).split(1, dim=1):
        part.u = u
        found.append(model.points(part))
    return torch.stack(found, dim=1)


def _cut(sample: mg.Sample, first: int, last: int) -> mg.Sample:
    """The states from one to before another, with their boundary values."""
    held = sample.boundary
    if held.dirichlet_values.ndim == 3:
        held = replace(held, dirichlet_values=held.dirichlet_values[first:last])
    assert sample.u is not None
    part = {"u": sample.u[first:last], "times": sample.times[first:last]}
    return replace(sample, **part, boundary=held)


def _mean(rows: Iterable[Row]) -> Row:
    rows = list(rows)
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


RUNS: dict[str, Callable[[], dict[str, Any]]] = {
    f"solver_{case}_{branch}_seed{seed}": partial(run, case, branch, seed)
    for case in PLANS
    for branch in BRANCHES
    for seed in (range(3) if branch != "no_fixed" else [0])
}

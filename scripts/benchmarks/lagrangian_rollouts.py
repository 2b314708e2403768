"""`GIOROM` on elastic bodies: marches of 118 frames from three, beside what costs nothing.

    python scripts/benchmarks/lagrangian.py rollout_pull rollout_drop rollout_throw

Trained in two stages on `TRAINED` motions of one body (one step, then ten on its own answers),
which go on from their checkpoints when they were stopped; judged on held-out motions, frames and
nodes that were not given. Errors are mean squares of distances over all nodes, m², of a body of
one metre.
"""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from lagrangian_bodies import KEPT, TEST, TRAIN, VALIDATION, motions

import meshgnn as mg
from meshgnn import losses
from meshgnn.graph import to_graph
from meshgnn.models import GIOROM
from meshgnn.sample import Sample

RESULTS = Path(__file__).resolve().parent / "results"
BODY, OTHER, POINTS = "l_shape", "u_shape", 150
TRAINED, TESTED, KNOWN, EARLY = 10, 6, 3, 20
FASTER = {"pull": {"pull": 0.35}, "drop": {"height": 0.75}, "throw": {"speed": 1.5}}
STAGES: list[dict[str, Any]] = [
    {"depth": 1, "stride": 4, "fit": {"epochs": 4, "lr": 5e-3}},
    {"depth": 10, "stride": 8, "fit": {"epochs": 6, "lr": 2e-3, "noise": 0.004}},
]
Row = dict[str, Any]


def rollout_run(kind: str) -> Callable[[], None]:
    """The run of one kind of motion."""

    def run() -> None:
        model, cost = trained(kind)
        truth = motions(kind, BODY, TEST, TESTED)
        found: Row = {"kind": kind, "body": BODY, "nodes": truth[0].mesh.num_nodes}
        found |= {"points": POINTS, "trained_on": TRAINED, "frames": len(truth[0].times) - KNOWN}
        found["training_cpu_s"] = cost
        found["test"] = measured(model, truth)
        found["faster"] = measured(model, motions(kind, BODY, TEST, TESTED, **FASTER[kind]))
        if kind != "pull":  # the other body has another part to be clamped at
            found["other_body"] = measured(model, motions(kind, OTHER, TEST, TESTED))
        found["sets"] = _sets(model, truth)
        found["points_of_test"] = {
            str(n): measured(_with(model, points=n), truth)["mse"] for n in (11, 22, 75, 150, 300)
        }
        (RESULTS / f"lagrangian_rollout_{kind}.json").write_text(json.dumps(found, indent=1) + "\n")
        print(kind, json.dumps({k: v for k, v in found["test"].items() if k != "each"}))

    return run


def trained(kind: str) -> tuple[GIOROM, float]:
    """The model of a kind of motion, and the CPU seconds that its training took."""
    path, begin = KEPT / f"giorom_{kind}.pt", process_time()
    cost_file = path.with_suffix(".json")
    if path.exists():
        return loaded(path), json.loads(cost_file.read_text())
    samples = motions(kind, BODY, TRAIN, TRAINED)
    torch.manual_seed(0)
    model = GIOROM(dim=2, params=len(samples[0].params), points=POINTS)
    for number, stage in enumerate(STAGES):
        depth = stage["depth"]
        data = mg.MeshDataset(samples, history=KNOWN, bundle=depth, stride=stage["stride"])
        loss = model.loss if depth == 1 else losses.unrolled(depth, model.loss)
        mg.fit(
            model,
            data,
            loss=loss,
            batch_size=4,
            keep_statistics=number > 0,
            checkpoint=KEPT / f"giorom_{kind}_stage{number}.pt",
            save_every=1,
            progress=False,
            **stage["fit"],
        )
    mg.save(model, path)
    cost_file.write_text(json.dumps(process_time() - begin))
    return loaded(path), json.loads(cost_file.read_text())


def loaded(path: Path) -> GIOROM:
    model = mg.load(path)
    assert isinstance(model, GIOROM)
    return model


def measured(model: GIOROM, truth: list[Sample]) -> Row:
    """Mean over the motions of the error of a march, and of what costs nothing."""
    each, seconds, ended = [], 0.0, 0
    for sample in truth:
        assert sample.u is not None
        steps = len(sample.times) - KNOWN
        begin = process_time()
        try:
            u = mg.rollout(model, sample, steps).u
        except ValueError:  # blown up: it has no error, and is counted
            ended += 1
            continue
        finally:
            seconds += process_time() - begin
        assert u is not None
        new, old = sample.u[KNOWN:], sample.u[:KNOWN]
        each.append(
            {
                "mse": _mse(u[KNOWN:], new),
                "mse_early": _mse(u[KNOWN : KNOWN + EARLY], new[:EARLY]),
                "relative": _mse(u[KNOWN:], new) ** 0.5 / float((new**2).sum(2).mean()) ** 0.5,
                "frozen": _mse(old[-1], new),
                "ballistic": _mse(_ballistic(sample), new),
                "decoded_truth": _mse(_decoded(model, new, sample), new),
            }
        )
    row: Row = {name: float(np.mean([r[name] for r in each])) for name in (each[0] if each else {})}
    row["worst"] = max((r["mse"] for r in each), default=float("nan"))
    row |= {"blown_up": ended, "cpu_s_a_frame": seconds / (len(truth) * steps)}
    return row | {"each": [r["mse"] for r in each]}


def _mse(u: np.ndarray, truth: np.ndarray) -> float:
    return float(((u - truth) ** 2).sum(axis=-1).mean())


def _ballistic(sample: Sample) -> np.ndarray:
    """u + v t + g t² / 2 from the known states."""
    assert sample.u is not None
    dt = float(sample.times[1] - sample.times[0])
    names = sample.names["params"]
    gravity = sample.params[[names.index(f"gravity_{a}") for a in "xy"]]
    t = (sample.times[KNOWN:] - sample.times[KNOWN - 1])[:, None, None]
    last, before = sample.u[KNOWN - 1], sample.u[KNOWN - 2]
    velocity = (last - before) / dt + gravity * dt / 2
    return last + velocity * t + gravity * t**2 / 2


def _decoded(model: GIOROM, u: np.ndarray, sample: Sample) -> np.ndarray:
    """All nodes from the true motion of the sparse set: the floor of a march."""
    from meshgnn.decoders import local_rbf

    graph = model.transform(to_graph(sample, KNOWN, 1))
    chosen = graph.source_index.numpy()
    return local_rbf(sample.mesh.points, chosen, 24, 3.0, fade=0.05)(u[:, chosen])


def _with(model: GIOROM, **changes: Any) -> GIOROM:
    other = copy.deepcopy(model)
    other.hparams.update(changes)
    return other


def _sets(model: GIOROM, truth: list[Sample]) -> Row:
    """How much the dense field depends on which points are marched: relative distances."""
    choices = [{"sampling": "farthest", "seed": s} for s in range(2)]
    choices += [{"sampling": "random", "seed": s} for s in range(2)]
    apart, errors = [], []
    for sample in truth[:3]:
        assert sample.u is not None
        steps = len(sample.times) - KNOWN
        try:
            fields = [mg.rollout(_with(model, **c), sample, steps).u for c in choices]
        except ValueError:
            continue
        size = np.sqrt((sample.u[KNOWN:] ** 2).sum(2).mean())
        for i, one in enumerate(fields):
            assert one is not None
            errors.append(_mse(one, sample.u) ** 0.5 / size)
            apart += [_mse(one, other) ** 0.5 / size for other in fields[:i] if other is not None]
    return {
        "relative_distance": float(np.mean(apart)) if apart else None,
        "largest": float(np.max(apart)) if apart else None,
        "relative_error": float(np.mean(errors)) if errors else None,
        "choices": choices,
    }


def validation(kind: str) -> Row:
    """For choices of settings; tests are looked at once."""
    return measured(trained(kind)[0], motions(kind, BODY, VALIDATION, 4))

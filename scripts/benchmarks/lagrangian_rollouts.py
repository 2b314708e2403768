"""`GIOROM` on elastic bodies: marches of 118 frames from three, beside what costs nothing.

    python scripts/benchmarks/lagrangian.py rollout_pull rollout_drop rollout_throw rollout_pull_3d

Trained in stages on `TRAINED` motions of one body (one step, then ten and forty on its own
answers), which go on from their checkpoints when they were stopped; judged on held-out motions,
frames and nodes that were not given. Errors are mean squares of distances over all nodes, m², of a
body of one metre.
"""

import copy
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

import numpy as np
import torch
from lagrangian_baselines import decoded_by_all, finite_elements, mean_square
from lagrangian_bodies import KEPT, TEST, TRAIN, VALIDATION, motions

import meshgnn as mg
from meshgnn import losses
from meshgnn.decoders import local_rbf
from meshgnn.graph import to_graph
from meshgnn.models import GIOROM
from meshgnn.sample import Sample

RESULTS = Path(__file__).resolve().parent / "results"
TRAINED, KNOWN, EARLY = 10, 3, 20
FASTER = {"pull": {"pull": 0.35}, "drop": {"height": 0.75}, "throw": {"speed": 1.5}}
STAGES: list[dict[str, Any]] = [
    {"depth": 1, "stride": 4, "fit": {"epochs": 2, "lr": 5e-2}},
    {"depth": 10, "stride": 16, "fit": {"epochs": 4, "lr": 3e-2}},
    {"depth": 40, "stride": 40, "fit": {"epochs": 4, "lr": 2e-2}},
    {"depth": 40, "stride": 20, "fit": {"epochs": 6, "lr": 5e-3}},
]
Row = dict[str, Any]


class Scene(NamedTuple):
    """A kind of motion, the body that is trained on, another one, how many motions are tested (what
    bounces is chaotic: of six, one decides the mean), points, and others instead."""

    kind: str
    body: str
    other: str
    tested: int
    points: int
    others: tuple[int, ...]


_PLANE = "l_shape", "u_shape", 16, 140, (8, 16, 35, 70, 140, 280)
_SOLID = "box_with_hole", "bracket", 6, 200, (12, 25, 50, 100, 200, 400)
SCENES = {kind: Scene(kind, *_PLANE) for kind in ("pull", "drop", "throw")}
SCENES |= {f"{kind}_3d": Scene(kind, *_SOLID) for kind in ("pull", "drop")}


def rollout_run(name: str) -> Callable[[], None]:
    """The run of one scene."""

    def run() -> None:
        kind, body, other, tested, points, others = scene = SCENES[name]
        model, cost = trained(name, scene)
        truth = motions(kind, body, TEST, tested)
        found: Row = {"kind": kind, "body": body, "nodes": truth[0].mesh.num_nodes}
        found |= {
            "points": points,
            "trained_on": TRAINED,
            "tested": tested,
            "frames": len(truth[0].times) - KNOWN,
        }
        found["training_cpu_s"] = cost
        found["test"] = measured(model, truth)
        found["faster"] = measured(model, motions(kind, body, TEST, tested, **FASTER[kind]))
        found["other_body"] = measured(model, motions(kind, other, TEST, tested))
        found["sets"] = _sets(model, truth)
        found["points_of_test"] = {
            str(n): _whole(measured(_with(model, points=n), truth)) for n in others
        }
        found["finite_elements"] = finite_elements(kind, body, truth, KNOWN)
        found["decoders"] = _decoders(model, scene, truth)
        (RESULTS / f"lagrangian_rollout_{name}.json").write_text(json.dumps(found, indent=1) + "\n")
        print(name, json.dumps({k: v for k, v in found["test"].items() if k != "each"}))

    return run


def trained(name: str, scene: Scene) -> tuple[GIOROM, float]:
    """The model of a scene, and the CPU seconds that its training took."""
    path, begin = KEPT / f"giorom_{name}.pt", process_time()
    cost_file = path.with_suffix(".json")
    if path.exists():
        return loaded(path), json.loads(cost_file.read_text())
    samples = motions(scene.kind, scene.body, TRAIN, TRAINED)
    torch.manual_seed(0)
    dim, params = samples[0].mesh.dim, len(samples[0].params)
    model = GIOROM(dim=dim, params=params, points=scene.points, seed=None)
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
            checkpoint=KEPT / f"giorom_{name}_stage{number}.pt",
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
                "mse": mean_square(u[KNOWN:], new),
                "mse_early": mean_square(u[KNOWN : KNOWN + EARLY], new[:EARLY]),
                "relative": mean_square(u[KNOWN:], new) ** 0.5
                / float((new**2).sum(2).mean()) ** 0.5,
                "frozen": mean_square(old[-1], new),
                "ballistic": mean_square(_ballistic(sample), new),
                "decoded_truth": mean_square(_decoded(model, new, sample), new),
            }
        )
    row: Row = {name: float(np.mean([r[name] for r in each])) for name in (each[0] if each else {})}
    row["worst"] = max((r["mse"] for r in each), default=float("nan"))
    row |= {"blown_up": ended, "cpu_s_a_frame": seconds / (len(truth) * steps)}
    return row | {"each": [r["mse"] for r in each]}


def _whole(row: Row) -> float:
    """The error of marches of which none has blown up."""
    return float("inf") if row["blown_up"] else row["mse"]


def _decoders(model: GIOROM, scene: Scene, truth: list[Sample]) -> Row:
    model = _with(model, seed=0)  # the same points for all
    graph = model.transform(to_graph(truth[0], KNOWN, 1))
    steps = len(truth[0].times) - KNOWN
    marched = [np.asarray(mg.rollout(model, sample, steps).u)[KNOWN:] for sample in truth]
    train = motions(scene.kind, scene.body, TRAIN, TRAINED)
    return decoded_by_all(marched, truth, train, graph.source_index.numpy())


def _ballistic(sample: Sample) -> np.ndarray:
    """u + v t + g t² / 2 from the known states."""
    assert sample.u is not None
    dt = float(sample.times[1] - sample.times[0])
    names = sample.names["params"]
    gravity = sample.params[[names.index(f"gravity_{a}") for a in "xyz"[: sample.mesh.dim]]]
    t = (sample.times[KNOWN:] - sample.times[KNOWN - 1])[:, None, None]
    last, before = sample.u[KNOWN - 1], sample.u[KNOWN - 2]
    velocity = (last - before) / dt + gravity * dt / 2
    return last + velocity * t + gravity * t**2 / 2


def _decoded(model: GIOROM, u: np.ndarray, sample: Sample) -> np.ndarray:
    """All nodes from the true motion of the sparse set: the floor of a march."""
    graph = model.transform(to_graph(sample, KNOWN, 1))
    chosen = graph.source_index.numpy()
    return local_rbf(sample.mesh.points, chosen, 24, 3.0, fade=0.05)(u[:, chosen])


def _with(model: GIOROM, **changes: Any) -> GIOROM:
    other = copy.deepcopy(model)
    other.hparams.update(changes)
    return other


def _sets(model: GIOROM, truth: list[Sample]) -> Row:
    """How much the dense field depends on which points are marched: relative distances."""
    farthest, random = (
        _apart(model, truth[:3], [{"sampling": kind, "seed": s} for s in range(3)])
        for kind in ("farthest", "random")
    )
    return {"farthest": farthest, "random": random}


def _apart(model: GIOROM, truth: list[Sample], choices: list[Row]) -> Row:
    apart, errors, ended = [], [], 0
    for sample in truth:
        assert sample.u is not None
        steps = len(sample.times) - KNOWN
        try:
            fields = [np.asarray(mg.rollout(_with(model, **c), sample, steps).u) for c in choices]
        except ValueError:  # blown up
            ended += 1
            continue
        size = np.sqrt((sample.u[KNOWN:] ** 2).sum(2).mean())
        errors += [mean_square(one, sample.u) ** 0.5 / size for one in fields]
        pairs = itertools.combinations(fields, 2)
        apart += [mean_square(one, other) ** 0.5 / size for one, other in pairs]
    return {
        "relative_distance": float(np.mean(apart)) if apart else None,
        "largest": float(np.max(apart)) if apart else None,
        "relative_error": float(np.mean(errors)) if errors else None,
        "blown_up": ended,
        "choices": choices,
    }


def validation(name: str) -> Row:
    """For choices of settings; tests are looked at once."""
    scene = SCENES[name]
    return measured(trained(name, scene)[0], motions(scene.kind, scene.body, VALIDATION, 4))

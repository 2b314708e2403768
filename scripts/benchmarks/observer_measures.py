"""What `observer.py` measures: errors in and out of space and time, and what it accepts by."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from time import process_time
from typing import Any

import numpy as np
import torch
from observer_data import thinned
from scipy.spatial import Delaunay

import meshgnn as mg
from meshgnn.decoders import local_rbf, nearest_source
from meshgnn.graph import to_graph
from meshgnn.graph.sampling import farthest_points
from meshgnn.mesh import Mesh
from meshgnn.sample import Boundary, Sample

SEED, KNOWN = 0, 2
STARTS = (0, 18)  # frames from which predictions of the length of training start


def nodes_of(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Sensors and prescribed nodes, as the model has them."""
    model = mg.models.MODELS["Observer"](inputs=2, params=1)
    kind = model.transform(to_graph(sample, 1)).sensor.numpy()
    return np.flatnonzero(kind == 1), np.flatnonzero(kind == 2)


def sparse(sample: Sample) -> Sample:
    """The sample on a Delaunay mesh of the sensors and the prescribed nodes alone."""
    kept = np.concatenate(nodes_of(sample))
    points, held = sample.mesh.points[kept], sample.boundary
    none = Boundary.none(len(kept), 1)
    boundary = replace(
        none,
        dirichlet_mask=held.dirichlet_mask[kept],
        dirichlet_values=held.dirichlet_values[:, kept],
    )
    mesh = Mesh(points, {"triangle": Delaunay(points).simplices.astype(np.int64)}).oriented()
    assert sample.u is not None
    return replace(
        sample, mesh=mesh, boundary=boundary, inputs=sample.inputs[kept], u=sample.u[:, kept]
    )


def measured(
    models: dict[str, torch.nn.Module], tests: list[Sample], bundle: int
) -> dict[str, Any]:
    """Every table."""
    frames = 2 * bundle
    sensors, held = nodes_of(thinned(tests[0]))
    nodes = len(tests[0].mesh.points)
    windows = [(s, start) for s in tests for start in STARTS]
    fields = predictors(models)
    table = {name: errors(one, windows, frames, sensors, held) for name, one in fields.items()}
    longer = [(s, 0) for s in tests]
    names = ("frozen field", "sparse MeshGraphNet, cubic, linear", "observer")
    long = {n: errors(fields[n], longer, 38, sensors, held) for n in names}
    return {
        "nodes": nodes,
        "sensors": len(sensors),
        "prescribed": len(held),
        "windows": len(windows),
        "errors": table,
        "errors over 1.9 s": long,
        "other sensors": {
            name: resampled(models[name], windows, frames, sensors, held)
            for name in ("observer", "no_drop")
            if name in models
        },
        "order of queries": order_of_queries(models["observer"], tests[0]),
        "cpu_seconds": speed(models["observer"], tests[0]),
    }


def predictors(models: dict[str, torch.nn.Module]) -> dict[str, Callable[..., np.ndarray]]:
    """Functions (sample, start, times) -> [T, N], of the field at all nodes."""
    bare = copy.deepcopy(models["observer"])
    for part in (bare.reader.decode, bare.reader.mix):
        torch.nn.init.zeros_(part[-1].weight)
        torch.nn.init.zeros_(part[-1].bias)
    fields = {
        "nearest sensor, frozen": nearest,
        "frozen field": lambda s, start, t: np.repeat(s.u[start + 2, None, :, 0], len(t), axis=0),
        "true sensors, cubic": oracle,
        "sparse MeshGraphNet, cubic, linear": lambda *a: marched(models["sparse"], *a),
        "observer without attention": lambda *a: observed(bare, *a),
        "observer": lambda *a: observed(models["observer"], *a),
    }
    if "no_drop" in models:
        fields["observer, no sensors dropped"] = lambda *a: observed(models["no_drop"], *a)
    return fields


def observed(
    model: torch.nn.Module,
    sample: Sample,
    start: int,
    times: np.ndarray,
    sensors: np.ndarray | None = None,
) -> np.ndarray:
    return model.at(thinned(sample, start), sample.mesh.points, times, sensors)[..., 0]


def nearest(sample: Sample, start: int, times: np.ndarray) -> np.ndarray:
    """The last known value at the nearest sensor."""
    sensors = nodes_of(thinned(sample))[0]
    decode = nearest_source(sample.mesh.points, sensors)
    return np.repeat(decode(sample.u[start + 2, sensors])[None, :, 0], len(times), axis=0)


def oracle(sample: Sample, start: int, times: np.ndarray) -> np.ndarray:
    """Cubic interpolation of the true values at the sensors at every time."""
    kept = np.concatenate(nodes_of(thinned(sample)))
    found = cubic(sample.mesh.points, kept)(sample.u[:, kept])[..., 0]
    return found[np.rint(times / np.diff(sample.times[:2])).astype(int)]


def cubic(points: np.ndarray, kept: np.ndarray) -> Any:
    return local_rbf(points, kept, neighbours=16, power=3.0, fade=0.05)


def marched(model: torch.nn.Module, sample: Sample, start: int, times: np.ndarray) -> np.ndarray:
    """Steps at the sensors, cubic interpolation in space, linear in time."""
    known = sparse(thinned(sample, start))
    frames = mg.rollout(model, known, len(times) // 2)
    kept = np.concatenate(nodes_of(thinned(sample)))
    dense = cubic(sample.mesh.points, kept)(frames.u)[..., 0]
    place = (times - frames.times[0]) / np.diff(frames.times[:2])
    low = np.minimum(np.floor(place + 1e-9).astype(int), len(dense) - 2)
    part = (place - low)[:, None]
    return (1 - part) * dense[low] + part * dense[low + 1]


def errors(
    predict: Callable[..., np.ndarray],
    windows: list[tuple[Sample, int]],
    frames: int,
    sensors: np.ndarray,
    held: np.ndarray,
) -> dict[str, list[float]]:
    """{part: [mean square error, relative L2]} over all windows."""
    rest = np.setdiff1d(np.arange(len(windows[0][0].mesh.points)), np.concatenate([sensors, held]))
    sums = {f"{a}-space {b}-time": np.zeros(3) for a in ("in", "out") for b in ("in", "out")}
    for sample, start in windows:
        chosen = slice(start + KNOWN + 1, start + KNOWN + 1 + frames)
        truth = sample.u[chosen, :, 0]
        found = predict(sample, start, sample.times[chosen])
        for where, nodes in (("in", sensors), ("out", rest)):
            for when, first in (("out", 0), ("in", 1)):  # every second frame is one of training
                u, v = truth[first::2][:, nodes], found[first::2][:, nodes]
                add = [((u - v) ** 2).sum(), (u**2).sum(), u.size]
                sums[f"{where}-space {when}-time"] += add
    return {k: [e / n, float(np.sqrt(e / s))] for k, (e, s, n) in sums.items()}


def resampled(
    model: torch.nn.Module,
    windows: list[tuple[Sample, int]],
    frames: int,
    sensors: np.ndarray,
    held: np.ndarray,
) -> dict[str, Any]:
    """Another tenth of the nodes: how far predictions move, relative to u, and their errors."""
    points = windows[0][0].mesh.points
    free = np.setdiff1d(np.arange(len(points)), held)
    others = {
        "farthest": free[farthest_points(points[free], len(sensors), seed=1)],
        "random": np.random.default_rng(1).permutation(free)[: len(sensors)],
    }
    result: dict[str, Any] = {}
    windows = [one for one in windows if one[1] == STARTS[1]]
    for name, other in others.items():
        moved = size = 0.0
        found = []
        for sample, start in windows:
            chosen = slice(start + KNOWN + 1, start + KNOWN + 1 + frames)
            times = sample.times[chosen]
            one, two = (observed(model, sample, start, times, s) for s in (sensors, other))
            moved += ((one - two)[:, free] ** 2).sum()
            size += (sample.u[chosen, free] ** 2).sum()
            found.append(two)
        again = errors(partial(_kept, iter(found)), windows, frames, other, held)
        result[name] = {"change": float(np.sqrt(moved / size)), "errors": again}
        result[name]["common"] = int(len(np.intersect1d(sensors, other)))
    return result


def _kept(found: Iterator[np.ndarray], *_: Any) -> np.ndarray:
    """Predictions made before, one window after the other."""
    return next(found)


def order_of_queries(model: torch.nn.Module, sample: Sample) -> float:
    """Largest difference between all points at once, and shuffled in parts."""
    known, points = thinned(sample), sample.mesh.points
    order = np.random.default_rng(0).permutation(len(points))
    whole = model.at(known, points, sample.times[3:9])
    parts = [model.at(known, points[some], sample.times[3:9]) for some in np.array_split(order, 5)]
    return float(np.abs(np.concatenate(parts, axis=1) - whole[:, order]).max())


def speed(model: torch.nn.Module, sample: Sample) -> dict[str, float]:
    """Seconds of one thread to march 10 frames and answer at one time and so many points."""
    rng, known = np.random.default_rng(0), thinned(sample)
    low, high = sample.mesh.points.min(axis=0), sample.mesh.points.max(axis=0)
    found = {}
    for count in (1, 1_000, 10_000, 100_000):
        points = rng.uniform(low, high, (count, 2))
        begin = process_time()
        model.at(known, points, known.times[11:12])
        found[str(count)] = process_time() - begin
    return found

"""What needs no network on the sets of `evolution.py`: solvers at several costs, and DMD."""

from collections.abc import Callable
from dataclasses import replace
from time import process_time
from typing import Any

import numpy as np
from evolution_data import problem, samples, thinned
from evolution_measures import GIVEN, SEEN, in_time

import meshgnn as mg
from meshgnn import metrics
from meshgnn.operators import field_at
from meshgnn.problems.combined_trajectories import trajectories

Rows = dict[str, dict[str, float]]


def baselines(name: str) -> dict[str, Any]:
    """The result of one configuration `<set>_classical`."""
    kind = name.removesuffix("_classical")
    return {"tests": TESTS[kind](kind.upper())}


def combined(family: str) -> dict[str, Rows]:
    """WENO5 on n cells: error over the same 200 frames, CPU time of one trajectory of a batch."""
    tests: dict[str, Rows] = {}
    for cells in (100, 50, 40, 20, 10, 8):
        truth = trajectories(64, family, (cells,), seed=2)
        goal = truth.truth[cells][:, GIVEN:]
        begin = process_time()
        own = trajectories(len(goal), family, (cells,), cells, seed=2).truth[cells]
        seconds = (process_time() - begin) / len(goal)
        still = np.broadcast_to(truth.truth[cells][:, GIVEN - 1 : GIVEN], goal.shape)
        rows = {"WENO5": own[:, GIVEN:], "persistence": still, "zero": np.zeros_like(goal)}
        tests[f"{cells} cells"] = {k: _accumulated(u, goal) for k, u in rows.items()}
        tests[f"{cells} cells"]["WENO5"]["seconds"] = seconds
    return tests


def _accumulated(u: np.ndarray, goal: np.ndarray) -> dict[str, float]:
    error = ((u - goal) ** 2).mean(axis=2).sum(axis=1)
    return {"accumulated": float(error.mean()), "median": float(np.median(error))}


def burgers(_: str) -> dict[str, Rows]:
    """P1 on the mesh itself, persistence and DMD."""
    tests = {}
    for option in ("square", "hole"):
        kind = f"burgers-{option}"
        truth = thinned((kind, 10), 2, 10)
        train = thinned((kind, 10), 0, 10)
        modes = metrics.choose_modes(train[:8], train[8:])
        rows = {
            f"DMD, rank {modes.rank}": [in_time(modes(s)[1:], s.u[1:], s) for s in truth],
            "persistence": [
                in_time(np.broadcast_to(s.u[:1], s.u[1:].shape), s.u[1:], s) for s in truth
            ],
        }
        for coarse in (1.0, 1.5, 2.0, 3.0):
            found = [_burgers(kind, i, s, coarse) for i, s in enumerate(truth)]
            rows[f"P1, edges × {coarse:g}"] = found
        tests[option] = _means(rows)
        tests[option]["truth: P2, refined"] = _cost(kind, 10)
    return tests


def _burgers(kind: str, i: int, truth: mg.Sample, coarse: float) -> dict[str, float]:
    """The trajectory by linear elements on a mesh with edges so many times longer."""
    mesh, made, _ = problem(kind, 2, i, coarse)
    first = field_at(truth.mesh, truth.u[0], mesh.points)
    made = replace(made, times=truth.times, refine=0, initial=first)
    begin = process_time()
    solved = made.solve(mesh, order=1)
    return _against(truth, solved, process_time() - begin)


def _flow(kind: str, i: int, truth: mg.Sample, coarse: float, steps: int) -> dict[str, float]:
    """The flow by P2/P1 on a mesh with longer edges, so many steps a frame, from the same state."""
    mesh, made, _ = problem(kind, 2, i, coarse)
    first = field_at(truth.mesh, truth.u[0, :, :2], mesh.points)
    made = replace(made, times=truth.times, viscosity=float(truth.params[0]), initial=first)
    made = replace(made, start=None, dt_max=None, substeps=steps)
    begin = process_time()
    solved = made.solve(mesh)
    return _against(truth, solved, process_time() - begin)


def _against(truth: mg.Sample, solved: mg.Sample, seconds: float) -> dict[str, float]:
    """Errors at the nodes of the truth's mesh, and CPU time."""
    u = field_at(solved.mesh, solved.u, truth.mesh.points)
    nodes = {"nodes": solved.mesh.num_nodes, "seconds": seconds}
    return in_time(u[1:], truth.u[1:], truth) | nodes


def wake(_: str) -> dict[str, Rows]:
    """DMD of the first 150 frames of the same trajectory, persistence, the price of the truth."""
    tests = {}
    for title, kind in (("cylinders", "wake"), ("other shapes", "wake-shapes")):
        truth = samples(kind, 2, 4)
        rows: dict[str, list[dict[str, float]]] = {}
        for sample in truth:
            for name, u, first in _marches(sample):
                row = in_time(u, sample.u[first:], sample)
                rows.setdefault(name, []).append(row)
        for coarse, steps in ((1.0, 1), (1.5, 1), (2.0, 1), (3.0, 1)):
            found = [_flow(kind, i, s, coarse, steps) for i, s in enumerate(truth)]
            rows[f"P2/P1, edges × {coarse:g}, {steps} step a frame"] = found
        tests[title] = _means(rows)
        tests[title]["truth: P2/P1 on this mesh"] = _cost(kind, 4)
    return tests


def _marches(sample: mg.Sample) -> list[tuple[str, np.ndarray, int]]:
    """DMD goes on from the last frame it has seen, from which its errors are counted."""
    seen = first = SEEN
    part = replace(sample, u=sample.u[:seen], times=sample.times[:seen])
    modes = metrics.fit_modes([part], rank=20, delays=4, ridge=1e-8)
    ahead = modes.predict(sample.u[:seen], len(sample.times) - seen)
    still = np.broadcast_to(sample.u[0], sample.u[1:].shape)
    mean = np.broadcast_to(sample.u[:seen].mean(axis=0), sample.u[seen:].shape)
    return [
        ("persistence", still, 1),
        ("mean of the first 150 frames, after them", mean, first),
        ("DMD of the first 150 frames, after them", ahead, first),
    ]


def _cost(kind: str, count: int) -> dict[str, float]:
    """CPU time of the solver that made the truth, for a trajectory and for a frame."""
    truth = samples(kind, 2, count)
    seconds = float(np.median([s.meta["cpu_seconds"] for s in truth]))
    return {"seconds": seconds, "seconds_a_frame": seconds / (len(truth[0].times) - 1)}


def _means(rows: dict[str, list[dict[str, float]]]) -> Rows:
    return {
        name: {key: float(np.mean([row[key] for row in each])) for key in each[0]}
        for name, each in rows.items()
    }


TESTS: dict[str, Callable[[str], dict[str, Rows]]] = {
    "e1": combined,
    "e2": combined,
    "e3": combined,
    "burgers": burgers,
    "wake": wake,
}

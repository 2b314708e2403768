"""What `evolution.py` measures on each kind of set."""

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
import torch
from evolution_data import classical, thinned

import meshgnn as mg
from meshgnn import metrics

SEEN = 150  # frames of a wake that DMD is fitted to
GIVEN = 50  # frames of the combined equation that are known: two windows, as published
Field = np.ndarray


def measured(model: torch.nn.Module, plan: Any, kind: str, count: int) -> dict[str, Any]:
    """{predictor: {metric: mean over trajectories}} of a march through a test set."""
    truth = thinned((kind, count), 2, plan.every, plan.blind)
    history = model.hparams["history"]
    measure = MEASURES[kind.partition("-")[0].rstrip("123")]
    return measure(kind, truth, history, lambda s, steps: mg.rollout(model, s, steps).u)


def combined(kind: str, truth: list[mg.Sample], history: int, march: Callable) -> dict[str, Any]:
    """Accumulated error of 200 frames, from the last known window of 50 frames."""
    weno = classical(kind, 2, len(truth))
    rows: dict[str, list[dict[str, float]]] = {}
    for i, sample in enumerate(truth):
        goal, mass = sample.u[GIVEN:], sample.mesh.lumped_mass
        known = _from(sample, GIVEN - history)
        begin = perf_counter()
        found = march(known, len(goal))[history:]
        seconds = perf_counter() - begin
        twin = sample.boundary.twin
        solver = weno[i, GIVEN:, twin].T[..., None]
        for name, u in (
            ("learned", found),
            ("persistence", np.broadcast_to(sample.u[GIVEN - 1], goal.shape)),
            ("zero", np.zeros_like(goal)),
            ("WENO5 on the same cells", solver),
        ):
            row = {"accumulated": metrics.accumulated_error(u, goal, mass)}
            row["relative_l2"] = metrics.relative_l2(u, goal, mass)
            if name == "learned":
                row["seconds"] = seconds
            rows.setdefault(name, []).append(row)
    return _means(rows)


def field(kind: str, truth: list[mg.Sample], history: int, march: Callable) -> dict[str, Any]:
    """Mean square over all times, nodes and components, and relative errors on the way."""
    rows: dict[str, list[dict[str, float]]] = {}
    for sample in truth:
        begin = perf_counter()
        found = march(_from(sample, 0), len(sample.times) - history)
        seconds = perf_counter() - begin
        still = np.broadcast_to(sample.u[history - 1], sample.u.shape)
        for name, u in (("learned", found), ("persistence", still)):
            row = in_time(u[history:], sample.u[history:], sample)
            if name == "learned":
                row |= {"seconds": seconds, "boundary": metrics.boundary_error(u, sample)}
            rows.setdefault(name, []).append(row)
    return _means(rows)


def in_time(u: Field, goal: Field, sample: mg.Sample) -> dict[str, float]:
    """Errors of a march, from its first predicted state on."""
    mass = sample.mesh.lumped_mass
    per_time = metrics.relative_l2_per_time(u, goal, mass)
    row = {"mse": metrics.rollout_mse(u, goal), "all": metrics.relative_l2(u, goal, mass)}
    return row | {f"step_{n}": per_time[min(n, len(goal)) - 1] for n in (1, 50, len(goal))}


def wake(kind: str, truth: list[mg.Sample], history: int, march: Callable) -> dict[str, Any]:
    """As `field`, a march from where DMD starts, and the shedding frequency.

    The frequency is that of the last 3/4 of the whole march at the busiest nodes.
    """
    kept: list[Field] = []

    def watched(sample: mg.Sample, steps: int) -> Field:
        kept.append(march(sample, steps))
        return kept[-1]

    result = field(kind, truth, history, watched)
    later = [_from(s, SEEN - history) for s in truth]
    result["learned, from where DMD starts"] = field(kind, later, history, march)["learned"]
    ratios = [frequency(u, s) / frequency(s.u, s) for u, s in zip(kept, truth, strict=True)]
    result["learned"]["frequency_ratios"] = ratios
    result["learned"]["periods"] = float(
        np.mean([frequency(s.u, s) * (s.times[-1] - s.times[0]) for s in truth])
    )
    return result


def frequency(u: Field, sample: mg.Sample) -> float:
    """Dominant frequency of the cross flow where it varies most in truth, 1/s; 0: it has none."""
    strongest = np.argsort(sample.u[:, :, 1].std(axis=0))[-20:]
    part = u[len(u) // 4 :, strongest, 1]
    try:
        return metrics.shedding_frequency(part, float(sample.times[1] - sample.times[0]))
    except ValueError:  # fewer than five periods: the shedding has died out
        return 0.0


def _from(sample: mg.Sample, start: int) -> mg.Sample:
    """The sample without the frames before."""
    held = sample.boundary
    if held.dirichlet_values.ndim == 3:
        held = replace(held, dirichlet_values=held.dirichlet_values[start:])
    return replace(sample, u=sample.u[start:], times=sample.times[start:], boundary=held)


def _means(rows: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Mean of every metric, and the worst of the first."""
    result = {}
    for name, each in rows.items():
        first = next(iter(each[0]))
        row = {key: float(np.mean([r[key] for r in each])) for key in each[0]}
        result[name] = row | {"worst": float(np.max([r[first] for r in each]))}
    return result


MEASURES: dict[str, Callable] = {"E": combined, "burgers": field, "wake": wake}

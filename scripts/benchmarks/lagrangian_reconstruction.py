"""The field at all points from its true values at few: every decoder, four materials, three ratios.

Errors are relative to the displacement, ‖û − u‖ / ‖u‖ over all frames of a trajectory that was held
out, at points that are no sources. Sources are farthest points.
"""

import json
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lagrangian_data import MATERIALS, TRAINED, trajectories
from lagrangian_speed import published_step
from scipy.spatial import KDTree

from meshgnn.decoders import (
    Decoder,
    KernelDecoder,
    LearnedResidual,
    gappy_modes,
    inverse_distance,
    local_rbf,
    moving_least_squares,
    nearest_source,
    train_decoder,
)
from meshgnn.graph.sampling import farthest_points
from meshgnn.sample import Sample

RESULTS = Path(__file__).resolve().parent / "results"
RATIOS = (10, 30, 4)
STEPS, KERNEL_STEPS = 200, 400
NOISE = 0.005  # of the perturbed sources, in units of the root mean square displacement
FIXED = {
    "nearest source": nearest_source,
    "inverse distance": inverse_distance,
    "moving least squares": moving_least_squares,
    "local RBF": local_rbf,
    "continuous cubic RBF": partial(local_rbf, neighbours=24, power=3.0, fade=0.05),
}


def reconstruction() -> None:
    """`results/lagrangian_reconstruction.json`: [clean, perturbed, CPU s] of each decoder.

    "POD projection" is no decoder: the least error of 32 modes, which see all points.
    """
    path = RESULTS / "lagrangian_reconstruction.json"
    table: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    table["updates"] = {"learned residual": STEPS, "kernel integral": KERNEL_STEPS}
    for name, ratio, material in product(FIXED | LEARNED, RATIOS, MATERIALS):
        row = table.setdefault(f"{material} 1/{ratio}", {})
        if name in row:
            continue
        samples = trajectories(material)
        case = Case(samples[:TRAINED], samples[TRAINED], ratio)
        begin = time.process_time()
        fit = FIXED[name] if name in FIXED else partial(LEARNED[name], case)
        row[name] = [*case.errors(fit), round(time.process_time() - begin, 2)]
        path.write_text(json.dumps(table, indent=1) + "\n")
        print(material, ratio, name, row[name], flush=True)


class Case:
    """Trajectories of one material and the sources at one ratio."""

    def __init__(self, train: list[Sample], test: Sample, ratio: int) -> None:
        self.train, self.test = train, test
        points = test.mesh.points
        self.sources = farthest_points(points, len(points) // ratio)
        self.rest = np.setdiff1d(np.arange(len(points)), self.sources)

    def errors(self, fit: Callable[..., Decoder]) -> list[float]:
        """From true and from perturbed sources."""
        points, u = self.test.mesh.points, np.asarray(self.test.u)
        known, truth = u[:, self.sources], u[:, self.rest]
        decode = fit(points[self.rest], points[self.sources])
        eta = np.random.default_rng(0).normal(size=known.shape) * NOISE
        found = []
        for values in (known, known + eta * np.sqrt(np.mean(known**2))):
            error = np.linalg.norm(decode(values) - truth) / np.linalg.norm(truth)
            found.append(float(f"{error:.4g}"))
        return found


def _modes(case: Case, *_: np.ndarray) -> Decoder:
    decode = gappy_modes(np.concatenate([np.asarray(s.u) for s in case.train]), case.sources)
    return lambda values: decode(values)[:, case.rest]


def _projection(case: Case, *_: np.ndarray) -> Decoder:
    snapshots = np.concatenate([np.asarray(s.u) for s in case.train])
    decode = gappy_modes(snapshots, np.arange(snapshots.shape[1]))
    best = decode(np.asarray(case.test.u))[:, case.rest]
    return lambda _: best


def _kernel(case: Case, queries: np.ndarray, sources: np.ndarray) -> Decoder:
    """Radius: 1.1 times the distance that reaches every point, two to three sources; 1.7 times,
    some ten, were no better after as much time."""
    torch.manual_seed(0)
    gaps = np.sqrt(((queries[:, None] - sources) ** 2).sum(axis=2)).min(axis=1)
    model = KernelDecoder(3, 3, 1.1 * float(gaps.max()))
    train_decoder(
        model, case.train, [case.sources] * TRAINED, KERNEL_STEPS, frames=1, rate=1e-3, noise=0.0
    )
    return model.at(queries, sources)


def _residual(noise: float, case: Case, queries: np.ndarray, sources: np.ndarray) -> Decoder:
    torch.manual_seed(0)
    model = LearnedResidual()
    sets = [case.sources] * TRAINED
    train_decoder(model, case.train, sets, STEPS, frames=4, noise=noise)
    return model.at(queries, sources)


LEARNED = {
    "gappy POD": _modes,
    "POD projection": _projection,
    "learned residual": partial(_residual, 0.0),
    "learned residual, perturbed": partial(_residual, NOISE),
    "kernel integral": _kernel,
}


def decode_times() -> None:
    """`results/lagrangian_decode.json`: ms to fit and to decode on one thread, from 1,000 sources.

    Seconds of the processor, so that others on the machine disturb less: the median and the least
    of up to 101 repetitions, and how linear the least is in the points (R²). Beside it a step of
    the published stepper on as many sources.
    """
    path = RESULTS / "lagrangian_decode.json"
    rng, table = np.random.default_rng(0), {"published step of 1000": published_step(1000)}
    points = rng.random((100_000, 3))
    sources = points[farthest_points(points, 1000)]
    q = torch.tensor(rng.normal(size=(1000, 3)), dtype=torch.float32)
    far = float(KDTree(sources).query(points)[0].max())
    fits = FIXED | {"learned residual": LearnedResidual().eval().at}
    fits["kernel integral"] = KernelDecoder(3, 3, 1.1 * far).eval().at
    for name, fit in fits.items():
        counts, least = (1_000, 10_000, 30_000, 100_000), []
        for count in counts:
            begin = time.process_time()
            decode = fit(points[:count], sources)
            row = {"fit_ms": 1e3 * (time.process_time() - begin)}
            seconds = _timed(decode, q)
            least.append(min(seconds))
            row |= {"median_ms": 1e3 * float(np.median(seconds)), "least_ms": 1e3 * least[-1]}
            table[f"{name} {count}"] = {k: float(f"{v:.3g}") for k, v in row.items()}
            print(name, count, table[f"{name} {count}"], flush=True)
        table[f"{name} R²"] = float(f"{np.corrcoef(counts, least)[0, 1] ** 2:.5g}")
    path.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")


def _timed(decode: Decoder, values: torch.Tensor) -> list[float]:
    """Seconds of the processor of every call but the first, which fills the caches."""
    seconds, begin = [], time.process_time()
    with torch.no_grad():
        while len(seconds) < 102 and (len(seconds) < 4 or time.process_time() - begin < 5):
            start = time.process_time()
            decode(values)
            seconds.append(time.process_time() - start)
    return seconds[1:]

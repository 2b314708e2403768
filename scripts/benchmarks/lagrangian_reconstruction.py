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
STEPS, KERNEL_STEPS = 200, 300
NOISE = 0.005  # of the perturbed sources, in units of the root mean square displacement
FIXED = {
    "nearest source": nearest_source,
    "inverse distance": inverse_distance,
    "moving least squares": moving_least_squares,
    "local RBF": local_rbf,
    "continuous cubic RBF": partial(local_rbf, neighbours=24, power=3.0, fade=0.05),
}


def reconstruction() -> None:
    """`results/lagrangian_reconstruction.json`: [clean, perturbed, CPU s] of each decoder."""
    path = RESULTS / "lagrangian_reconstruction.json"
    table: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
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


def _kernel(case: Case, queries: np.ndarray, sources: np.ndarray) -> Decoder:
    """Radius: 1.1 times the distance that reaches every point, some ten sources."""
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
    "learned residual": partial(_residual, 0.0),
    "learned residual, perturbed": partial(_residual, NOISE),
    "kernel integral": _kernel,
}


def decode_times() -> None:
    """`results/lagrangian_decode.json`: ms to fit and to decode, from 1,000 sources."""
    path = RESULTS / "lagrangian_decode.json"
    rng, table = np.random.default_rng(0), {}
    points = rng.random((100_000, 3))
    sources = points[farthest_points(points, 1000)]
    q = torch.tensor(rng.normal(size=(1000, 3)), dtype=torch.float32)
    fits = FIXED | {"learned residual": LearnedResidual().eval().at}
    for name, fit in fits.items():
        for count in (1_000, 10_000, 30_000, 100_000):
            begin = time.perf_counter()
            decode = fit(points[:count], sources)
            fitted = time.perf_counter() - begin
            with torch.no_grad():
                seconds = [_timed(decode, q) for _ in range(20)]
            row = {"fit_ms": 1e3 * fitted, "least_ms": 1e3 * min(seconds[1:])}
            row["median_ms"] = 1e3 * float(np.median(seconds[1:]))
            table[f"{name} {count}"] = {k: float(f"{v:.3g}") for k, v in row.items()}
            print(name, count, table[f"{name} {count}"], flush=True)
    path.write_text(json.dumps(table, indent=1) + "\n")


def _timed(decode: Decoder, values: torch.Tensor) -> float:
    begin = time.perf_counter()
    decode(values)
    return time.perf_counter() - begin

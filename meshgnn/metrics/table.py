"""One table: every predictor on the same samples, with the errors that count and the time."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np

from meshgnn.atomic import replacing
from meshgnn.metrics import norms
from meshgnn.sample import Sample

_HEADS = {
    "relative_l2": "rel. L2",
    "worst_l2": "worst L2",
    "relative_h1": "rel. H1",
    "relative_maximum": "rel. max",
    "boundary_error": "boundary",
    "seconds": "s / sample",
}


@dataclass(frozen=True)
class Table:
    """Errors of several predictors.

    Args:
        rows: {predictor: {metric: mean over the samples}}; `worst_l2` is a maximum and `seconds` a
            median. A metric that a row does not have is left out of it.
        samples: how many samples they are over.
    """

    rows: dict[str, dict[str, float]]
    samples: int

    def show(self, title: str = "") -> None:
        """Print it."""
        from rich.console import Console
        from rich.table import Table as Grid

        table = Grid(title=title or f"mean over {self.samples} samples")
        table.add_column(no_wrap=True)
        for head in _HEADS.values():
            table.add_column(head, justify="right")
        for name, row in self.rows.items():
            table.add_row(name, *(f"{row[k]:.3g}" if k in row else "–" for k in _HEADS))
        console = Console()
        if not console.is_terminal:  # files and notebooks: numbers are not to be cut off
            console = Console(width=110)
        console.print(table)

    def to_csv(self, path: str | Path) -> None:
        """Write it, one predictor a line."""
        with replacing(path) as aside, open(aside, "w", newline="") as file:
            writer = csv.DictWriter(file, ["predictor", *_HEADS])
            writer.writeheader()
            writer.writerows({"predictor": name, **row} for name, row in self.rows.items())


def evaluate(
    samples: Sequence[Sample],
    predictors: Mapping[str, Callable[[Sample], Sample | np.ndarray]],
) -> Table:
    """Errors of each predictor against the truth of the samples, and its time.

    Steady samples are handed over without their truth. Where labels carry an error of their own
    (`label_error`), it is a row: below it no comparison means anything.

    Args:
        samples: solved samples.
        predictors: {name: function from a sample to a solved sample or a field [T, N, C]}.

    Raises:
        ValueError: no samples, or one without u (its position).
    """
    missing = [i for i, sample in enumerate(samples) if sample.u is None]
    if missing or not len(samples):
        raise ValueError(
            f"evaluate: expected solved samples, got {len(samples)} samples, without u: "
            f"{missing[:10]}; solve them first"
        )
    rows = {}
    for name, predict in predictors.items():
        results = [_errors(sample, predict) for sample in samples]
        rows[name] = {k: float(np.mean([r[k] for r in results])) for k in results[0]}
        rows[name]["worst_l2"] = max(r["relative_l2"] for r in results)
        rows[name]["seconds"] = float(np.median([r["seconds"] for r in results]))
    labels = [s.label_error for s in samples if s.label_error is not None]
    if labels:
        rows["label itself"] = {"relative_l2": float(np.mean(labels)), "worst_l2": max(labels)}
    return Table(rows, len(samples))


def _errors(sample: Sample, predict: Callable[[Sample], Sample | np.ndarray]) -> dict[str, float]:
    truth = np.asarray(sample.u)
    asked = replace(sample, u=None) if len(sample.times) == 1 else sample
    begin = perf_counter()
    found = predict(asked)
    seconds = perf_counter() - begin
    u = np.asarray(found.u if isinstance(found, Sample) else found)
    return {
        "relative_l2": norms.relative_l2(u, truth, sample.mesh.lumped_mass),
        "relative_h1": norms.relative_h1(u, truth, sample.mesh),
        "relative_maximum": norms.relative_maximum(u, truth),
        "boundary_error": norms.boundary_error(u, sample),
        "seconds": seconds,
    }

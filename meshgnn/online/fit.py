"""`fit_online`: simulate and train at once."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from meshgnn.online.simulations import Rules, Simulations, Source
from meshgnn.simulate import MeshFamily, known
from meshgnn.train import History, fit


def fit_online(
    model: nn.Module,
    problem: str | type | Callable[..., Any],
    family: MeshFamily | Sequence[MeshFamily],
    *,
    epochs: int,
    steps: int = 100,
    batch_size: int = 8,
    repeats: int = 4,
    capacity: int | None = None,
    threshold: int | None = None,
    fresh: float | None = None,
    jobs: int = 2,
    engine: str = "joblib",
    data_seed: int = 0,
    size: float | None = None,
    order: int = 1,
    options: dict[str, Any] | None = None,
    stride: int = 1,
    **training: Any,
) -> History:
    """`fit` on samples that other processes simulate meanwhile; nothing is written to disk.

    epochs × steps steps, each of batch_size graphs drawn from a reservoir. Every graph is trained
    on at most `repeats` times, so at least epochs · steps · batch_size / repeats graphs are made.
    The normalisation is that of the first `threshold` graphs. A run that goes on from a checkpoint
    begins with samples that no process has asked for before: nothing is trained on again, and what
    the reservoir held is given up.

    Args:
        model: as in `fit`; `hparams` say how many states its graphs hold.
        problem, family, data_seed, size, order, options: what is simulated, as in `simulate` (its
            `seed` is `data_seed` here).
        epochs: what validation and checkpoints are counted by.
        steps: of the optimiser in an epoch.
        batch_size: graphs in a step, over all devices together.
        repeats: how often a graph is trained on at most.
        capacity: graphs in the reservoir of a process; 64 batches by default.
        threshold: graphs in it before the first step; 8 batches by default, at most the capacity.
        fresh: samples that come in for every step, in the order of their numbers: the same run
            again gives the same weights. None takes what has come: as many samples as the workers
            can make.
        jobs, engine: who simulates, as in `simulate`.
        stride: states between the starts of two graphs of a sample in time.
        training: what else `fit` takes.

    Raises:
        ValueError: numbers that do not go together; whatever `simulate` and `fit` refuse.
        RuntimeError: a sample whose process was killed again and again.
        ImportError: Ray is asked for and not installed.

    Source: Meyer et al. 2023, Training deep surrogate models with large scale online learning.
    """
    families = [family] if isinstance(family, str) or callable(family) else list(family)
    known("fit_online", problem, families, 1, engine)
    capacity = 64 * batch_size if capacity is None else capacity
    threshold = min(8 * batch_size, capacity) if threshold is None else threshold
    rules = Rules(batch_size, steps, capacity, threshold, repeats, fresh)
    source = Source(problem, families, data_seed, size, order, options or {})
    own = getattr(model, "hparams", {})
    windows = {key: own[key] for key in ("history", "bundle") if own.get(key) is not None}
    with Simulations(source, rules, windows | {"stride": stride}, jobs, engine) as stream:
        return fit(model, stream, epochs=epochs, batch_size=batch_size, **training)

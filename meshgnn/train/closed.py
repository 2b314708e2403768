"""Models without weights: what their `fit_statistics` does is the whole fit."""

from time import perf_counter
from typing import Any

from torch import nn

from meshgnn import checkpoint
from meshgnn.losses import Loss
from meshgnn.marching import evaluating
from meshgnn.train.history import History
from meshgnn.train.prepare import Graphs, begin
from meshgnn.train.processes import together
from meshgnn.train.state import Keeper


def is_closed(model: nn.Module) -> bool:
    """Whether there is nothing to descend on."""
    return not any(p.requires_grad for p in model.parameters())


def fit_closed(
    model: nn.Module, dataset: Graphs, graphs: Graphs, held_out: Graphs | None, loss: Loss,
    keeper: Keeper, fabric: Any,
) -> History:  # fmt: skip
    """From all graphs at once, on the device of the model; a history of one epoch."""
    start = perf_counter()
    begin(model, dataset, graphs, len(graphs))
    train, validation = (_mean(model, part, loss) for part in (graphs, held_out))
    if keeper.path is not None:
        path, content = keeper.path, checkpoint.describe(model)
        together(fabric, lambda: checkpoint.write(path, content))
    return History().then(train or 0.0, validation, 0.0, perf_counter() - start)


def _mean(model: nn.Module, graphs: Any, loss: Loss) -> float | None:
    if graphs is None:
        return None
    with evaluating(model):
        return sum(float(loss(model, graph)) for graph in graphs) / len(graphs)

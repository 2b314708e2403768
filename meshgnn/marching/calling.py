"""How any model is called outside training."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import numpy as np
import torch
from jaxtyping import Float
from torch import nn
from torch_geometric.data import Data

from meshgnn.graph import Classes, check_graph
from meshgnn.sample import Sample


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """No gradients and evaluation mode inside; the model's own mode again after."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():  # not inference mode: a model may take gradients in its forward
            yield
    finally:
        model.train(training)


def ready(model: nn.Module, graph: Data) -> Data:
    """The graph as the model takes it: checked, with `model.transform` applied, on its device."""
    check_graph(graph, model)
    transform = getattr(model, "transform", None)
    graph = graph if transform is None else transform(graph)
    tensors = chain(model.parameters(), model.buffers(), [torch.zeros(())])
    return graph.to(next(tensors).device)


def check_names(model: nn.Module, sample: Sample) -> None:
    """Whether the columns of a sample are those that the model was trained with, by name.

    Raises:
        ValueError: other names (both lists). Names that one side does not give are not compared.
    """
    trained = getattr(model, "meta", {}).get("names", {})
    for kind in ("inputs", "cell_inputs", "u", "params"):
        expected, got = trained.get(kind), sample.names.get(kind)
        if expected and got and expected != got:
            raise ValueError(
                f"{type(model).__name__} was trained with {kind} {expected}, the sample has {got}; "
                "give it samples of the same problem, columns in this order"
            )


def exact(
    sample: Sample, state: Float[torch.Tensor, "n C"], time: float
) -> Float[np.ndarray, "N C"]:
    """A state in float64 with the boundary values of that time, to the last digit."""
    field = Classes.of(sample).spread(state.double().cpu().numpy())
    return np.where(sample.boundary.dirichlet_mask, sample.dirichlet_at(time), field)

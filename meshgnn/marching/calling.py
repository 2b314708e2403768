"""How any model is called outside training."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import chain

import numpy as np
import torch
from jaxtyping import Float
from torch import nn
from torch_geometric.data import Data

from meshgnn.graph import Classes, check_graph
from meshgnn.sample import Sample

PRECISIONS = ("32-true", "bf16-mixed")


@contextmanager
def evaluating(model: nn.Module, precision: str = "32-true", cached: bool = True) -> Iterator[None]:
    """No gradients and evaluation mode inside; the model's own mode again after.

    Args:
        model: any.
        precision: "32-true" leaves number formats as they are, "bf16-mixed" takes products in
            bfloat16 (autocast) on the device of the model.
        cached: bfloat16 weights may be kept until the end of the block.

    Raises:
        ValueError: another precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"expected precision {' or '.join(PRECISIONS)}, got {precision!r}; boundary values and "
            "residuals need float32"
        )
    kind, half = _device(model).type, precision != "32-true"
    cast = torch.autocast(kind, torch.bfloat16, cache_enabled=cached) if half else nullcontext()
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), cast:  # not inference mode: a model may take gradients in its forward
            yield
    finally:
        model.train(training)


def _device(model: nn.Module) -> torch.device:
    return next(chain(model.parameters(), model.buffers(), [torch.zeros(())])).device


def ready(model: nn.Module, graph: Data) -> Data:
    """The graph as the model takes it: checked, with `model.transform` applied, on its device.

    A model all of whose weights are in float64 gets a graph in float64 (of numbers in float32).

    Raises:
        ValueError: a graph that does not fit the model, or weights in half precision.
    """
    kinds = {p.dtype for p in model.parameters() if p.is_floating_point()}
    if half := kinds & {torch.float16, torch.bfloat16}:
        raise ValueError(
            f"{type(model).__name__}: expected weights in float32 or float64, got {half.pop()}; "
            "call model.float(), and ask for products in bfloat16 by precision='bf16-mixed'"
        )
    check_graph(graph, model)
    transform = getattr(model, "transform", None)
    graph = (graph if transform is None else transform(graph)).to(_device(model))
    if kinds != {torch.float64}:
        return graph
    return graph.apply(lambda x: x.double() if x.dtype == torch.float32 else x)


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

"""Training a model to start from fewer known states than it takes."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Data

from meshgnn.losses.steady import Loss, Model, one_step


def short_history(loss: Loss = one_step, probability: float = 0.25) -> Loss:
    """ℓ with only the last n of the K known states, n = 1, ..., K − 1, in some of the graphs.

    The older ones are replaced by the oldest that is left and `graph.known` becomes n, as `rollout`
    has it when it starts from an initial condition alone. Each graph of a batch draws for itself,
    by torch's random numbers. Without gradients (validation) all states are kept.

    Args:
        loss: ℓ, any loss of graphs with known states; `one_step`, or of several calls.
        probability: that a graph loses states.

    Raises:
        ValueError: a probability outside [0, 1].
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"short_history: expected a probability in [0, 1], got {probability}")

    def shortened(model: Model, graph: Data) -> Float[Tensor, ""]:
        history, count = graph.u.shape[1], len(graph.dt)
        if history < 2 or not torch.is_grad_enabled():
            return loss(model, graph)
        device = graph.u.device
        fewer = torch.randint(1, history, (count,), device=device)
        chosen = torch.rand(count, device=device) < probability
        return loss(model, with_known(graph, torch.where(chosen, fewer, history)))

    if (begin := getattr(loss, "begin_epoch", None)) is not None:
        shortened.begin_epoch = begin  # type: ignore[attr-defined]
    return shortened


def with_known(graph: Data, known: Tensor) -> Data:
    """The graph (or batch) with only the last n states of u true, n [graphs]."""
    history = graph.u.shape[1]
    part, batch = copy.copy(graph), getattr(graph, "batch", None)
    if "known" in graph:
        known = torch.minimum(known, graph.known.to(known.dtype))
    own = known.expand(graph.num_nodes) if batch is None else known[batch]
    frame = torch.arange(history, device=own.device)
    place = torch.maximum(frame[None], (history - own)[:, None])
    part.u = graph.u.gather(1, place[..., None].expand_as(graph.u))
    part.known = known.to(graph.u.dtype)
    return part

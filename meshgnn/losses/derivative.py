"""The loss of models that give du/dt."""

from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Data

from meshgnn.losses.steady import Loss, free_mean_square


def derivative(order: int = 1) -> Loss:
    """`derivative_target` with a difference quotient of that order."""
    if order < 1:
        raise ValueError(f"derivative: expected order of at least 1, got {order}")
    return partial(derivative_target, order=order)


def derivative_target(model: Any, graph: Data, order: int = 1) -> Float[Tensor, ""]:
    """L = Σ_c Σ_i m_i (Δt (f̂_ic − D u_ic) / σ_c)² / Σ_c Σ_i m_i over the free entries.

    f̂ = model.derivative(graph) [N, C] is the model's du/dt at the last known state and its time,
    D u the difference quotient of the data there. Masses and σ as in `one_step`: σ is the spread of
    the changes over a step (`model.scale_out.std`).

    Of order 1 it is `one_step` of an Euler step: with this target Euler steps of Δt meet the data
    exactly, but other integrators and steps do not, to O(Δt). An integrator of order p at small
    steps wants a target of order p at least. Noise on the known states (`fit`) enters the quotient
    as noise / Δt: the model is then asked to undo it within one step.

    Args:
        model: has a method derivative(graph) -> [N, C].
        graph: one, or a batch.
        order: see `difference_quotient`.

    Raises:
        ValueError: as in `difference_quotient`.

    Source: Zhou & Barati Farimani, Predicting Change, Not States, 2024.
    """
    error = _step(graph) * (model.derivative(graph) - difference_quotient(graph, order))
    return free_mean_square(model, graph, error[:, None])


def difference_quotient(graph: Data, order: int = 1) -> Float[Tensor, "N C"]:
    """D u = Σ_j w_j u(t + j Δt) / Δt,  −a ≤ j ≤ p − a: exact du/dt of polynomials of degree p in t.

    t is the time of the last known state. a = p // 2 of the p + 1 states are before it (p = 2:
    central, p = 4: the five-point formula), fewer where there are fewer true ones: a ≤ K − 1, and
    where the graph says how many are known, that many − 1.

    Args:
        graph: with K known states and at least p − a states in y, Δt apart.
        order: p.

    Raises:
        ValueError: order below 1; no known states; fewer than p − a states to come.
    """
    history, ahead = graph.u.shape[1], graph.y.shape[1]
    if order < 1 or not history:
        raise ValueError(
            "difference_quotient: expected order >= 1 and known states, got "
            f"order={order} and {history} known states"
        )
    known = min(history, int(graph.known.min())) if "known" in graph else history
    before = min(order // 2, known - 1)
    after = order - before
    if ahead < after:
        raise ValueError(
            f"difference_quotient: order {order} with {known} known states needs {after} states to "
            f"come, got {ahead}; build the data set with bundle={after}, or a longer history"
        )
    offsets = torch.arange(-before, after + 1, dtype=torch.float64)
    powers = offsets ** torch.arange(order + 1)[:, None]
    slope = torch.zeros(order + 1, dtype=torch.float64)
    slope[1] = 1.0  # the derivative at 0 of 1, j, j², ...
    weights = torch.linalg.solve(powers, slope).to(graph.u)
    states = torch.cat([graph.u, graph.y], dim=1)[:, history - 1 - before : history + after]
    change = states - graph.u[:, -1:]  # the weights add up to 0; so no digits of u are lost
    return torch.einsum("s,nsc->nc", weights, change) / _step(graph)


def _step(graph: Data) -> Float[Tensor, "_ 1"]:
    """Δt of the graph of every node."""
    batch = getattr(graph, "batch", None)
    return graph.dt[None] if batch is None else graph.dt[batch, None]

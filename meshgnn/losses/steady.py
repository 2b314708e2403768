"""Losses of one call of the model."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Data

from meshgnn.operators import hat_gradients, simplex_squares

Model = Callable[[Data], Tensor]
Loss = Callable[[Any, Data], Tensor]


def one_step(model: Model, graph: Data) -> Float[Tensor, ""]:
    """L = Σ_c Σ_i m_i ((û_ic − y_ic) / σ_c)² / Σ_c Σ_i m_i over the free entries, mean over S.

    The mass-weighted mean square, in units of the spread σ of what the network predicts
    (`model.scale_out.std`, so that no component outweighs another; 1 where a model has none).
    Prescribed entries do not count: L = 0 where all are. Graphs of a batch weigh by their volume.
    """
    return free_mean_square(model, graph, model(graph) - graph.y)


def free_mean_square(model: Any, graph: Data, error: Float[Tensor, "N S C"]) -> Float[Tensor, ""]:
    """Σ_c Σ_i m_i (e_ic / σ_c)² / Σ_c Σ_i m_i over free entries, mean over S, as in `one_step`."""
    scale_out = getattr(model, "scale_out", None)
    scale = 1.0 if scale_out is None else scale_out.std
    weight = graph.mass[:, None] * ~graph.dirichlet_mask
    square = (error / scale) ** 2 * weight[:, None]
    total = weight.sum() * error.shape[1]
    return square.sum() / torch.where(total > 0, total, 1.0)


def relative_l2_loss(model: Model, graph: Data) -> Float[Tensor, ""]:
    """L = mean over graphs of ‖û − y‖ / ‖y‖,  ‖v‖² = Σ_i m_i |v_i|²: the error that is reported.

    Every graph counts alike, whatever its size and the size of its solution. Components are taken
    together, as they are: use `one_step` where their units differ. Prescribed entries are left out
    of the numerator. A graph whose solution is 0 (‖y‖ below 1e-6 of the batch's, the rounding of
    float32) has no relative error: it is measured by the root mean square of ‖y‖ over the batch,
    and by 1 in a batch of zeros alone.
    """
    largest = graph.mass.max()
    mass, owner = graph.mass / largest, getattr(graph, "batch", None)
    return _relative(model, graph, lambda v: mass * (v**2).sum(dim=(1, 2)), owner, largest)


def relative_mass_loss(model: Model, graph: Data) -> Float[Tensor, ""]:
    """L = mean over graphs of ‖û − y‖ / ‖y‖,  ‖v‖² = ∫ |v|² dx = vᵀ M v of the P1 fields.

    M is the consistent mass matrix of the simplices, element by element, so û and y are compared as
    functions, `metrics.relative_l2_consistent`. All else is as in `relative_l2_loss`.

    Source: the norm of Bouziani & Boullé, Structure-Preserving Operator Learning, 2024.
    """
    simplices, batch = graph.simplex_index.t(), getattr(graph, "batch", None)
    unit = graph.pos.abs().max()  # cubes of small units leave float32
    corners = _corners(graph, simplices) / unit
    separate = torch.arange(simplices.numel(), device=simplices.device).view_as(simplices)
    volumes = hat_gradients(corners.flatten(0, 1), separate)[1].abs()
    largest = volumes.max()
    volumes = volumes / largest

    def squares(v: Tensor) -> Tensor:
        return simplex_squares(v.flatten(1), simplices, volumes)

    owner = None if batch is None else batch[simplices[:, 0]]
    return _relative(model, graph, squares, owner, largest * unit ** (simplices.shape[1] - 1))


def _corners(graph: Data, simplices: Int[Tensor, "Z n"]) -> Float[Tensor, "Z n d"]:
    """Where the corners of every simplex are, periods that it crosses included."""
    corners, shift = graph.pos[simplices], graph.get("simplex_shift")
    if shift is None:
        return corners
    batch = getattr(graph, "batch", None)
    period = graph.period if batch is None else graph.period[batch[simplices[:, 0]]]
    return corners + shift.view_as(corners) * period[:, None]


def _relative(
    model: Model,
    graph: Data,
    squares: Callable[[Tensor], Tensor],
    owner: Tensor | None,
    largest: Tensor,
) -> Float[Tensor, ""]:
    """Mean over graphs of ‖û − y‖ / ‖y‖, safe from the units of x and y and from y = 0.

    Args:
        model: gives û.
        graph: one, or a batch.
        squares: v [N, S, C] -> parts of ‖v‖², of nodes or of simplices, over `largest`.
        owner: graph of each part; None for a single graph.
        largest: measure of the largest part.
    """
    batch = getattr(graph, "batch", None)
    batch = graph.mass.new_zeros(len(graph.mass), dtype=torch.int64) if batch is None else batch
    graphs = torch.zeros(len(graph.theta), dtype=graph.y.dtype, device=graph.y.device)

    def total(v: Tensor) -> Tensor:
        parts = squares(v)
        return parts.sum()[None] if owner is None else graphs.index_add(0, owner, parts)

    # squares of small units (a mesh in nm) leave float32: all of them are taken of ratios near 1
    peak = graphs.scatter_reduce(0, batch, graph.y.abs().amax(dim=(1, 2)), "amax")
    highest = peak.max().where(peak.any(), 1.0)
    ratio = graph.y / peak.where(peak > 0, 1.0)[batch, None, None]
    size = total(ratio).sqrt() * (peak / highest)
    typical = size.square().mean().sqrt()
    size = highest * size.where(size > 1e-6 * typical, typical)
    size = size.where(peak.any(), largest.rsqrt())
    error = (model(graph) - graph.y) * (~graph.dirichlet_mask)[:, None]
    # the square root has no gradient at 0, where a solution is met exactly
    return torch.sqrt(total(error / size[batch, None, None]) + 1e-14).mean()

"""What training minimises: functions (model, graph) -> scalar."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
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
    scale_out = getattr(model, "scale_out", None)
    scale = 1.0 if scale_out is None else scale_out.std
    weight = graph.mass[:, None] * ~graph.dirichlet_mask
    error = ((model(graph) - graph.y) / scale) ** 2 * weight[:, None]
    total = weight.sum() * graph.y.shape[1]
    return error.sum() / torch.where(total > 0, total, 1.0)


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
    simplices = graph.simplex_index.t()
    unit = graph.pos.abs().max()  # cubes of small units leave float32
    volumes = hat_gradients(graph.pos / unit, simplices)[1].abs()
    largest, batch = volumes.max(), getattr(graph, "batch", None)
    volumes = volumes / largest

    def squares(v: Tensor) -> Tensor:
        return simplex_squares(v.flatten(1), simplices, volumes)

    owner = None if batch is None else batch[simplices[:, 0]]
    return _relative(model, graph, squares, owner, largest * unit ** (simplices.shape[1] - 1))


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


def pushforward(depth: int, loss: Loss = one_step) -> Loss:
    """L = ℓ(û_1) + ℓ(û_depth), where the depth − 1 calls before the last one are without gradient.

    The model sees its own output as input, which makes rollouts stable, at the cost of `depth`
    forward and two backward passes. Graphs must hold depth · S states to predict
    (MeshDataset(bundle=depth * S) for a model that gives S at a time).

    Args:
        depth: number of model calls, at least 2.
        loss: ℓ, a loss of one call.

    Raises:
        ValueError: depth below 2; graphs whose number of states is not depth times the model's.

    Source: Brandstetter, Worrall, Welling, Message Passing Neural PDE Solvers, ICLR 2022, sec. 3.1.
    """
    if depth < 2:
        raise ValueError(f"pushforward: expected depth of at least 2, got {depth}; use one_step")

    def stepped(model: Model, graph: Data) -> Float[Tensor, ""]:
        states = graph.y.shape[1]
        bundle, rest = divmod(states, depth)
        if rest:
            raise ValueError(
                f"pushforward: expected graphs with {depth} times the model's states in y, got "
                f"{states}; build the data set with bundle = depth * S"
            )
        current = _part(graph, 0, bundle, graph.u)
        total = loss(model, current)
        with torch.no_grad():
            for step in range(1, depth):
                known = torch.cat([current.u, model(current)], dim=1)[:, -graph.u.shape[1] :]
                current = _part(graph, step, bundle, known)
        return total + loss(model, current)

    return stepped


def _part(graph: Data, step: int, bundle: int, known: Tensor) -> Data:
    """The graph of one call: its known states, its boundary values and its target."""
    part, rows = copy.copy(graph), slice(step * bundle, (step + 1) * bundle)
    part.u, part.dirichlet, part.y = known, graph.dirichlet[:, rows], graph.y[:, rows]
    return part

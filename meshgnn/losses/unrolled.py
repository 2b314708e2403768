"""Losses that call the model on its own output.

All take graphs with depth · S states to predict, MeshDataset(history=K, bundle=depth * S) for a
model that gives S at a time; K may be smaller or larger than S. Every call gets its own boundary
values, time and number of true states.
"""

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Data

from meshgnn.losses.steady import Loss, Model, one_step


def pushforward(depth: int, loss: Loss = one_step) -> Loss:
    """L = ℓ(û_1) + ℓ(û_depth), where the depth − 1 calls before the last one are without gradient.

    The model sees its own output as input, which makes rollouts stable, at the cost of depth + 1
    forward and two backward passes; memory does not depend on depth. `RandomPushforward` is the
    published form.

    Args:
        depth: number of model calls, at least 2.
        loss: ℓ, a loss of one call.

    Raises:
        ValueError: depth below 2; graphs without known states, or whose number of states to predict
            is not a multiple of depth.

    Source: Brandstetter, Worrall & Welling, Message Passing Neural PDE Solvers, 2022, sec. 3.1.
    """
    _check_depth("pushforward", depth)

    def stepped(model: Model, graph: Data) -> Float[Tensor, ""]:
        bundle = _bundle("pushforward", graph, depth)
        total = loss(model, _call(graph, 0, bundle, graph.u))
        return total + loss(model, _pushed(model, graph, bundle, depth - 1))

    return stepped


class RandomPushforward:
    """L = ℓ(û_{N+1}) after N calls without gradient; N = 0, 1, ..., equally likely, for each batch.

    Only the last call has a gradient, so memory does not depend on N. All graphs of a batch share
    N, which is drawn by torch's random numbers (`fit` seeds them for every epoch). The largest N
    grows from 0 by 1 every `warm_up` epochs up to depth − 1, as predictions are worth little as
    inputs before a model has learned anything. Where gradients are off (validation) N is the
    largest, depth − 1, always.

    `fit` tells the epoch, also that of a resumed run; a loop of one's own does by `begin_epoch`.

    Args:
        depth: largest number of model calls, at least 2; 2 as published.
        loss: ℓ, a loss of one call.
        warm_up: epochs before each increase of the largest N; 0 for all N from the start. Published
            are 250 passes over the data.

    Raises:
        ValueError: depth below 2, warm_up below 0; when called: as in `pushforward`, or a warm-up
            whose epoch is not known.

    Source: Brandstetter, Worrall & Welling, Message Passing Neural PDE Solvers, 2022, sec. 3.1; the
    warm-up is that of their code.
    """

    def __init__(self, depth: int, loss: Loss = one_step, warm_up: int = 1) -> None:
        _check_depth("RandomPushforward", depth)
        if warm_up < 0:
            raise ValueError(f"RandomPushforward: expected warm_up >= 0 epochs, got {warm_up}")
        self.depth, self.loss, self.warm_up = depth, loss, warm_up
        self.epoch: int | None = None

    def begin_epoch(self, epoch: int) -> None:
        """Says that the epoch of this number starts, counted from 0."""
        self.epoch = epoch

    @property
    def largest(self) -> int:
        """The largest N of the epoch."""
        if not self.warm_up:
            return self.depth - 1
        if self.epoch is None:
            raise ValueError(
                "RandomPushforward: warm_up needs the epoch; call begin_epoch(epoch) before each "
                "epoch, counted from 0, or pass warm_up=0"
            )
        return min(self.epoch // self.warm_up, self.depth - 1)

    def __call__(self, model: Model, graph: Data) -> Float[Tensor, ""]:
        bundle, calls = _bundle("RandomPushforward", graph, self.depth), self.depth - 1
        if torch.is_grad_enabled():
            calls = int(torch.randint(self.largest + 1, ()))
        return self.loss(model, _pushed(model, graph, bundle, calls))


def unrolled(depth: int, loss: Loss = one_step) -> Loss:
    """L = mean of ℓ(û_1), ..., ℓ(û_depth), with the gradient through all calls.

    The exact gradient of the error of a rollout. Memory grows like depth, and gradients may grow or
    vanish like powers of it; `pushforward` has neither.

    Args:
        depth: number of model calls, at least 2.
        loss: ℓ, a loss of what the model gives for the graph as it is, such as `one_step`.

    Raises:
        ValueError: as in `pushforward`.
    """
    _check_depth("unrolled", depth)

    def stepped(model: Model, graph: Data) -> Float[Tensor, ""]:
        bundle = _bundle("unrolled", graph, depth)
        current, parts = _call(graph, 0, bundle, graph.u), []
        for step in range(depth):
            out = model(current)
            parts.append(loss(_Answered(model, out), current))
            if step + 1 < depth:
                following = _call(graph, step + 1, bundle, _last(current.u, out))
                current = _carried(current, following)
        return torch.stack(parts).mean()

    return stepped


class _Answered:
    """A model that has already been called: a loss gets its output without a second call."""

    def __init__(self, model: Model, out: Tensor) -> None:
        self.model, self.out = model, out

    def __call__(self, graph: Data) -> Tensor:
        if "refine" in graph:
            raise ValueError(
                "unrolled: a Refined model is trained on noise at a random stage, which has no "
                "march; use its own loss, or pass loss=one_step"
            )
        return self.out

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


@torch.no_grad()
def _pushed(model: Model, graph: Data, bundle: int, calls: int) -> Data:
    """The graph of the call that follows so many calls of the model on its own output."""
    current = _call(graph, 0, bundle, graph.u)
    for step in range(calls):
        out = model(current)
        current = _carried(current, _call(graph, step + 1, bundle, _last(current.u, out)))
    return current


def _carried(current: Data, following: Data) -> Data:
    """With what a model keeps from call to call of a march (`GIOROM`: velocities)."""
    for name in ("march_state", "march_velocity"):
        if name in current:
            following[name] = current[name]
    return following


def _last(known: Tensor, out: Tensor) -> Tensor:
    """The last K states when those of a call are added."""
    return torch.cat([known, out.to(known.dtype)], dim=1)[:, -known.shape[1] :]


def _call(graph: Data, step: int, bundle: int, known: Tensor) -> Data:
    """The graph of one call: its known states, its time, its boundary values and its target."""
    part, rows = copy.copy(graph), slice(step * bundle, (step + 1) * bundle)
    part.u, part.dirichlet, part.y = known, graph.dirichlet[:, rows], graph.y[:, rows]
    if "time" in graph:
        part.time = graph.time + step * bundle * graph.dt
    if "known" in graph:
        part.known = (graph.known + step * bundle).clamp(max=known.shape[1])
    return part


def _bundle(name: str, graph: Data, depth: int) -> int:
    """S, of graphs that hold depth · S states to predict."""
    if not graph.u.shape[1]:
        raise ValueError(
            f"{name}: expected graphs with known states, got none (a steady problem); use one_step"
        )
    bundle, rest = divmod(graph.y.shape[1], depth)
    if rest or not bundle:
        raise ValueError(
            f"{name}: expected graphs with {depth} times the model's states in y, got "
            f"{graph.y.shape[1]}; build the data set with bundle = depth * S"
        )
    return bundle


def _check_depth(name: str, depth: int) -> None:
    if depth < 2:
        raise ValueError(f"{name}: expected depth of at least 2, got {depth}; use one_step")

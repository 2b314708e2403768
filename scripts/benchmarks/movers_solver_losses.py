"""Losses of `movers_solver.py`: several calls, with the moved meshes of the true states."""

import copy
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from meshgnn import losses


class Taught:
    """A model that gets the moved meshes of a window from `moved_steps` [N, depth, d].

    In training a state is one of data with noise, or the model's own answer for one: its mesh is
    taken to be that of the true state, so that the mover is called once for each state of the data
    and not in every step. In a march every mesh is of the model's own state.
    """

    def __init__(self, model: Any) -> None:
        self.model, self.calls = model, 0

    def __call__(self, graph: Data) -> Tensor:
        if "moved_steps" in graph:
            graph.moved_to, graph.moved_for = graph.moved_steps[:, self.calls], graph.u[:, -1]
        self.calls += 1
        return self.model(graph)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


class Growing:
    """L = mean of ℓ(û_1), ..., ℓ(û_n) of n calls, with the gradient through all, n by the epoch.

    Args:
        depths: n of every epoch; all windows hold the largest number of states to predict.
    """

    def __init__(self, depths: tuple[int, ...]) -> None:
        self.depths, self.depth = depths, max(depths)

    def begin_epoch(self, epoch: int) -> None:
        """Said by `fit`."""
        self.depth = self.depths[epoch]

    def __call__(self, model: Any, graph: Data) -> Tensor:
        part, depth = copy.copy(graph), self.depth if torch.is_grad_enabled() else max(self.depths)
        part.y, part.dirichlet = graph.y[:, :depth], graph.dirichlet[:, :depth]
        loss = losses.one_step if depth == 1 else losses.unrolled(depth)
        return loss(Taught(model), part)

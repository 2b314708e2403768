"""Graphs that come while a model is trained, in place of a data set."""

from typing import Any, Protocol, runtime_checkable

from torch import nn
from torch_geometric.data import Data

from meshgnn.graph import MeshDataset, check_graph


@runtime_checkable
class Stream(Protocol):
    """Where graphs come from while `fit` runs; its length is the number of graphs in an epoch."""

    def __len__(self) -> int: ...

    def begin(self, rank: int, world: int, start: int) -> MeshDataset:
        """The first graphs of process `rank` of `world`, of samples number `start` and later."""
        ...

    def draw(self, count: int) -> list[Data]:
        """Graphs of one step."""
        ...

    def position(self) -> int:
        """All samples from this number on are new to this process."""
        ...

    def identity(self) -> dict[str, Any]:
        """What a run must share with one that it continues."""
        ...


class Drawn:
    """A stream as a model wants it: every graph checked and transformed."""

    def __init__(self, stream: Stream, model: nn.Module) -> None:
        self.stream, self.model = stream, model
        self._check = getattr(model, "check_graph", None) or (lambda g: check_graph(g, model))
        self._transform = getattr(model, "transform", None) or (lambda graph: graph)

    def __len__(self) -> int:
        return len(self.stream)

    def draw(self, count: int) -> list[Data]:
        """Graphs of one step."""
        graphs = self.stream.draw(count)
        for graph in graphs:
            self._check(graph)
        return [self._transform(graph) for graph in graphs]

    def next_start(self, fabric: Any) -> int:
        """All samples from this number on are new to all processes."""
        import torch

        here = torch.tensor(self.stream.position(), device=fabric.device)
        return int(fabric.all_reduce(here, reduce_op="max"))

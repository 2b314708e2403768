"""The reference of a family within a model, and a graph as a shape."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.correspondence import Correspondence, Reference, Shape
from meshgnn.graph import part_names
from meshgnn.models.mmgp.buffers import sized_by_checkpoint


def shape_of(graph: Data) -> Shape:
    """The mesh of a graph with its named parts. Raises: ValueError: as `Shape.of`; periodic."""
    if graph.get("period") is not None:
        raise ValueError("MMGP: periodic meshes are not covered; cut the mesh open, or use BENO")
    rows, parts = (graph[name].cpu().numpy() for name in ("part_index", "part"))
    simplices = graph.simplex_index.t().contiguous()
    return Shape.of(graph.pos, simplices, rows.T, parts, part_names(graph))


class Family(nn.Module):
    """The reference mesh as buffers; the splines over it are made anew where they are needed.

    Args:
        dim: d.
        names: those of its boundary facets, each once.
        sharp: of `Reference`.
    """

    points: Tensor
    simplices: Tensor
    part: Tensor

    def __init__(self, dim: int, names: list[str], sharp: float) -> None:
        super().__init__()
        self.names, self.sharp = names, sharp
        self.register_buffer("points", torch.zeros(0, dim, dtype=torch.float64))
        self.register_buffer("simplices", torch.zeros(0, dim + 1, dtype=torch.int64))
        self.register_buffer("part", torch.zeros(0, dtype=torch.int64))
        sized_by_checkpoint(self)

    def fit(self, graphs: list[Data]) -> None:
        """Take the shape whose boundary is nearest to the mean of all.

        Raises:
            ValueError: shapes of different parts, holes or corners, with the number of the first.
        """
        shapes = [shape_of(graph) for graph in graphs]
        first = Reference(shapes[0], self.sharp)
        rows = []
        for i, shape in enumerate(shapes):
            try:
                place = first.boundary.place(shape).of(shape.points)
            except ValueError as error:
                raise ValueError(f"MMGP: shape {i} of the training set: {error}") from error
            rows.append(place - place.mean(dim=0))
        places = torch.stack(rows)
        chosen = shapes[int(((places - places.mean(dim=0)) ** 2).sum(dim=(1, 2)).argmin())]
        self.points, self.simplices = chosen.points.clone(), chosen.simplices.clone()
        self.names[:] = sorted(set(chosen.names))
        numbers = [self.names.index(name) for name in chosen.names]
        self.part = torch.tensor(numbers, device=chosen.points.device)
        self.__dict__.pop("_made", None)

    @property
    def reference(self) -> Reference:
        """The reference with what follows from its mesh."""
        made = self.__dict__.get("_made")
        if made is None or made.shape.points.device != self.points.device:
            facets = Shape.of(self.points, self.simplices, *_none(self.points.shape[1])).facets
            names = [self.names[i] for i in self.part.tolist()]
            shape = Shape(self.points, self.simplices, facets, names)
            made = self.__dict__["_made"] = Reference(shape, self.sharp)
        return made

    def over(self, graph: Data) -> Correspondence:
        """The reference laid over a graph. Raises: ValueError: another family; cells that fold."""
        laid = self.reference.over(shape_of(graph))
        laid.check()
        return laid

    def mass(self) -> Float[Tensor, " R"]:
        """Lumped mass of the reference mesh."""
        return self.reference.mass


def _none(d: int) -> tuple[Any, Any, list[str]]:
    return np.zeros((0, d), np.int64), np.zeros(0, np.int64), []

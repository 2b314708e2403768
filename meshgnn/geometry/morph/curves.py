"""Nodes that slide: put back onto their curve, with the cells around following."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from meshgnn.geometry.morph.body import Body
from meshgnn.geometry.morph.matrices import Factorised
from meshgnn.mesh.topology import simplices
from meshgnn.operators import walls


class Curves:
    """x -> x + E (π(x) - x) with the projection π onto the smooth pieces of sliding parts and the
    harmonic extension E into the inside, 0 at all other boundary nodes.

    Args:
        body: the mesh with what is held.
        names: boundary parts that slide.

    Raises:
        ValueError: a surface or curve in space.
    """

    def __init__(self, body: Body, names: tuple[str, ...]) -> None:
        mesh = body.mesh
        if mesh.dim < mesh.points.shape[1]:
            raise ValueError(
                "slide: parts of surfaces and curves in space cannot slide; leave slide out"
            )
        facets, owner = simplices(mesh.boundary_facets)
        label = np.zeros(len(facets), np.int64)
        for number, name in enumerate(names, 1):
            label[np.isin(owner, mesh.facets_of(name))] = number
        self.start = torch.tensor(mesh.points)
        self.walls = walls(
            self.start,
            torch.tensor(mesh.simplices),
            torch.tensor(facets[label > 0]),
            torch.tensor(label[label > 0]),
        )
        nodes = body.marked(facets[label > 0].ravel()) & ~body.fixed_nodes
        self.nodes = torch.tensor(np.flatnonzero(nodes))
        self.extension = body.harmonic(body.skin_nodes | body.fixed_nodes)

    def onto(self, x: Float[Tensor, "N d"]) -> Float[Tensor, "N d"]:
        """The points with those of sliding parts on their curves; differentiable."""
        target = self.walls.onto(x, self.start)
        change = torch.zeros_like(x).index_copy(0, self.nodes, (target - x)[self.nodes])
        found: Any = _Extension.apply(change, self.extension)
        # not x + (target - x), which is off the curve by a rounding
        return (x + found).index_copy(0, self.nodes, target[self.nodes])


class _Extension(torch.autograd.Function):
    """`Factorised` as a function of torch."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, extension: Factorised) -> Tensor:
        ctx.extension = extension
        return torch.tensor(extension(values.detach().numpy()))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return torch.tensor(ctx.extension.transposed(grads[0].numpy())), None

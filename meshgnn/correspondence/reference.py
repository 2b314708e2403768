"""`Reference`: one mesh that stands for a family, and how it is laid over each shape of it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import KDTree
from torch import Tensor

from meshgnn.correspondence.curves import Placement
from meshgnn.correspondence.outline import Outline
from meshgnn.correspondence.shape import Shape
from meshgnn.correspondence.skin import Skin
from meshgnn.correspondence.splines import spline, spread_out
from meshgnn.operators import (
    Location,
    barycentric,
    hat_gradients,
    interpolate,
    lumped_mass,
    neighbour_steps,
    track,
)


class Reference:
    """X(ξ) = Σ_b w_b k(|ξ − ξ_b|) + A ξ + c with X(ξ_b) = Y_b: the reference laid over a shape.

    Y places every boundary node ξ_b of the reference on the same named part of the shape, at
    the same fraction of the length of the curve between two corners. Corners are where the name of
    the part changes and where the boundary turns by more than `sharp`; a closed curve without one
    starts to the right of its centre. On solids these curves are the edges between patches of the
    surface, and patches follow their edges, see `skin.Skin`. Inside, X is the polyharmonic spline
    of the boundary, k(r) = r² log r in the plane and r in space, least in bending: it keeps affine
    maps exactly, and holes carry their surroundings along, where harmonic maps fold. X is
    differentiable in the points of the shape.

    Shapes of a family have the same parts, holes and corners, each part under its name; where a
    name has several pieces these are told apart by where they are in the bounding box. Very
    different shapes may still fold: `Correspondence.check` says so. Not covered: changes of
    topology, interfaces inside, periodic meshes, surfaces in space, solids with a part of the
    surface that is closed in itself, as a sphere of one name.

    Args:
        shape: the reference; its mesh is the one that fields are compared on.
        sharp: see above, rad.
        controls: largest number of boundary nodes that the spline inside goes through; the others
            lie on the boundary all the same.

    Raises:
        ValueError: a boundary that touches itself; a closed part of a surface without edges.
    """

    def __init__(self, shape: Shape, sharp: float = np.pi / 3, controls: int = 1500) -> None:
        self.shape, self.controls = shape, controls
        self.boundary = Outline(shape, sharp) if shape.points.shape[1] == 2 else Skin(shape, sharp)

    @cached_property
    def extension(self) -> Float[Tensor, "R B"]:
        """E of X = E Y, the identity on the nodes of the boundary."""
        points, nodes = self.shape.numbers, self.boundary.nodes
        edges = self.boundary.fixed if 2 * self.boundary.fixed <= self.controls else 1
        some = spread_out(points[nodes], self.controls, edges)
        out = np.zeros((len(points), len(nodes)))
        out[:, some] = spline(points, points[nodes[some]])
        out[nodes] = np.eye(len(nodes))  # to the last digit
        return torch.from_numpy(out).to(self.shape.points.device)

    @cached_property
    def steps(self) -> Int[Tensor, "S n"]:
        """From each cell to its neighbours, see `operators.neighbour_steps`."""
        return neighbour_steps(self.shape.simplices, len(self.shape.points))

    @cached_property
    def mass(self) -> Float[Tensor, " R"]:
        """Lumped mass of its nodes."""
        return lumped_mass(self.shape.points.detach(), self.shape.simplices)

    def over(self, shape: Shape) -> "Correspondence":
        """The reference laid over a shape. Raises: ValueError: other parts or corners."""
        rim = self.boundary.place(shape)
        return Correspondence(self, shape, rim, self.extension @ rim.of(shape.points))


def _found(
    x: Float[Tensor, "Q d"],
    points: Float[Tensor, "N d"],
    cells: Int[Tensor, "S n"],
    steps: Int[Tensor, "S n"],
) -> Location:
    """Where x lie in a mesh: walks from the nearest nodes.

    Just outside, between the polygons of a curved boundary, weights go on linearly and so become
    negative: clamped ones would have a kink at the boundary, and be of first order.
    """
    near = KDTree(points.detach().cpu().numpy()).query(x.detach().cpu().numpy())[1]
    first = torch.zeros(len(points), dtype=torch.int64, device=cells.device)
    first[cells.reshape(-1)] = torch.arange(len(cells), device=cells.device).repeat_interleave(
        cells.shape[1]
    )
    start = first[torch.from_numpy(near).to(cells.device)]
    found = track(x.detach(), points.detach(), cells, steps, None, start)
    return Location(found.simplex, barycentric(x, points, cells[found.simplex]), found.inside)


@dataclass(frozen=True, eq=False)
class Correspondence:
    """Points of a shape and points of the reference, one to one.

    Args:
        reference: the reference.
        shape: the shape.
        rim: where the boundary nodes of the reference (`reference.boundary.nodes`) lie.
        points: X [R, d], where the nodes of the reference lie in the shape.
    """

    reference: Reference
    shape: Shape
    rim: Placement
    points: Float[Tensor, "R d"]

    @cached_property
    def there(self) -> Location:
        """The nodes of the reference in the mesh of the shape."""
        cells = self.shape.simplices
        steps = neighbour_steps(cells, len(self.shape.points))
        return _found(self.points, self.shape.points, cells, steps)

    @cached_property
    def back(self) -> Location:
        """The nodes of the shape in the mesh of the reference laid over it."""
        cells = self.reference.shape.simplices
        return _found(self.shape.points, self.points, cells, self.reference.steps)

    def to_reference(self, u: Float[Tensor, "N C"]) -> Float[Tensor, "R C"]:
        """A field of the shape at the nodes of the reference, by linear interpolation."""
        return interpolate(u, self.shape.simplices, self.there)

    def to_shape(self, v: Float[Tensor, "R C"]) -> Float[Tensor, "N C"]:
        """A field of the reference at the nodes of the shape."""
        return interpolate(v, self.reference.shape.simplices, self.back)

    def coordinates(self) -> Float[Tensor, "N d"]:
        """Where the nodes of the shape lie in the reference."""
        return self.to_shape(self.reference.shape.points)

    @cached_property
    def folded(self) -> Int[np.ndarray, " F"]:
        """Simplices of the reference with no positive volume in the shape."""
        cells = self.reference.shape.simplices
        before = hat_gradients(self.reference.shape.points.detach(), cells)[1]
        after = hat_gradients(self.points.detach(), cells)[1]
        ratio = after / before
        return np.flatnonzero(~(ratio > 1e-6 * ratio.median()).cpu().numpy())

    def check(self) -> None:
        """Raises: ValueError: cells that fold: how many."""
        if len(self.folded):
            raise ValueError(
                f"correspondence: the reference folds in {len(self.folded)} of "
                f"{len(self.reference.shape.simplices)} cells when it is laid over this shape, "
                "which is too different from it; take a reference nearer to the middle of the "
                "family, or a family of less variation"
            )

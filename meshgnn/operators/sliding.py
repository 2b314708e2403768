"""Moved points that respect the domain: tangential at walls and never past them.

Walls are the boundary, and any other facets that have to stay where they are as a set, such as the
interface of two materials. In 2D they are curves between corners, in 3D surfaces between ridges,
which are curves between corners themselves.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from meshgnn.mesh.topology import boundary, row_keys
from meshgnn.operators.differential import hat_gradients
from meshgnn.operators.interpolation import Location, interpolate, locate

CORNER = 35.0  # degrees: circles of 11 edges and more are smooth, those of octagons are corners


@dataclass(frozen=True, eq=False)
class Walls:
    """Where the nodes of a mesh may go: anywhere inside, along the walls, not at all at corners.

    Args:
        tangents: T [N, d, d] orthogonal projectors on the directions that a node may take.
        pieces: (nodes [K], simplices [F, k]) of every smooth piece: the nodes that slide on it,
            and its segments or triangles. A ridge's nodes slide on the ridge.
        corners: [K] nodes that stay.
    """

    tangents: Float[Tensor, "N d d"]
    pieces: list[tuple[Int[Tensor, " _"], Int[Tensor, "_ _"]]]
    corners: Int[Tensor, " K"]

    def onto(self, x: Float[Tensor, "N d"], pos: Float[Tensor, "N d"]) -> Float[Tensor, "N d"]:
        """The points x with those of wall nodes put to the nearest point of their piece.

        Differentiable in x along the piece. Points x_i = pos_i come back as they are.
        """
        found = x.index_copy(0, self.corners, pos[self.corners])
        for nodes, points, simplices, place in self._places(x, pos):
            found = found.index_copy(0, nodes, interpolate(points, simplices, place))
        return torch.where((x == pos).all(dim=1, keepdim=True), pos, found)

    def along(self, x: Float[Tensor, "N d"], pos: Float[Tensor, "N d"]) -> Float[Tensor, "N d d"]:
        """T [N, d, d] of nodes that have moved to x: on curves that of the segment or triangle
        they are on now, where the T of their old place points off the curve."""
        found = self.tangents
        for nodes, points, simplices, place in self._places(x, pos):
            facet = simplices[place.simplex]
            span = torch.einsum("kid,kie->kde", points[facet], hat_gradients(points, facet)[0])
            free = found[nodes].any(dim=2).any(dim=1)[:, None, None]
            found = found.index_copy(0, nodes, torch.where(free, span, 0.0))
        return found

    def _places(
        self, x: Float[Tensor, "N d"], pos: Float[Tensor, "N d"]
    ) -> Iterator[tuple[Tensor, Tensor, Tensor, Location]]:
        """Of every piece: its sliding nodes, its points, its simplices, where x is on it."""
        for nodes, rows in self.pieces:
            used, simplices = rows.unique(return_inverse=True)
            target, plane = x[nodes], self.tangents[nodes]
            if torch.allclose(plane, plane[:1], rtol=0, atol=1e-9):
                # the same nearest point, but mostly inside the piece, where it is found at once
                target = pos[nodes] + torch.einsum("kij,kj->ki", plane, target - pos[nodes])
            yield nodes, pos[used], simplices, locate(target, pos[used], simplices)


def walls(
    pos: Float[Tensor, "N d"],
    simplices: Int[Tensor, "S n"],
    facets: Int[Tensor, "F k"] | None = None,
    labels: Int[Tensor, " F"] | None = None,
    corner: float = CORNER,
) -> Walls:
    """The smooth pieces of the walls of a mesh.

    Two facets belong to one piece where they meet with a turn of at most `corner`, alone, and with
    equal labels. All other joints are ridges in 3D and corners in 2D; ridges meet in the same way,
    or in corners. The tip of a cone is a corner as well. In 1D the end points are. Nodes between
    straight sides slide along them exactly; on a curve they slide along its polygon. Works on
    disjoint unions of meshes. Found on the CPU, without derivatives.

    Args:
        pos: x [N, d] node positions.
        simplices: [S, d + 1].
        facets: [F, d] the walls; all boundary facets by default.
        labels: [F] of parts of the walls that nodes do not leave; one part by default.
        corner: turn in degrees.

    Raises:
        ValueError: surfaces or curves in space.
    """
    d = pos.shape[1]
    if simplices.shape[1] != d + 1:
        raise ValueError(
            f"walls: expected simplices with d + 1 = {d + 1} corners in {d} dimensions, got "
            f"{simplices.shape[1]}; surfaces and curves in space are not covered"
        )
    x, device = pos.detach().cpu().double().numpy(), pos.device
    level = _all_facets(simplices, len(x)) if facets is None else facets.cpu().numpy()
    parts = np.zeros(len(level), np.int64) if labels is None else labels.cpu().numpy()
    tangents, pieces = np.tile(np.eye(d), (len(x), 1, 1)), []
    fixed, flat = np.zeros(len(x), bool), 2 - 2 * np.cos(np.radians(corner))
    while level.shape[1] > 1:
        joints, smooth, component = _joints(x, level, parts, flat)
        sharp = np.zeros(len(x), bool)
        sharp[joints[~smooth]] = True
        nodes, projectors, tips = _planes(x, level, flat)
        tangents[nodes] = projectors
        fixed[nodes[tips & ~sharp[nodes]]] = True
        pieces += _pieces(level, component, ~(sharp | fixed))
        level, parts = joints[~smooth], np.zeros((~smooth).sum(), np.int64)
    fixed[level] = True
    tangents[fixed] = 0

    def index(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=device)

    return Walls(
        torch.as_tensor(tangents, dtype=pos.dtype, device=device),
        [(index(nodes), index(rows)) for nodes, rows in pieces],
        index(np.flatnonzero(fixed)),
    )


def _all_facets(simplices: Int[Tensor, "S n"], nodes: int) -> Int[np.ndarray, "F d"]:
    """The boundary facets of simplices."""
    d = simplices.shape[1] - 1
    name = ("line", "triangle", "tetra")[d - 1]
    rows = boundary({name: simplices.cpu().numpy()}, nodes).values()
    return np.concatenate([np.zeros((0, d), np.int64), *(found for found, _ in rows)])


def tangents(pos: Float[Tensor, "N d"], simplices: Int[Tensor, "S n"]) -> Float[Tensor, "N d d"]:
    """T_i v is the part of v that node i may follow: v inside, 0 at corners.

    T = I - n nᵀ on the faces of a 3D mesh and t tᵀ on the edges of a 2D mesh and along ridges,
    with the mean normal n of the facets and the mean direction t of the edges of the node. A turn
    of more than 35 degrees is a ridge or corner; see `walls`, which has more choices.
    """
    return walls(pos, simplices).tangents


def onto_boundary(
    x: Float[Tensor, "N d"], pos: Float[Tensor, "N d"], simplices: Int[Tensor, "S n"]
) -> Float[Tensor, "N d"]:
    """x_i for inner nodes; the nearest point of its own smooth piece for each boundary node.

    So nodes stay on their side of a polygon, their curve or surface (its facets), corners where
    they are. Keep `walls(pos, simplices)` and use its `onto` for many x on one mesh.
    """
    return walls(pos, simplices).onto(x, pos)


def _joints(
    x: Float[np.ndarray, "N d"],
    rows: Int[np.ndarray, "F k"],
    labels: Int[np.ndarray, " F"],
    flat: float,
) -> tuple[Int[np.ndarray, "J l"], Bool[np.ndarray, " J"], Int[np.ndarray, " F"]]:
    """Joints of the simplices with each other, whether they are smooth, and the smooth components.

    With b the unit vector from a joint to the opposite corner, square to the joint, two simplices
    meet with the turn α, |b + b'|² = 2 - 2 cos α.
    """
    count, k = rows.shape
    sides = np.stack([np.delete(rows, i, axis=1) for i in range(k)], axis=1).reshape(-1, k - 1)
    keys = sides[:, 0] if k == 2 else row_keys(sides, len(x))
    _, first, joint = np.unique(keys, return_index=True, return_inverse=True)
    out = x[rows.reshape(-1)] - x[sides[:, 0]]
    if k == 3:
        along = x[sides[:, 1]] - x[sides[:, 0]]
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        out = out - (out * along).sum(axis=1, keepdims=True) * along
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    sums = np.stack([np.bincount(joint, column, len(first)) for column in out.T], axis=1)
    owner = np.repeat(np.arange(count), k)
    last = np.zeros(len(first), np.int64)
    last[joint] = owner
    smooth = (np.bincount(joint, minlength=len(first)) == 2) & ((sums**2).sum(axis=1) <= flat)
    smooth &= labels[owner[first]] == labels[last]
    links = (np.ones(smooth.sum()), (owner[first][smooth], last[smooth]))
    component = connected_components(coo_array(links, shape=(count, count)), directed=False)[1]
    return sides[first], smooth, component.astype(np.int64)


def _planes(
    x: Float[np.ndarray, "N d"], rows: Int[np.ndarray, "F k"], flat: float
) -> tuple[Int[np.ndarray, " K"], Float[np.ndarray, "K d d"], Bool[np.ndarray, " K"]]:
    """Nodes of segments or triangles, projectors on their tangents, and the tips of cones.

    The direction is the first eigenvector of Σ |s| n nᵀ, n the normal of a triangle or the
    direction of a segment, which therefore need no common orientation.
    """
    side = x[rows[:, 1:]] - x[rows[:, :1]]
    axis = side[:, 0] if rows.shape[1] == 2 else np.cross(side[:, 0], side[:, 1])
    size = np.linalg.norm(axis, axis=1)
    axis = axis / size[:, None]
    nodes, local = np.unique(rows, return_inverse=True)
    local = local.reshape(rows.shape)
    weight = size if rows.shape[1] == 3 else np.ones_like(size)
    total = np.zeros((len(nodes), x.shape[1], x.shape[1]))
    for corner in local.T:
        np.add.at(total, corner, weight[:, None, None] * axis[:, :, None] * axis[:, None, :])
    first = np.linalg.eigh(total)[1][:, :, -1] if len(nodes) else np.zeros((0, x.shape[1]))
    projector = first[:, :, None] * first[:, None, :]
    if rows.shape[1] == 2:
        return nodes, projector, np.zeros(len(nodes), bool)
    cosine = np.abs((first[local] * axis[:, None]).sum(axis=2))
    tips = np.zeros(len(nodes), bool)
    tips[local[2 - 2 * cosine > flat]] = True
    return nodes, np.eye(x.shape[1]) - projector, tips


def _pieces(
    rows: Int[np.ndarray, "F k"], component: Int[np.ndarray, " F"], free: Bool[np.ndarray, " N"]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(nodes that slide, simplices) of every component that has such nodes."""
    order = np.argsort(component, kind="stable")
    cuts = np.flatnonzero(np.diff(component[order])) + 1
    found = []
    for part in np.split(rows[order], cuts):
        nodes = np.unique(part)
        if free[nodes].any():
            found.append((nodes[free[nodes]], part))
    return found

"""Quadrature on the cells or facets of a mesh: points, weights, shape functions, gradients."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from meshgnn.fem import values
from meshgnn.fem.elements import SIMPLICES, Table
from meshgnn.fem.values import PerCell, VectorValue
from meshgnn.mesh import Mesh


@dataclass(frozen=True, eq=False)
class Quadrature:
    """Q points in each of M cells (or facets) of one type; ∫ v dx ≈ Σ_qm w_qm v(x_qm).

    Args:
        mesh: whose points these are.
        name: cell type.
        vertices: [M, v] nodes.
        dofs: [M, k] scalar degrees of freedom.
        owner: [M] number of the mesh's cell (or boundary facet) that each one is a part of.
        table: shape functions at the reference points.
    """

    mesh: Mesh
    name: str
    vertices: Int[np.ndarray, "M v"]
    dofs: Int[np.ndarray, "M k"]
    owner: Int[np.ndarray, " M"]
    table: Table

    @cached_property
    def points(self) -> Float[np.ndarray, "Q M d"]:
        """x_q = Σ_a φ_a(ξ_q) x_a."""
        return np.tensordot(self.table.corners, self.mesh.points[self.vertices], ((1,), (1,)))

    @cached_property
    def _tangents(self) -> tuple[Float[np.ndarray, "q n d M"], Float[np.ndarray, "q M"]]:
        """Dual vectors g^i of the tangents t_i = ∂x/∂ξ_i, and sqrt(det t_i·t_j).

        Simplices have straight sides and so one pair each (q = 1) for all their points.
        """
        slopes = self.table.slopes[:1] if self.name in SIMPLICES else self.table.slopes
        corners = self.mesh.points.T[:, self.vertices]
        return dual(np.tensordot(slopes.transpose(0, 2, 1), corners, ((2,), (2,))))

    @property
    def duals(self) -> Float[np.ndarray, "q n d M"]:
        """g^i, so that ∇v = Σ_i ∂v/∂ξ_i g^i; q = 1 on simplices, where they are constant."""
        return self._tangents[0]

    @cached_property
    def weights(self) -> Float[np.ndarray, "Q M"]:
        """Weight of each point times the local measure."""
        return self.table.weights[:, None] * self._tangents[1]

    @cached_property
    def gradients(self) -> Float[np.ndarray, "Q k d M"]:
        """∇φ_a(x_q) = Σ_i ∂φ_a/∂ξ_i g^i; tangential on curves and surfaces."""
        duals, slopes = self._tangents[0], self.table.shape_slopes
        flat = slopes @ duals.reshape(*duals.shape[:2], -1)
        return flat.reshape(*slopes.shape[:2], *duals.shape[2:])

    def evaluate(
        self, value: VectorValue, what: str, channels: int | None = None, by_cell: bool = False
    ) -> Float[np.ndarray, "Q M *C"]:
        """A datum at the points; arrays over the nodes are taken as P1 functions.

        With `by_cell` an array may be over the cells instead, which its length tells.

        Raises:
            ValueError: wrong lengths or shapes, values that are NaN or infinite.
        """
        if channels is not None and isinstance(value, Sequence):
            parts = values.per_channel(value, channels, what)
            return np.stack([self.evaluate(v, what) for v in parts], axis=-1)
        shape = (len(self.table.weights), len(self.owner))
        if by_cell and not isinstance(value, Sequence):
            value = values.coefficient(value, self.mesh, what)
        if isinstance(value, PerCell):
            return np.broadcast_to(values.per_cell(value, self.mesh, what)[self.owner], shape)
        if values.is_array(value, channels):
            data = values.finite(values.nodal(value, self.mesh, what, channels), what)
            return np.tensordot(self.table.corners, data[self.vertices], ((1,), (1,)))
        if callable(value):
            return values.at_points(value, self.points, what, channels)
        return values.at_points(value, np.broadcast_to(0.0, (*shape, 1)), what, channels)


def dual(
    tangents: Float[np.ndarray, "q n d M"],
) -> tuple[Float[np.ndarray, "q n d M"], Float[np.ndarray, "q M"]]:
    """g^i with g^i · t_j = δ_ij in the span of the t_i, and the measure sqrt(det t_i·t_j).

    Written out for n = 0, 1, 2, 3, without normal equations: thin cells keep their digits.
    """
    n, d = tangents.shape[1:3]
    if n == 0:
        return tangents, np.ones((tangents.shape[0], tangents.shape[3]))
    if n == 1:
        length2 = (tangents**2).sum(axis=(1, 2))
        return tangents / length2[:, None, None], np.sqrt(length2)
    t = tangents[:, 0], tangents[:, 1]
    if (n, d) == (2, 2):
        det = t[0][:, 0] * t[1][:, 1] - t[0][:, 1] * t[1][:, 0]
        rows = [[t[1][:, 1], -t[1][:, 0]], [-t[0][:, 1], t[0][:, 0]]]
        return np.stack([np.stack(r, axis=1) for r in rows], axis=1) / det[:, None, None], abs(det)
    normal = np.cross(t[0], t[1], axis=1)
    if n == 2:
        area2 = (normal**2).sum(axis=1)
        duals = [np.cross(t[1], normal, axis=1), np.cross(normal, t[0], axis=1)]
        return np.stack(duals, axis=1) / area2[:, None, None], np.sqrt(area2)
    last = tangents[:, 2]
    det = (normal * last).sum(axis=1)
    duals = [np.cross(t[1], last, axis=1), np.cross(last, t[0], axis=1), normal]
    return np.stack(duals, axis=1) / det[:, None, None], abs(det)

"""The skin of a mesh: its boundary, or the mesh itself where it is a surface or curve in space."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import eigh
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import eigsh

from meshgnn.geometry.morph.matrices import Factorised, laplacian, lumped
from meshgnn.mesh import Mesh
from meshgnn.mesh.measures import unit
from meshgnn.mesh.topology import simplices

_DENSE = 600  # unknowns up to which all eigenpairs are computed


@dataclass(frozen=True, eq=False)
class Skin:
    """Simplices of the skin, with the part of the mesh that each of them comes from.

    Args:
        points: X [N, d].
        simplices: [F, n], n = 2 segments, 3 triangles; 1 in 1D, where the skin is points.
        owner: [F] index of the boundary facet, or of the cell where the mesh itself is the skin.
    """

    points: Float[np.ndarray, "N d"]
    simplices: Int[np.ndarray, "F n"]
    owner: Int[np.ndarray, " F"]

    @staticmethod
    def of(mesh: Mesh) -> "Skin":
        """The skin of a mesh."""
        if mesh.dim < mesh.points.shape[1]:
            return Skin(mesh.points, mesh.simplices, mesh.simplex_cells)
        return Skin(mesh.points, *simplices(mesh.boundary_facets))

    def rows(self, mesh: Mesh, names: Sequence[str]) -> Bool[np.ndarray, " F"]:
        """Which simplices belong to named parts.

        Raises:
            ValueError: an unknown part, one of another dimension, or without any simplex here.
        """
        solid = mesh.dim == mesh.points.shape[1]
        chosen = np.zeros(len(self.simplices), bool)
        for name in names:
            whole = mesh.facets_of(name) if solid else mesh.cells_of(name)
            if not len(whole):
                raise ValueError(
                    f"part {name!r} is empty, or none of its facets is on the boundary; this kind "
                    "moves the boundary only, Motion moves any part"
                )
            chosen |= np.isin(self.owner, whole)
        return chosen

    def normals(self, rows: Bool[np.ndarray, " F"]) -> Float[np.ndarray, "N d"]:
        """Unit mean of the normals of the chosen simplices at each node, 0 elsewhere.

        Raises:
            ValueError: a skin without normals: curves in three dimensions.
        """
        x, d = self.points[self.simplices[rows]], self.points.shape[1]
        if x.shape[1] != d:
            raise ValueError(
                f"normals need a boundary or a mesh of dimension {d - 1} in {d} dimensions, got "
                f"one of dimension {x.shape[1] - 1}; use FreeForm or RadialBasis"
            )
        if d == 3:
            sized = np.cross(x[:, 1] - x[:, 0], x[:, 2] - x[:, 0])
        elif d == 2:
            sized = np.stack([x[:, 1, 1] - x[:, 0, 1], x[:, 0, 0] - x[:, 1, 0]], axis=1)
        else:
            # the two ends of a line
            sized = np.sign(x[:, 0] - self.points.mean())
        total = np.zeros_like(self.points)
        for corner in self.simplices[rows].T:
            np.add.at(total, corner, sized)
        return unit(total)

    def modes(
        self, rows: Bool[np.ndarray, " F"], held: Bool[np.ndarray, " N"], count: int
    ) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, "N K"]]:
        """-Δ v = λ v on the chosen simplices, v = 0 at held nodes: the smoothest K fields.

        P1 with the lumped mass; ∫ v_k v_l = δ_kl, the entry of largest size positive. Closed
        parts have λ = 0 with constant v, one for each.

        Raises:
            ValueError: a skin of points; fewer free nodes than modes.
        """
        if self.simplices.shape[1] < 2:
            raise ValueError("modes of the boundary need curves or surfaces; in 1D it is points")
        chosen = self.simplices[rows]
        nodes = np.unique(chosen)
        nodes = nodes[~held[nodes]]
        if len(nodes) < count:
            raise ValueError(
                f"expected at most {len(nodes)} modes, the free nodes of the parts, got {count}"
            )
        matrix = laplacian(self.points, chosen)[nodes][:, nodes]
        mass = lumped(self.points, chosen)[nodes]
        values, vectors = _eigenpairs(matrix, mass, count)
        largest = np.abs(vectors).argmax(axis=0)
        vectors = vectors * np.sign(vectors[largest, np.arange(count)])
        fields = np.zeros((len(self.points), count))
        fields[nodes] = vectors
        return np.maximum(values, 0.0), fields

    def taper(
        self, rows: Bool[np.ndarray, " F"], held: Bool[np.ndarray, " N"], reach: float
    ) -> Float[np.ndarray, " N"]:
        """w = 0 at held nodes, 1 far from them: w - ℓ² Δw = 1 on the chosen simplices; 0 elsewhere.

        Args:
            reach: ℓ, within which w rises from 0 to 1 - 1/e.
        """
        chosen = self.simplices[rows]
        nodes = np.unique(chosen)
        found = np.zeros(len(self.points))
        found[nodes] = 1.0
        if self.simplices.shape[1] > 1 and held[nodes].any():
            matrix = reach**2 * laplacian(self.points, chosen)
            matrix = matrix + diags_array(lumped(self.points, chosen))
            lost = held & (found > 0)
            solver = Factorised(csr_array(matrix)[nodes][:, nodes], held[nodes])
            found[nodes] -= solver(lost[nodes].astype(np.float64)[:, None])[:, 0]
        found[held] = 0.0
        return found


def _eigenpairs(
    matrix: csr_array, mass: Float[np.ndarray, " K"], count: int
) -> tuple[np.ndarray, np.ndarray]:
    if len(mass) <= max(_DENSE, 2 * count):
        return eigh(matrix.toarray(), np.diag(mass), subset_by_index=(0, count - 1))
    # a little below 0, so that the matrix to be factorised is definite
    shift = -1e-3 * matrix.diagonal().sum() / mass.sum() / len(mass)
    start = np.random.default_rng(0).normal(size=len(mass))
    values, vectors = eigsh(matrix, count, M=diags_array(mass), sigma=shift, v0=start)
    order = np.argsort(values, kind="stable")
    return values[order], vectors[:, order]

"""Taylor–Hood elements: P2 velocity and P1 pressure on the simplices of a mesh."""

from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy.sparse import coo_matrix, csr_matrix

from meshgnn.fem.elements import SIMPLICES, table
from meshgnn.fem.quadrature import dual
from meshgnn.fem.space import Space
from meshgnn.fem.values import VectorValue
from meshgnn.mesh import Mesh


class TaylorHood:
    """The matrices of incompressible flow, one scalar block each.

    Velocity components are P2 (degrees of freedom as in `Space` of order 2: the nodes of the mesh,
    then the mid points of the edges), the pressure is P1 at the nodes of the mesh. All integrals
    are exact on the straight simplices. All [n, n] matrices share one sparsity pattern, so that
    sums of them are sums of their `data`.

    Args:
        mesh: cells that fill the plane or space; other than simplices are split into them.

    Raises:
        ValueError: a mesh on a line, or a curve or surface in space.
    """

    def __init__(self, mesh: Mesh) -> None:
        d = mesh.points.shape[1]
        if mesh.dim != d or d < 2:
            raise ValueError(
                f"Taylor–Hood elements need 2D cells in the plane or 3D cells in space, got "
                f"{mesh.dim}D cells in {d}D"
            )
        self.mesh, self.space, self.dim = mesh, Space(mesh, 2), d
        self.size = self.space.size
        # degree 5 is exact for φ_k φ_i ∂φ_j
        block = self.space.quadratures(5)[0]
        corners = mesh.points[block.vertices]
        duals, measure = dual((corners[:, 1:] - corners[:, :1]).transpose(1, 2, 0)[None])
        self._block, self._dofs = block, block.dofs
        self._duals = (duals[0] * measure[0]).transpose(2, 0, 1)
        at = table(SIMPLICES[d], 2, 5)
        weighted = at.weights[:, None, None] * at.shapes[:, :, None] * at.shapes[:, None, :]
        triple = np.einsum("qki,qjm->kmij", weighted, at.shape_slopes)
        self._triple = triple.reshape(-1, at.shapes.shape[1] ** 2)
        self.mass = self.space.mass()
        self.stiffness = self.space.stiffness()
        keys = np.repeat(np.arange(self.size), np.diff(self.mass.indptr)) * self.size
        wanted = block.dofs[:, :, None] * self.size + block.dofs[:, None, :]
        self._slots = np.searchsorted(keys + self.mass.indices, wanted.ravel())

    @cached_property
    def embedding(self) -> csr_matrix:
        """[n, N] of 1 and 1/2: the P2 coefficients of a P1 function."""
        nodes, edges = self.mesh.num_nodes, self.space.edges
        rows = np.concatenate([np.arange(nodes), nodes + np.repeat(np.arange(len(edges)), 2)])
        columns = np.concatenate([np.arange(nodes), edges.ravel()])
        entries = np.repeat([1.0, 0.5], [nodes, 2 * len(edges)])
        return csr_matrix(coo_matrix((entries, (rows, columns)), shape=(self.size, nodes)))

    @cached_property
    def divergence(self) -> list[csr_matrix]:
        """B_c, [N, n], of each component: (B_c)_ij = ∫ ψ_i ∂φ_j/∂x_c dx, ψ the P1 functions."""
        ones = np.ones((self.size, self.dim))
        parts = []
        for c in range(self.dim):
            along = np.zeros_like(ones)
            along[:, c] = 1.0  # e_c · ∇ is ∂/∂x_c
            parts.append(csr_matrix(self.embedding.T @ self.matrix(self.convection(along))))
        return parts

    @cached_property
    def gradient(self) -> list[csr_matrix]:
        """B_cᵀ, [n, N], of each component."""
        return [csr_matrix(part.T) for part in self.divergence]

    @cached_property
    def pressure_stiffness(self) -> csr_matrix:
        """L_ij = ∫ ∇ψ_i · ∇ψ_j dx, [N, N]."""
        return csr_matrix(self.embedding.T @ self.stiffness @ self.embedding)

    @cached_property
    def pressure_mass(self) -> csr_matrix:
        """∫ ψ_i ψ_j dx, [N, N]."""
        return csr_matrix(self.embedding.T @ self.mass @ self.embedding)

    def convection(self, wind: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " nnz"]:
        """Entries of C_ij = ∫ φ_i (w·∇) φ_j dx in the common pattern, for a P2 wind w.

        One product of [M, k d] and [k d, k²] tables for all cells: C is linear in w.
        """
        local = np.zeros((*self._dofs.shape, self.dim))
        for c in range(self.dim):
            local += wind[self._dofs, c][:, :, None] * self._duals[:, None, :, c]
        entries = local.reshape(len(local), -1) @ self._triple
        return np.bincount(self._slots, entries.ravel(), self.mass.nnz)

    def matrix(self, entries: Float[np.ndarray, " nnz"]) -> csr_matrix:
        """The matrix [n, n] of these entries in the common pattern."""
        return csr_matrix((entries, self.mass.indices, self.mass.indptr), self.mass.shape)

    def load(self, force: VectorValue) -> Float[np.ndarray, "n d"]:
        """∫ f·v dx for a vector f; its points and weights are kept for the next time.

        Raises: ValueError: wrong lengths or shapes, values that are NaN or infinite.
        """
        block = self._block
        weighted = block.weights[..., None] * block.evaluate(force, "source", self.dim)
        local = np.tensordot(block.table.shapes, weighted, ((0,), (0,))).swapaxes(0, 1)
        index = self._dofs.ravel()
        columns = [np.bincount(index, local[..., c].ravel(), self.size) for c in range(self.dim)]
        return np.stack(columns, axis=1)

    def net(self, velocity: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " N"]:
        """∫ ψ_i ∇·u dx at every node."""
        parts = [b @ velocity[:, c] for c, b in enumerate(self.divergence)]
        return np.sum(parts, axis=0)

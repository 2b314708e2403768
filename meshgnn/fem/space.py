"""`Space`: continuous finite elements on a mesh, and the matrices and loads of weak forms."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import bsr_matrix, coo_matrix, csr_matrix

from meshgnn.fem import values
from meshgnn.fem.elements import SIMPLICES, midpoints, table
from meshgnn.fem.quadrature import Quadrature
from meshgnn.fem.values import CellValue, PerCell, Value, VectorValue
from meshgnn.mesh import Mesh
from meshgnn.mesh.topology import Cells, match_rows, simplices, unique_edges


class Space:
    """v(x) = Σ_i v_i φ_i(x), continuous Lagrange elements of order 1 or 2.

    Order 1 uses the true element of every cell: P1 on lines, triangles and tetrahedra, the
    (bi-, tri-)linear one on quadrilaterals, hexahedra and wedges, mixed as they come. Meshes with
    pyramids (whose shape functions are not polynomials), and every mesh at order 2, are taken as
    their simplices, `Mesh.simplices`; order 2 is P2 with straight edges. Curves and surfaces in
    space are covered, with tangential gradients.

    The nodes of the mesh are the first degrees of freedom, in their order; order 2 appends the
    mid points of the edges. Quadrature is exact for the matrices on affine cells with
    coefficients that are constant in each cell, and of degree 2 · order otherwise.

    Args:
        mesh: the mesh.
        order: 1 or 2.

    Raises:
        ValueError: another order.
    """

    def __init__(self, mesh: Mesh, order: int = 1) -> None:
        if order not in (1, 2):
            raise ValueError(f"order: expected 1 or 2, got {order}")
        self.mesh = mesh
        self.order = order
        self.split = order == 2 or "pyramid" in mesh.cells

    @cached_property
    def edges(self) -> Int[np.ndarray, "E 2"]:
        """Edges that carry degrees of freedom: those of the simplices at order 2, else none."""
        if self.order == 1:
            return np.zeros((0, 2), dtype=np.int64)
        return unique_edges({SIMPLICES[self.mesh.dim]: self.mesh.simplices}, self.mesh.num_nodes)

    @cached_property
    def points(self) -> Float[np.ndarray, "n d"]:
        """Location of the scalar degrees of freedom."""
        return np.concatenate([self.mesh.points, self.mesh.points[self.edges].mean(axis=1)])

    @property
    def size(self) -> int:
        """Number n of scalar degrees of freedom."""
        return self.mesh.num_nodes + len(self.edges)

    def _blocks(self, cells: Cells) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """(type, vertices, position in `cells`) after the split, where there is one."""
        if self.split:
            rows, owner = simplices(cells)
            return [(SIMPLICES[rows.shape[1] - 1], rows, owner)] if len(rows) else []
        starts = np.cumsum([0, *map(len, cells.values())])
        return [
            (name, rows, np.arange(start, start + len(rows)))
            for (name, rows), start in zip(cells.items(), starts, strict=False)
        ]

    def _dofs(self, name: str, vertices: Int[np.ndarray, "M v"]) -> Int[np.ndarray, "M k"]:
        nodes = self.mesh.num_nodes
        further = [
            nodes + match_rows(vertices[:, pair], self.edges, nodes)
            for pair in (midpoints(name) if self.order == 2 else ())
        ]
        return np.column_stack([vertices, *further])

    def quadratures(
        self, degree: int, facets: Int[np.ndarray, " F"] | None = None
    ) -> list[Quadrature]:
        """One per cell type: over the cells, or over some boundary facets (global numbers)."""
        if facets is None:
            blocks = self._blocks(self.mesh.cells)
        else:
            chosen, start = {}, 0
            for name, rows in self.mesh.boundary_facets.items():
                chosen[name] = rows[
                    facets[(facets >= start) & (facets < start + len(rows))] - start
                ]
                start += len(rows)
            blocks = [(n, r, np.sort(facets)[o]) for n, r, o in self._blocks(chosen) if len(r)]
        return [
            Quadrature(self.mesh, n, r, self._dofs(n, r), o, table(n, self.order, degree))
            for n, r, o in blocks
        ]

    def dofs_on(self, cells: Cells) -> Int[np.ndarray, " K"]:
        """Degrees of freedom on entities given by connectivity, of any dimension, ascending."""
        found = [self._dofs(name, rows).ravel() for name, rows, _ in self._blocks(cells)]
        return np.unique(np.concatenate([np.zeros(0, np.int64), *found]))

    def interpolate(
        self,
        value: VectorValue,
        what: str,
        dofs: Int[np.ndarray, " K"] | None = None,
        channels: int | None = None,
    ) -> Float[np.ndarray, " K *C"]:
        """The datum at (some) degrees of freedom; data by cell as means around each node.

        A nodal array needs values where it is asked for only.

        Raises:
            ValueError: a wrong length or shape, or values that are NaN or infinite.
        """
        chosen = np.arange(self.size) if dofs is None else dofs
        if channels is not None and isinstance(value, Sequence):
            parts = values.per_channel(value, channels, what)
            return np.stack([self.interpolate(v, what, dofs) for v in parts], axis=-1)
        if isinstance(value, PerCell):
            value = values.to_nodes(values.per_cell(value, self.mesh, what), self.mesh)
        if not values.is_array(value, channels):
            return np.array(values.at_points(value, self.points[chosen], what, channels))
        full = values.nodal(value, self.mesh, what, channels)
        return values.finite(np.concatenate([full, full[self.edges].mean(axis=1)])[chosen], what)

    def stiffness(self, k: CellValue = 1.0, what: str = "diffusivity") -> csr_matrix:
        """K_ij = ∫ k ∇φ_i·∇φ_j dx.

        Args:
            k: constant, function, array over nodes or cells, or {region: constant}; positive.
            what: name of k, for messages.

        Raises:
            ValueError: k that is not positive, or not data as `values` describes.
        """
        coefficient, parts = values.coefficient(k, self.mesh, what), []
        for block in self.quadratures(self._degree(coefficient)):
            weights = block.weights * values.positive(block.evaluate(coefficient, what), what)
            scaled = block.gradients * weights[:, None, None]
            parts.append((block.dofs, np.einsum("qkdm,qldm->klm", scaled, block.gradients)))
        return self.assembled(parts)

    def elasticity(self, lame: CellValue, shear: CellValue) -> csr_matrix:
        """K = ∫ λ (∇·u)(∇·v) + 2μ ε(u):ε(v) dx, ε = (∇u + ∇uᵀ)/2; dof = node · d + component.

        Args:
            lame: λ, Pa, as k of `stiffness` (zero is allowed).
            shear: μ, Pa, positive.
        """
        lam, mu = (values.coefficient(v, self.mesh, "elastic modulus") for v in (lame, shear))
        d, blocks = self.mesh.points.shape[1], []
        for block in self.quadratures(max(self._degree(lam), self._degree(mu))):
            first = block.evaluate(lam, "Lamé modulus")
            second = values.positive(block.evaluate(mu, "shear modulus"), "shear modulus")
            grad = block.gradients
            squeezed, sheared = (grad * (block.weights * c)[:, None, None] for c in (first, second))
            both = np.einsum("qkcm,qlcm->klm", sheared, grad)
            blocks.append((block.dofs, grad, squeezed, sheared, both))

        def part(a: int, b: int) -> csr_matrix:
            pairs = [
                (
                    dofs,
                    np.einsum("qkm,qlm->klm", squeezed[:, :, a], grad[:, :, b])
                    + np.einsum("qkm,qlm->klm", sheared[:, :, b], grad[:, :, a])
                    + (both if a == b else 0),
                )
                for dofs, grad, squeezed, sheared, both in blocks
            ]
            return self.assembled(pairs)

        # one scalar matrix for each pair of components, all of one pattern: a d² th of the memory
        parts = [[part(a, b) for b in range(d)] for a in range(d)]
        entries = np.stack([np.stack([m.data for m in row], axis=-1) for row in parts], axis=-2)
        pattern = parts[0][0]
        shape = (self.size * d, self.size * d)
        whole = bsr_matrix((entries, pattern.indices, pattern.indptr), shape=shape)
        return csr_matrix(whole.tocsr())

    def mass(
        self,
        c: CellValue = 1.0,
        what: str = "capacity",
        facets: Int[np.ndarray, " F"] | None = None,
    ) -> csr_matrix:
        """M_ij = ∫ c φ_i φ_j dx over the cells, or ds over boundary facets (global numbers).

        Raises: ValueError: c <= 0 in the cells, c < 0 on facets, or not data as `values` describes.
        """
        coefficient, parts = values.coefficient(c, self.mesh, what), []
        for block in self.quadratures(2 * self.order + (facets is not None), facets):
            pairs = np.einsum("qk,ql->klq", block.table.shapes, block.table.shapes)
            data = block.evaluate(coefficient, what)
            if facets is None:
                values.positive(data, what)
            elif data.min(initial=0) < 0:
                raise ValueError(f"{what}: expected values >= 0, the smallest is {data.min():.6g}")
            parts.append((block.dofs, pairs @ (block.weights * data)))
        return self.assembled(parts)

    def load(
        self,
        f: VectorValue | CellValue,
        what: str = "source",
        facets: Int[np.ndarray, " F"] | None = None,
        channels: int = 1,
    ) -> Float[np.ndarray, " n"]:
        """b_i = ∫ f φ_i dx over the cells, or ds over boundary facets; [n C], node-major."""
        data, result = values.by_region(f, self.mesh, what), np.zeros((self.size, channels))
        for block in self.quadratures(2 * self.order + (facets is not None), facets):
            at = block.evaluate(data, what, None if channels == 1 else channels)
            weighted = block.weights[..., None] * at.reshape(*block.weights.shape, channels)
            local = np.tensordot(block.table.shapes, weighted, ((0,), (0,)))
            for c in range(channels):
                index = block.dofs.T.ravel()
                result[:, c] += np.bincount(index, local[..., c].ravel(), self.size)
        return result.ravel()

    def _degree(self, coefficient: Value) -> int:
        """Exact for affine cells; tensor-product ones need 2 a direction, the patch test says."""
        constant = isinstance(coefficient, int | float | PerCell)
        affine = self.split or all(name in SIMPLICES for name in self.mesh.cells)
        return 2 * self.order - 2 if constant and affine else 2 * self.order

    def assembled(self, parts: list[tuple[np.ndarray, np.ndarray]]) -> csr_matrix:
        """Sum of element matrices [k, k, M] on degrees of freedom [M, k]."""
        rows, columns, entries = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)], [np.zeros(0)]
        for dofs, local in parts:
            index = dofs.T.astype(np.int32)
            rows.append(np.broadcast_to(index[:, None], local.shape).ravel())
            columns.append(np.broadcast_to(index[None], local.shape).ravel())
            entries.append(local.ravel())
        where = np.concatenate(rows), np.concatenate(columns)
        shape = (self.size, self.size)
        return csr_matrix(coo_matrix((np.concatenate(entries), where), shape=shape))

"""Incomplete Cholesky factors of sparse symmetric positive definite matrices."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array, csr_matrix, issparse, sparray, spmatrix
from scipy.sparse.linalg import LinearOperator

from meshgnn.preconditioner import kernels

Matrix = spmatrix | sparray
_SHIFTS = [0.0, *(1e-3 * 2.0**k for k in range(12))]


@dataclass(frozen=True, eq=False)
class Factor:
    """P = S⁻¹ Πᵀ L Lᵀ Π S⁻¹, an approximation of A with L on the pattern of the lower part of A.

    S = diag(A)^-1/2 scales A to unit diagonal, Π numbers its rows by reverse Cuthill-McKee. P is
    symmetric positive definite whenever the diagonal of L is positive, whatever else L holds.

    Args:
        order: [n] row of A at each place of L.
        scale: [n] diagonal of S, in the rows of A.
        start: [n + 1] where the rows of L begin.
        column: [k] columns of its entries below the diagonal, ascending in each row.
        matrix: [k] entries of the scaled and numbered matrix there.
        lower: [k] entries of L there.
        diagonal: [n] diagonal of L, positive.
        shift: what was added to the unit diagonal so that no pivot failed.
    """

    order: Int[np.ndarray, " n"]
    scale: Float[np.ndarray, " n"]
    start: Int[np.ndarray, " m"]
    column: Int[np.ndarray, " k"]
    matrix: Float[np.ndarray, " k"]
    lower: Float[np.ndarray, " k"]
    diagonal: Float[np.ndarray, " n"]
    shift: float = 0.0

    @property
    def row(self) -> Int[np.ndarray, " k"]:
        """Rows of the entries below the diagonal."""
        return np.repeat(np.arange(len(self.order)), np.diff(self.start))

    def solve(self, right: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """z = P⁻¹ r by two triangular solves, in float64."""
        return self.operator().matvec(right)

    def operator(self) -> LinearOperator:
        """P⁻¹ for the argument M of `scipy.sparse.linalg.cg`."""
        n, inverse = len(self.order), 1 / self.diagonal
        fixed = self.start, self.column, self.lower, inverse, self.order, self.scale

        def apply(right: Any) -> Any:
            right = np.ascontiguousarray(right, dtype=np.float64).ravel()
            return kernels.solve(*fixed, right)

        return LinearOperator((n, n), matvec=apply, rmatvec=apply, dtype=np.float64)  # type: ignore[call-arg]

    def scaled_matrix(self) -> csr_array:
        """Π S A S Πᵀ, the matrix with unit diagonal that L Lᵀ approximates."""
        n = len(self.order)
        below = csr_array((self.matrix, self.column, self.start), shape=(n, n))
        return csr_array(below + below.T + csr_array((np.ones(n), np.arange(n), np.arange(n + 1))))


def incomplete_cholesky(matrix: Matrix) -> Factor:
    """IC(0): L with (L Lᵀ)_ij = Â_ij wherever A_ij is stored, Â = Π S A S Πᵀ.

    Where a pivot fails, as it may for matrices that are no M-matrices or are singular, the unit
    diagonal of Â is raised by 0.001, then twice that and so on.

    The order is reverse Cuthill-McKee from a node at the far end; every tie is decided by sums over
    the scaled matrix around the node, so that a matrix and the same one numbered otherwise get the
    same order, but where they have symmetries.

    Args:
        matrix: A, [n, n], sparse, real, symmetric, of positive diagonal; semi-definite will do.

    Raises:
        ValueError: no such matrix: what was expected, and the rows that differ.
        numpy.linalg.LinAlgError: a pivot fails even with 2 added to the diagonal.

    Source: Meijerink & van der Vorst, Math. Comp. 31 (1977) 148-162; the shift: Manteuffel, Math.
    Comp. 34 (1980) 473-497.
    """
    a = _checked(matrix)
    scale = 1 / np.sqrt(a.diagonal())
    n = len(scale)
    a.data *= scale[a.indices] * np.repeat(scale, np.diff(a.indptr))
    order = _order(a)
    place = np.empty_like(order)
    place[order] = np.arange(n)
    rows, columns = place[np.repeat(np.arange(n), np.diff(a.indptr))], place[a.indices]
    below = rows > columns
    chosen = csr_array((a.data[below], (rows[below], columns[below])), shape=(n, n))
    chosen.sort_indices()
    start, column = chosen.indptr.astype(np.int64), chosen.indices.astype(np.int64)
    lower, diagonal, bad = np.zeros(len(column)), np.zeros(n), 0
    for shift in _SHIFTS:
        bad = kernels.incomplete_cholesky(start, column, chosen.data, shift, lower, diagonal)
        if bad < 0:
            return Factor(order, scale, start, column, chosen.data, lower, diagonal, shift)
    raise np.linalg.LinAlgError(
        f"incomplete_cholesky: no positive pivot in row {order[bad]} even with {_SHIFTS[-1]:g} "
        "added to the unit diagonal; the matrix is not positive definite"
    )


def _order(a: csr_matrix) -> Int[np.ndarray, " n"]:
    """Reverse Cuthill-McKee with ties by degree and by what the matrix holds around a node."""
    size = abs(a)
    key = np.ones(len(a.indptr) - 1)
    for _ in range(4):
        key = size @ key
        key = np.sqrt(key / (key.mean() or 1.0))
    degree = np.diff(a.indptr)
    rank = np.empty(len(key), np.int64)
    rank[np.lexsort((key, degree))] = np.arange(len(key))
    return kernels.reverse_cuthill_mckee(
        a.indptr.astype(np.int64), a.indices.astype(np.int64), rank
    )


def _checked(matrix: Matrix) -> csr_matrix:
    """A copy in CSR. Raises: ValueError: see `incomplete_cholesky`."""
    shape = getattr(matrix, "shape", ())
    if not issparse(matrix) or len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(
            f"expected a square sparse matrix, got {type(matrix).__name__} {shape}; see "
            "scipy.sparse.csr_array"
        )
    a = csr_matrix(matrix, dtype=np.float64, copy=True)
    a.sum_duplicates()
    bad = np.flatnonzero(~np.isfinite(a.data))
    if len(bad):
        raise ValueError(f"expected finite entries, got {len(bad)} that are NaN or infinite")
    bad = np.flatnonzero(~(a.diagonal() > 0))
    if len(bad):
        raise ValueError(
            f"expected a positive diagonal, got {len(bad)} rows without, the first "
            f"{bad[:5].tolist()}; the matrix is not positive definite"
        )
    gap = abs(a - a.T)
    if gap.nnz and gap.max() > 1e-8 * a.diagonal().max():
        raise ValueError(
            f"expected a symmetric matrix, got entries that differ by up to {gap.max():.2g} from "
            "those across the diagonal; eliminate Dirichlet rows with their columns"
        )
    return a

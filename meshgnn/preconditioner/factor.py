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
    def shape(self) -> tuple[int, int]:
        """(n, n)."""
        return len(self.order), len(self.order)

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

    def quotient(self) -> float:
        """z·Âz / r·z, z = (L Lᵀ)⁻¹ r, of one random r: some mean of the eigenvalues of P⁻¹A.

        Infinite or NaN where L⁻¹ overflows.
        """
        n, row, column = len(self.order), self.row, self.column
        r, ones = np.random.default_rng(0).standard_normal(n), np.ones(n)
        fixed = self.start, column, self.lower, 1 / self.diagonal, np.arange(n), ones
        with np.errstate(all="ignore"):
            z = kernels.solve(*fixed, r)
            image = z + np.bincount(row, self.matrix * z[column], n)
            image += np.bincount(column, self.matrix * z[row], n)
            return float(np.divide(z @ image, r @ z)) if n else 1.0

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
        matrix: A, [n, n], sparse, real, symmetric to 1e-8 of √(A_ii A_jj), of positive diagonal;
            semi-definite will do. An entry that only one side stores is 0 on the other.

    Raises:
        ValueError: no such matrix: what was expected, and the rows that differ.
        numpy.linalg.LinAlgError: a pivot fails even with 2 added to the diagonal.

    Source: Meijerink & van der Vorst, Math. Comp. 31 (1977) 148-162; the shift: Manteuffel, Math.
    Comp. 34 (1980) 473-497.
    """
    a, scale = _scaled(matrix)
    n = len(scale)
    order = _order(a)
    place = np.empty_like(order)
    place[order] = np.arange(n)
    rows, columns = place[_rows(a)], place[a.indices]
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
        key = np.sqrt(key / (key.sum() / max(len(key), 1) or 1.0))
    degree = np.diff(a.indptr)
    rank = np.empty(len(key), np.int64)
    rank[np.lexsort((key, degree))] = np.arange(len(key))
    return kernels.reverse_cuthill_mckee(
        a.indptr.astype(np.int64), a.indices.astype(np.int64), rank
    )


def _scaled(matrix: Matrix) -> tuple[csr_matrix, Float[np.ndarray, " n"]]:
    """S A S on a symmetric pattern, and the diagonal of S = diag(A)^-1/2.

    Raises: ValueError: see `incomplete_cholesky`.
    """
    shape = getattr(matrix, "shape", ())
    if not issparse(matrix) or len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(
            f"expected a square sparse matrix, got {type(matrix).__name__} {shape}; see "
            "scipy.sparse.csr_array"
        )
    given = csr_matrix(matrix)
    if np.iscomplexobj(given.data):
        raise ValueError("expected a real matrix, got a complex one; take its real part")
    a = csr_matrix(given, dtype=np.float64, copy=True)
    a.sum_duplicates()
    bad = np.flatnonzero(~np.isfinite(a.data))
    if len(bad):
        raise ValueError(f"expected finite entries, got {len(bad)} that are NaN or infinite")
    diagonal = a.diagonal()
    bad = np.flatnonzero(~(diagonal > 0))
    if len(bad):
        raise ValueError(
            f"expected a positive diagonal, got {len(bad)} rows without, the first "
            f"{bad[:5].tolist()}; the matrix is not positive definite"
        )
    scale = 1 / np.sqrt(diagonal)
    a.data *= scale[a.indices] * scale[_rows(a)]
    a, across = _both_sides(a)
    gap = abs(a.data - across.data)
    if gap.max(initial=0) > 1e-8:
        i, j = (int(part[gap.argmax()]) for part in (_rows(a), a.indices))
        largest = gap.max() / (scale[i] * scale[j])
        raise ValueError(
            f"expected a symmetric matrix, got entries that differ by up to {largest:.2g} from "
            f"those across the diagonal, as at ({i}, {j}); eliminate Dirichlet rows with their "
            "columns"
        )
    a.data = (a.data + across.data) / 2
    return a, scale


def _both_sides(a: csr_matrix) -> tuple[csr_matrix, csr_matrix]:
    """A and Aᵀ with entries in the same places: what one side stores alone is 0 on the other.

    Zeros that are stored stay: where the mesh has an edge they make the pattern a better one.
    """
    across = csr_matrix(a.T)
    same = np.array_equal(a.indptr, across.indptr) and np.array_equal(a.indices, across.indices)
    if same:
        return a, across
    row = _rows(a)
    ends = np.concatenate([row, a.indices]), np.concatenate([a.indices, row])
    a = csr_matrix((np.concatenate([a.data, 0 * a.data]), ends), shape=a.shape)
    return a, csr_matrix(a.T)


def _rows(a: csr_matrix) -> Int[np.ndarray, " e"]:
    return np.repeat(np.arange(len(a.indptr) - 1), np.diff(a.indptr))

"""The momentum equations of a time step: one convection–diffusion matrix for all components."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import spilu, splu

TOLERANCE = 1e-9
_MOST = 60  # iterations with one factorisation
_PLANAR = 20  # entries in a row of P2: 11.5 in the plane, 28 in space
_OLD = 5  # a factorisation that needs more is made anew for the next step


@dataclass(eq=False)
class _Block:
    """Components with the same free degrees of freedom, and what is kept from step to step."""

    components: Int[np.ndarray, " c"]
    free: Int[np.ndarray, " k"]
    pattern: csr_matrix
    slots: Int[np.ndarray, " nnz"]
    factors: Any = None


class Momentum:
    """A u_c = b_c for every component c on its free rows, A not symmetric, changing with time.

    Generalised conjugate residuals, preconditioned by the factors of the matrix of an earlier
    step (complete in 2D, incomplete in 3D), which are made anew when the iterations say that they
    are too old: the flow changes little from step to step.

    Args:
        pattern: [n, n], whose sparsity pattern all the matrices have.
        held: [n, d] True where a component is prescribed.

    Source: Eisenstat, Elman & Schultz, SIAM J. Numer. Anal. 20 (1983) 345, for the iteration.
    """

    def __init__(self, pattern: csr_matrix, held: Bool[np.ndarray, "n d"]) -> None:
        self.pattern, self._blocks = pattern, []
        numbers = np.arange(1.0, pattern.nnz + 1)
        numbered = csr_matrix((numbers, pattern.indices, pattern.indptr), pattern.shape)
        masks, which = np.unique(held, axis=1, return_inverse=True)
        for k, mask in enumerate(masks.T):
            free = np.flatnonzero(~mask)
            inner = numbered[free][:, free]
            slots = inner.data.astype(np.int64) - 1
            self._blocks.append(_Block(np.flatnonzero(which.ravel() == k), free, inner, slots))

    def solve(
        self,
        entries: Float[np.ndarray, " nnz"],
        right: Float[np.ndarray, "n d"],
        values: Float[np.ndarray, "n d"],
        guess: Float[np.ndarray, "n d"],
    ) -> Float[np.ndarray, "n d"]:
        """u with |b - A u| <= 1e-9 |b|.

        Args:
            entries: of A in the pattern.
            right: b.
            values: of the held components, 0 elsewhere.
            guess: near u.

        Raises:
            numpy.linalg.LinAlgError: that is not reached.
        """
        pattern, result = self.pattern, values.copy()
        right = right - csr_matrix((entries, pattern.indices, pattern.indptr)) @ values
        for block in self._blocks:
            if len(block.free):
                free, own = block.free, block.components
                inner = entries[block.slots], right[free][:, own], guess[free][:, own]
                result[np.ix_(free, own)] = _solve_block(block, *inner)
        return result


def _solve_block(
    block: _Block,
    entries: Float[np.ndarray, " nnz"],
    right: Float[np.ndarray, "k c"],
    guess: Float[np.ndarray, "k c"],
) -> Float[np.ndarray, "k c"]:
    inner, fresh = block.pattern, block.factors is None
    matrix = csr_matrix((entries, inner.indices, inner.indptr), inner.shape)
    if fresh:
        block.factors = _factors(matrix)
    result, iterations = _residuals(matrix, block.factors.solve, right, guess)
    if iterations == _MOST and not fresh:
        block.factors = None
        return _solve_block(block, entries, right, guess)
    if iterations == _MOST:
        raise np.linalg.LinAlgError(
            f"the momentum equation is not solved to {TOLERANCE:g} in {_MOST} iterations: the flow "
            "has grown out of bounds, or cells are degenerate; take more substeps"
        )
    if iterations > _OLD:
        block.factors = None
    return result


HIST = []
OLD = 5


def _factors(matrix: csr_matrix) -> Any:
    """Complete factors with a symmetric ordering; incomplete ones where they would fill in."""
    options: dict[str, Any] = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0}
    try:
        if matrix.nnz > _PLANAR * len(matrix.indptr):
            return spilu(matrix.tocsc(), drop_tol=1e-2, fill_factor=3, **options)
        return splu(matrix.tocsc(), options={"SymmetricMode": True}, **options)
    except RuntimeError as error:
        raise np.linalg.LinAlgError(f"the momentum matrix is singular ({error})") from error


def _residuals(
    matrix: csr_matrix,
    near: Callable[[Float[np.ndarray, "k c"]], Float[np.ndarray, "k c"]],
    right: Float[np.ndarray, "k c"],
    guess: Float[np.ndarray, "k c"],
) -> tuple[Float[np.ndarray, "k c"], int]:
    """Generalised conjugate residuals over all columns at once: u and the number of iterations."""
    x, residual = guess.copy(), right - matrix @ guess
    goal = TOLERANCE * np.linalg.norm(right)
    directions: list[tuple[np.ndarray, np.ndarray]] = []
    for iteration in range(_MOST):
        if np.linalg.norm(residual) <= goal:
            return x, iteration
        direction = near(residual)
        image = matrix @ direction
        for former, its_image in directions:
            part = np.vdot(its_image, image)
            direction -= part * former
            image -= part * its_image
        length = np.linalg.norm(image)
        directions.append((direction / length, image / length))
        part = np.vdot(image, residual) / length
        x += part * directions[-1][0]
        residual -= part * directions[-1][1]
    return x, _MOST

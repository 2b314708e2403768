"""`LinearSystem`: K u = b with Dirichlet rows kept apart, and its solvers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import splu

# up to here a direct factorisation is faster than algebraic multigrid; fill grows with dimension
DIRECT = {1: 10**9, 2: 20_000, 3: 6_000}
TOLERANCE = 1e-8


@dataclass(frozen=True, eq=False)
class LinearSystem:
    """(K u)_i = b_i at free i, u_i = g_i elsewhere. K is symmetric positive definite on free rows.

    Degrees of freedom are node-major, dof = node · C + c, and begin with those of the mesh's nodes
    in their order (order 2 appends those of the edge mid points).

    Args:
        matrix: K, [n, n], all rows and columns: nothing is eliminated.
        load: b, [n].
        free: [n], False where u is prescribed.
        values: [n] prescribed values g, 0 where free.
        points: [n / C, d] locations.
        channels: C.
        near_nullspace: [n, r] fields without energy if nothing held them (rigid motions), for
            multigrid; None means the constant.
        mean: [n] weights m_i = ∫ φ_i when u is defined up to a constant only and fixed by
            Σ m_i u_i = 0 (pure Neumann problems); else None.
    """

    matrix: csr_matrix
    load: Float[np.ndarray, " n"]
    free: Bool[np.ndarray, " n"]
    values: Float[np.ndarray, " n"]
    points: Float[np.ndarray, "p d"]
    channels: int = 1
    near_nullspace: Float[np.ndarray, "n r"] | None = None
    mean: Float[np.ndarray, " n"] | None = None

    def solve(self) -> Float[np.ndarray, " n"]:
        """u, with |b - K u| <= 1e-8 |b - K g| over the free rows (checked).

        Raises:
            numpy.linalg.LinAlgError: a singular matrix, or a residual above that (both are named).
        """
        u, active = self.values.copy(), self.free.copy()
        if self.mean is not None:
            # any one value may be held: the constant that is wrong by is taken off again
            active[np.flatnonzero(active)[:1]] = False
        right = self.load - self.matrix @ self.values if self.values.any() else self.load
        if active.any():
            matrix = self.matrix if active.all() else self.matrix[active][:, active]
            near = None if self.near_nullspace is None else self.near_nullspace[active]
            u[active] = solver(matrix, self.points.shape[1], near)(right[active])
        if self.mean is not None:
            u -= self.mean @ u / self.mean.sum()
        check_residual(
            self.matrix, u, self.load, self.free, float(np.linalg.norm(right[self.free]))
        )
        return u

    def residual(self, u: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """r = b - K u at the free rows, g - u at the others."""
        return np.where(self.free, self.load - self.matrix @ u, self.values - u)


def check_residual(
    matrix: csr_matrix,
    u: Float[np.ndarray, " n"],
    load: Float[np.ndarray, " n"],
    free: Bool[np.ndarray, " n"],
    scale: float,
) -> None:
    """Raises: LinAlgError: |b - K u| over the free rows above 1e-8 of `scale`, or not finite."""
    size = float(np.linalg.norm((load - matrix @ u)[free]))
    if not size <= TOLERANCE * scale:
        relative = size / scale if scale else size
        raise np.linalg.LinAlgError(
            f"the solution has relative residual {relative:.2e}, expected at most {TOLERANCE:.0e}: "
            "the system is singular or nearly so; look for parts that no condition holds, "
            "degenerate cells or coefficients of extreme contrast"
        )


def solver(
    matrix: csr_matrix, dim: int, near_nullspace: Float[np.ndarray, "n r"] | None = None
) -> Callable[[Float[np.ndarray, " n"]], Float[np.ndarray, " n"]]:
    """b -> K⁻¹ b for symmetric positive definite K: factorised once, applied as often as wanted.

    SuperLU with a symmetric ordering up to 20,000 unknowns in 2D and 6,000 in 3D; above, conjugate
    gradients to 1e-10 preconditioned by smoothed-aggregation multigrid.

    Args:
        matrix: K, [n, n].
        dim: d of the points, which decides how fast a factorisation fills in.
        near_nullspace: [n, r] for multigrid; None is the constant.

    Raises:
        numpy.linalg.LinAlgError: K is exactly singular.
    """
    if len(matrix.indptr) > DIRECT[dim]:
        hierarchy = multigrid(matrix, near_nullspace)
        return lambda right: np.asarray(hierarchy.solve(right, tol=1e-10, accel="cg", maxiter=500))
    try:
        factors = splu(
            matrix.tocsc(),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
    except RuntimeError as error:
        raise np.linalg.LinAlgError(
            f"the stiffness matrix is singular ({error}): some part is held by no condition"
        ) from error
    return factors.solve


def multigrid(matrix: csr_matrix, near_nullspace: Float[np.ndarray, "n r"] | None = None) -> Any:
    """pyamg's smoothed-aggregation hierarchy of K, the same each time.

    Args:
        matrix: K, [n, n], symmetric positive definite.
        near_nullspace: [n, r] fields of hardly any energy; None is the constant.

    Source: Vaněk, Mandel & Brezina, Computing 56 (1996) 179-196.
    """
    from pyamg import smoothed_aggregation_solver

    # pyamg estimates spectral radii from NumPy's global random state: same system, same solution
    state = np.random.get_state()
    np.random.seed(0)
    try:
        return smoothed_aggregation_solver(matrix, B=near_nullspace)
    finally:
        np.random.set_state(state)

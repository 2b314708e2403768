"""Conjugate gradients preconditioned by one multigrid V-cycle, and what they tell on the way."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import eigvalsh_tridiagonal
from scipy.sparse import csr_matrix

from meshgnn.fem import multigrid

Cycle = Callable[[Float[np.ndarray, " n"]], Float[np.ndarray, " n"]]

# a recurrence gains nothing more once it is this far below where it started
_ROUNDING = 1e-14


@dataclass(frozen=True, eq=False)
class Descent:
    """m steps of preconditioned conjugate gradients for A e = r from e_0 = 0.

    With ρ_k = r_k·B r_k: |e - e_k|² - |e - e_{k+1}|² = α_k ρ_k in the energy norm, hence
    |e|² = Σ_{k<m} α_k ρ_k + |e - e_m|², and ρ_m / θ_max <= |e - e_m|² <= ρ_m / θ_min with the
    extreme eigenvalues θ of BA. All numbers are those of r / scale, so that they cannot overflow.

    Args:
        correction: e_m, [n].
        scale: max |r|.
        alpha: [m] step lengths α_k.
        rho: [m + 1] products ρ_k.

    Source: Hestenes & Stiefel, J. Res. Nat. Bur. Standards 49 (1952) 409-436, theorem 6:1; Strakoš
    & Tichý, BIT 45 (2005) 789-817, for the preconditioned form in finite precision.
    """

    correction: Float[np.ndarray, " n"]
    scale: float
    alpha: Float[np.ndarray, " m"]
    rho: Float[np.ndarray, " k"]

    @property
    def steps(self) -> int:
        """m."""
        return len(self.alpha)

    @property
    def drops(self) -> Float[np.ndarray, " m"]:
        """sqrt(|e - e_k|² - |e - e_{k+1}|²) of every step."""
        return self.scale * np.sqrt(self.alpha * self.rho[:-1])

    @property
    def left(self) -> float:
        """sqrt(ρ_m), the estimate of |e - e_m| by one cycle; a lower bound where θ_max <= 1."""
        return self.scale * float(np.sqrt(self.rho[-1]))

    @property
    def ritz(self) -> tuple[float, float]:
        """Least and largest Ritz value of BA: bounds of the spectrum from inside."""
        return ritz_values(self.alpha, self.rho)


def ritz_values(
    alpha: Float[np.ndarray, " m"], rho: Float[np.ndarray, " k"]
) -> tuple[float, float]:
    """Extreme eigenvalues of the Lanczos matrix that m steps of conjugate gradients contain."""
    if not len(alpha):
        return 1.0, 1.0
    beta = rho[1 : len(alpha)] / rho[: len(alpha) - 1]
    diagonal = 1 / alpha
    diagonal[1:] += beta / alpha[:-1]
    values = eigvalsh_tridiagonal(diagonal, np.sqrt(beta) / alpha[:-1])
    return float(values[0]), float(values[-1])


def descend(
    matrix: csr_matrix,
    cycle: Cycle,
    right: Float[np.ndarray, " n"],
    steps: int,
    target: float = 0.0,
    theta: float = 1.0,
) -> Descent:
    """At most so many steps for A e = r, fewer when sqrt(ρ_k / θ_min) <= target or at rounding.

    Args:
        matrix: A, [n, n], symmetric positive (semi-)definite.
        cycle: r -> B r, symmetric and positive definite.
        right: r, [n].
        steps: largest m.
        target: energy norm of the error to reach.
        theta: θ_min while no step has told a smaller one.
    """
    scale = float(np.abs(right).max(initial=0.0))
    correction, alpha = np.zeros_like(right), []
    if scale == 0:
        return Descent(correction, 0.0, np.zeros(0), np.zeros(1))
    r = right / scale
    z = cycle(r)
    rho, direction = [float(r @ z)], z
    while len(alpha) < steps and rho[-1] > _ROUNDING**2 * rho[0]:
        theta = min(theta, ritz_values(np.array(alpha), np.array(rho))[0])
        if scale * np.sqrt(rho[-1] / theta) <= target:
            break
        image = matrix @ direction
        alpha.append(rho[-1] / float(direction @ image))
        correction += alpha[-1] * direction
        r = r - alpha[-1] * image
        z = cycle(r)
        rho.append(float(r @ z))
        direction = z + rho[-1] / rho[-2] * direction
    return Descent(scale * correction, scale, np.array(alpha), np.array(rho))


def v_cycle(matrix: csr_matrix, near_nullspace: Float[np.ndarray, "n r"] | None = None) -> Cycle:
    """r -> B r: one V-cycle of smoothed aggregation with symmetric Gauss-Seidel smoothing.

    Symmetric, and I - BA = S*S is positive in the energy product, so that no eigenvalue of BA
    exceeds 1; the least one falls with contrast, near-incompressibility and size.

    Args:
        matrix: A, [n, n].
        near_nullspace: [n, r] fields of hardly any energy; None is the constant.

    Source: Vaněk, Mandel & Brezina, Computing 56 (1996) 179-196.
    """
    if not matrix.nnz:
        return lambda right: right
    return multigrid(matrix, near_nullspace).aspreconditioner(cycle="V").matvec


def polished(
    matrix: csr_matrix,
    cycle: Cycle,
    right: Float[np.ndarray, " n"],
    start: Float[np.ndarray, " n"],
    tol: float,
    max_iterations: int = 1000,
    gauge: Cycle | None = None,
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " k"]]:
    """x with |x - A⁻¹b| <= tol/10 |A⁻¹b| in the energy norm, and |x_k - A⁻¹b| of all iterates x_k.

    |A⁻¹b| is measured by `gauge`, by default the cycle. The tenth keeps the other norms, whose
    constants differ, below tol as well.

    The residual is computed anew whenever the recurrence says that it is done: a start of size S
    leaves rounding errors of 1e-16 S in it, and the next round removes them. So any start will do.

    Raises:
        numpy.linalg.LinAlgError: not reached within max_iterations (says how near it came).
    """
    if not right.any():
        return np.zeros_like(right), np.zeros(1)
    target = tol / 10 * descend(matrix, gauge or cycle, right, 0).left
    x, drops, theta, descent = start.copy(), [np.zeros(0)], 1.0, None
    while descent is None or descent.steps:
        left = max_iterations - sum(map(len, drops))
        descent = descend(matrix, cycle, right - matrix @ x, left, target, theta)
        theta = min(theta, descent.ritz[0])
        x = x + descent.correction
        drops.append(descent.drops)
    if not descent.left <= target * np.sqrt(theta):
        raise np.linalg.LinAlgError(
            f"polish: relative energy error {tol / 10 * descent.left / target:.1e} after "
            f"{max_iterations} iterations, expected at most {tol / 10:.0e}; raise max_iterations, "
            "or tol where rounding is the limit"
        )
    return x, error_history(np.concatenate(drops), descent.left)


def error_history(drops: Float[np.ndarray, " m"], left: float) -> Float[np.ndarray, " k"]:
    """|e - e_k| = sqrt(Σ_{j>=k} drop_j² + left²), k = 0 .. m."""
    parts = np.append(drops, left)
    size = parts.max() or 1.0  # squares of huge numbers would overflow
    return size * np.sqrt(np.cumsum(((parts / size) ** 2)[::-1])[::-1])

"""P1 matrices on simplices, and solving with them for many right-hand sides."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array, csr_array
from scipy.sparse.linalg import splu

from meshgnn.operators import hat_gradients, lumped_mass

_DIRECT = 60_000  # unknowns up to which a direct factorisation is taken
_TOLERANCE = 1e-12


def laplacian(
    points: Float[np.ndarray, "N d"],
    simplices: Int[np.ndarray, "S n"],
    weights: Float[np.ndarray, " S"] | None = None,
) -> csr_array:
    """A_ij = Σ_s w_s ∫ ∇φ_i · ∇φ_j; on curves and surfaces in space with tangential gradients."""
    hats, volume = _hats(points, simplices)
    size = np.abs(volume) if weights is None else np.abs(volume) * weights
    local = np.einsum("s,sid,sjd->sij", size, hats, hats)
    return _assembled(local, simplices, len(points))


def elastic(
    points: Float[np.ndarray, "N d"],
    simplices: Int[np.ndarray, "S n"],
    weights: Float[np.ndarray, " S"],
) -> csr_array:
    """∫ w ε(u) : ε(v), linear elasticity with Poisson's ratio 0; unknown i d + a is component a."""
    hats, volume = _hats(points, simplices)
    d = points.shape[1]
    dots = np.einsum("sic,sjc->sij", hats, hats)
    local = np.einsum("sij,ab->siajb", dots, np.eye(d)) + np.einsum("sib,sja->siajb", hats, hats)
    local *= (np.abs(volume) * weights / 2)[:, None, None, None, None]
    unknowns = (simplices[:, :, None] * d + np.arange(d)).reshape(len(simplices), -1)
    size = unknowns.shape[1]
    return _assembled(local.reshape(-1, size, size), unknowns, len(points) * d)


def lumped(
    points: Float[np.ndarray, "N d"], simplices: Int[np.ndarray, "S n"]
) -> Float[np.ndarray, " N"]:
    """m_i = ∫ φ_i over the simplices."""
    return lumped_mass(torch.tensor(points), torch.tensor(simplices)).numpy()


def volumes(
    points: Float[np.ndarray, "N d"], simplices: Int[np.ndarray, "S n"]
) -> Float[np.ndarray, " S"]:
    """|s|, positive."""
    return np.abs(_hats(points, simplices)[1])


def _hats(points: np.ndarray, simplices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    hats, volume = hat_gradients(torch.tensor(points), torch.tensor(simplices))
    return hats.numpy(), volume.numpy()


def _assembled(local: np.ndarray, rows: np.ndarray, size: int) -> csr_array:
    i = np.repeat(rows, rows.shape[1], axis=1).ravel()
    j = np.tile(rows, rows.shape[1]).ravel()
    return csr_array(coo_array((local.ravel(), (i, j)), shape=(size, size)))


class Factorised:
    """u = g at held unknowns, A u = 0 at the others; A is factorised once.

    Args:
        matrix: A, symmetric, definite on the unknowns that are not held.
        held: [U] which unknowns are prescribed.
        near_nullspace: [U, r] what A nearly annihilates, for the multigrid of large systems.
    """

    def __init__(
        self,
        matrix: csr_array,
        held: Bool[np.ndarray, " U"],
        near_nullspace: Float[np.ndarray, "U r"] | None = None,
    ) -> None:
        self.held, self.free = np.flatnonzero(held), np.flatnonzero(~held)
        self.coupling = matrix[self.free][:, self.held]
        inner = matrix[self.free][:, self.free]
        if len(self.free) <= _DIRECT:
            options = {"SymmetricMode": True}
            factors = splu(inner.tocsc(), "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
            self.solve = factors.solve
            return
        from pyamg import smoothed_aggregation_solver

        basis = None if near_nullspace is None else near_nullspace[self.free]
        hierarchy: Any = smoothed_aggregation_solver(inner, B=basis)

        def solve(right: np.ndarray) -> np.ndarray:
            columns = [hierarchy.solve(b, tol=_TOLERANCE, accel="cg") for b in right.T]
            return np.stack(columns, axis=1)

        self.solve = solve

    def __call__(self, values: Float[np.ndarray, "U K"]) -> Float[np.ndarray, "U K"]:
        """u [U, K] for prescribed values g, of which those at held unknowns count."""
        found = np.zeros_like(values)
        found[self.held] = values[self.held]
        if len(self.free) and len(self.held):
            found[self.free] = self.solve(-(self.coupling @ values[self.held]))
        return found

    def transposed(self, grads: Float[np.ndarray, "U K"]) -> Float[np.ndarray, "U K"]:
        """What one has to multiply dg with where du is multiplied with `grads`."""
        found = np.zeros_like(grads)
        found[self.held] = grads[self.held]
        if len(self.free) and len(self.held):
            found[self.held] -= self.coupling.T @ self.solve(grads[self.free])
        return found

"""The equations of the free degrees of freedom, with their multigrid cycle."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csr_matrix

from meshgnn.certificate.descent import Cycle, v_cycle
from meshgnn.fem import LinearSystem


@dataclass(frozen=True, eq=False)
class Equations:
    """A x = b over the active degrees of freedom, A = K_aa, b = (f - K g)_a, symmetric definite.

    Args:
        system: K u = f.
        active: [n] the free ones; less one where u is defined up to a constant only, which is
            0 there and set right by `full`.
        matrix: A, [a, a].
        right: b, [a].
        cycle: r -> B r, one V-cycle for A.
    """

    system: LinearSystem
    active: Bool[np.ndarray, " n"]
    matrix: csr_matrix
    right: Float[np.ndarray, " a"]
    cycle: Cycle

    @classmethod
    def of(cls, system: LinearSystem) -> "Equations":
        """The equations of a linear system, with a new multigrid hierarchy."""
        active = system.free.copy()
        if system.mean is not None:
            active[np.flatnonzero(active)[:1]] = False
        matrix = system.matrix[active][:, active]
        right = (system.load - system.matrix @ system.values)[active]
        near = None if system.near_nullspace is None else system.near_nullspace[active]
        return cls(system, active, matrix, right, v_cycle(matrix, near))

    def restricted(self, u: Float[np.ndarray, " n"]) -> Float[np.ndarray, " a"]:
        """The active part of a field, shifted to 0 where a free constant is held."""
        if self.system.mean is not None:
            u = u - u[self.system.free & ~self.active]
        return u[self.active]

    def full(self, x: Float[np.ndarray, " a"]) -> Float[np.ndarray, " n"]:
        """The field with prescribed values, of zero mean where a constant is free."""
        u = self.system.values.copy()
        u[self.active] = x
        if self.system.mean is not None:
            u -= self.system.mean @ u / self.system.mean.sum()
        return u

    def energy_norm(self, u: Float[np.ndarray, " n"]) -> float:
        """sqrt(u·K u)."""
        size = float(np.abs(u).max(initial=0.0)) or 1.0  # huge fields would overflow
        return size * float(np.sqrt(max((u / size) @ (self.system.matrix @ (u / size)), 0.0)))

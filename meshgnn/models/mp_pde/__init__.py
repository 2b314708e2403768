"""MP-PDE: message passing solvers of time-dependent equations."""

from meshgnn.models.mp_pde.mp_pde import MPPDE

__all__ = ["MPPDE"]

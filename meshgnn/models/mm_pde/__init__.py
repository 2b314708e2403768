"""MM-PDE: a message passing solver with a second branch on a mesh that moves with the state."""

from meshgnn.models.mm_pde.mm_pde import MMPDE

__all__ = ["MMPDE"]

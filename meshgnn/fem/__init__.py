"""Weak form to field: elements, matrices and loads, solvers, error norms."""

from meshgnn.fem.linear import LinearSystem, multigrid
from meshgnn.fem.means import means
from meshgnn.fem.norms import error_norms
from meshgnn.fem.projection import project, transfer
from meshgnn.fem.rigid import rigid_motions
from meshgnn.fem.scikit import skfem_mesh
from meshgnn.fem.space import Space

__all__ = [
    "LinearSystem",
    "Space",
    "error_norms",
    "means",
    "multigrid",
    "project",
    "rigid_motions",
    "skfem_mesh",
    "transfer",
]

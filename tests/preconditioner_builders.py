"""Matrices, and conjugate gradients that count, for the tests of preconditioners.

Conjugate gradients start at zero and stop at ‖b - A x‖₂ <= tol ‖b‖₂, for every method.
"""

import numpy as np
from mesh_builders import cells_of_box
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator, cg

from meshgnn.geometry import domains
from meshgnn.mesh import Mesh
from meshgnn.problems import LinearElasticity, Poisson

FAMILIES = ["cut_square", "polygon", "annulus", "l_shape", "plate_with_holes"]


def poisson(family: str, seed: int, size: float | None = None, contrast: float = 10.0):
    """The matrix of the free unknowns of a random problem."""
    mesh = domains.draw(family, seed, size)
    rng = np.random.default_rng(seed)
    system = Poisson.draw(mesh, rng, neumann=0.3, contrast=contrast).system(mesh)
    return csr_matrix(system.matrix[system.free][:, system.free])


def elasticity():
    """Plane strain on a square whose boundary is held, 288 unknowns."""
    points, cells = cells_of_box("triangle", 13)
    mesh = Mesh(points, cells)
    problem = LinearElasticity(dirichlet={"*": 0.0}).system(mesh)
    return csr_matrix(problem.matrix[problem.free][:, problem.free])


def iterations(matrix, operator: LinearOperator, tol: float = 1e-8, seed: int = 0) -> int:
    """Of scipy's conjugate gradients from zero; the residual of the result is checked."""
    count = [0]

    def counting(_):
        count[0] += 1

    b = np.random.default_rng(seed).standard_normal(matrix.shape[0])
    x, failed = cg(matrix, b, rtol=tol, atol=0, M=operator, maxiter=20_000, callback=counting)
    assert not failed and np.linalg.norm(b - matrix @ x) <= 2 * tol * np.linalg.norm(b)
    return count[0]


def renumbered(matrix, seed: int):
    order = np.random.default_rng(seed).permutation(matrix.shape[0])
    return csr_matrix(matrix[order][:, order])

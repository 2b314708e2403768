"""What `preconditioner.py` trains on and tests with, and the classical methods beside it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numba import njit
from scipy.sparse import csc_array, csr_array, csr_matrix, diags_array, eye_array, kron
from scipy.sparse.linalg import LinearOperator, cg, splu

from meshgnn.fem import LinearSystem
from meshgnn.geometry.domains import FAMILIES
from meshgnn.preconditioner import Factor, incomplete_cholesky
from meshgnn.problems import LinearElasticity, Poisson

PLANE = ("cut_square", "polygon", "annulus")
SIZES = {2: (0.022, 0.045), 3: (0.06, 0.1)}  # edge lengths that meshes are drawn from


def scalar(seed: int, number: int, family: str | None = None, scale: float = 1.0) -> csr_matrix:
    """Diffusion of contrast 1, 10 or 100, some parts Neumann or Robin; by (seed, number) alone."""
    rng = np.random.default_rng([seed, number])
    family = family or PLANE[number % 3]
    size = scale * np.exp(rng.uniform(*np.log(SIZES[3 if family == "box_with_hole" else 2])))
    mesh = FAMILIES[family](rng, size)
    contrast = (1.0, 10.0, 100.0)[number // 3 % 3]
    return free(Poisson.draw(mesh, rng, contrast=contrast, neumann=0.2, robin=0.1).system(mesh))


def elastic(seed: int, number: int) -> csr_matrix:
    """Plane strain, ν from 0 to 0.45, the boundary held."""
    rng = np.random.default_rng([seed, number])
    mesh = FAMILIES[PLANE[number % 3]](rng, rng.uniform(0.03, 0.06))
    return free(LinearElasticity(dirichlet={"*": 0.0}, poisson=rng.uniform(0, 0.45)).system(mesh))


def free(system: LinearSystem) -> csr_matrix:
    """The rows and columns of the free unknowns."""
    return csr_matrix(system.matrix[system.free][:, system.free])


def five_point(n: int) -> csr_matrix:
    """-Δ on n × n points, as in published counts."""
    line = diags_array([-np.ones(n - 1), 2 * np.ones(n), -np.ones(n - 1)], offsets=[-1, 0, 1])
    return csr_matrix(kron(line, eye_array(n)) + kron(eye_array(n), line))


def direct(matrix: csr_matrix) -> Callable[[np.ndarray], np.ndarray]:
    options = {"SymmetricMode": True}
    return splu(matrix.tocsc(), "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options).solve


def modified(matrix: csr_matrix, share: float) -> Factor:
    """MIC(0): this share of what the pattern drops goes to the diagonal, so that L Lᵀ v ≈ Â v."""
    factor = incomplete_cholesky(matrix)
    n = len(factor.order)
    below = csc_array(csr_array((factor.matrix, factor.column, factor.start), shape=(n, n)))
    below.sort_indices()
    data, v = below.data.copy(), 1 / factor.scale[factor.order]
    diagonal = _modified(below.indptr, below.indices, data, v, share)
    rows = csr_array(csc_array((data, below.indices, below.indptr), shape=(n, n)))
    rows.sort_indices()
    return replace(factor, lower=rows.data, diagonal=diagonal)


@njit(cache=True)
def _modified(start, row, entry, v, share):
    diagonal = np.ones(len(v))
    for k in range(len(v)):
        diagonal[k] = np.sqrt(max(diagonal[k], 1e-6))
        for e in range(start[k], start[k + 1]):
            entry[e] /= diagonal[k]
        for e in range(start[k], start[k + 1]):
            j = row[e]
            diagonal[j] -= entry[e] ** 2
            for g in range(e + 1, start[k + 1]):
                i, product, kept = row[g], entry[e] * entry[g], False
                for q in range(start[j], start[j + 1]):
                    if row[q] == i:
                        entry[q] -= product
                        kept = True
                        break
                if not kept:
                    diagonal[i] -= share * product * v[j] / v[i]
                    diagonal[j] -= share * product * v[i] / v[j]
    return diagonal


def solve(matrix: csr_matrix, b: np.ndarray, operator: LinearOperator) -> float:
    """Iterations, infinitely many where the residual does not get there."""
    steps: list[np.ndarray] = []
    options = {"rtol": 1e-8, "atol": 0.0, "maxiter": 20_000}
    x, failed = cg(matrix, b, M=operator, callback=steps.append, **options)
    failed = failed or np.linalg.norm(b - matrix @ x) > 2e-8 * np.linalg.norm(b)
    return float("inf") if failed else len(steps)

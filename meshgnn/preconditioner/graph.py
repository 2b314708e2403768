"""The graph of a sparse matrix: nodes are unknowns, edges are entries."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch_geometric.data import Data

from meshgnn.preconditioner import kernels
from meshgnn.preconditioner.factor import Factor, Matrix, incomplete_cholesky

NODE_FEATURES, EDGE_FEATURES = 6, 5
_LARGEST = 10.0  # of a feature: what is beyond is as strange


def matrix_graph(factor: Factor) -> Data:
    """What the network sees of a matrix and of its IC(0) factor, in the order of the factor.

    - x [N, 6]: l_ii; entries in its row and in its column of L, over 8; Σ_k |l_ki| / l_ii down the
      column; (Â v)_i / v_i and (R v)_i / v_i, R = L Lᵀ - Â being what the pattern drops.
    - edge_attr [E, 5] of every entry off the diagonal, both ways: â_ij, l_ij, l_ij / l_jj, |â_ij|
      over the mean of its row, and ±1 for the direction in which numbers rise.
    - edge_index [2, E], sorted by target, then source: those with source < target are the entries
      of L, row by row.
    - matrix, lower [K], diagonal, constant [N]: entries of Â and of L, and v, the constant vector
      in scaled unknowns, of mean 1. In float64.
    - inexact [N]: whether the pattern drops anything in a row or at a neighbour; where it does not,
      there is nothing to correct.

    All are the same for A and cA. No size of the matrix and no place in space enters.
    """
    row, column, n = factor.row, factor.column, len(factor.order)
    v = 1 / factor.scale[factor.order]
    v = v / (v.mean() if n else 1.0)
    above, below = np.bincount(row, minlength=n), np.bincount(column, minlength=n)
    size = np.abs(factor.matrix)
    mean = (np.bincount(row, size, n) + np.bincount(column, size, n)) / np.maximum(above + below, 1)
    image = np.bincount(row, factor.matrix * v[column], n)
    image = 1 + (image + np.bincount(column, factor.matrix * v[row], n)) / v
    fill = kernels.dropped(factor.start, column, factor.lower, v) / v
    ratio = factor.lower / factor.diagonal[column]
    sums = np.bincount(column, np.abs(ratio), n)
    inexact = np.abs(fill) > 1e-12
    near = inexact.copy()
    near[row[inexact[column]]] = near[column[inexact[row]]] = True
    x = np.stack([factor.diagonal, above / 8, below / 8, sums, image, fill], axis=1)
    shared = np.stack([factor.matrix, factor.lower, ratio], axis=1)
    up, down = (
        np.column_stack([shared, size / np.maximum(mean[target], 1e-30), np.full(len(row), sign)])
        for target, sign in ((row, 1.0), (column, -1.0))
    )
    ends = np.array([np.concatenate([column, row]), np.concatenate([row, column])])
    order = np.lexsort(ends)
    return Data(
        x=_single(np.clip(x, -_LARGEST, _LARGEST)),
        edge_attr=_single(np.clip(np.concatenate([up, down])[order], -_LARGEST, _LARGEST)),
        edge_index=torch.tensor(ends[:, order]),
        matrix=torch.tensor(factor.matrix),
        lower=torch.tensor(factor.lower),
        diagonal=torch.tensor(factor.diagonal),
        constant=torch.tensor(v),
        inexact=torch.tensor(near),
    )


def training_graph(
    matrix: Matrix,
    solve: Callable[[Float[np.ndarray, " n"]], Float[np.ndarray, " n"]],
    rng: np.random.Generator,
    vectors: int = 16,
) -> Data:
    """`matrix_graph` in float32 with right-hand sides b [N, V] and their solutions x [N, V].

    b is standard normal in the scaled unknowns, x = Â⁻¹ b: of an elliptic matrix that is mostly
    its slow modes, which conjugate gradients take longest to find. They go into the loss only.

    Args:
        matrix: A, [n, n], symmetric positive definite.
        solve: b -> A⁻¹ b.
        rng: random numbers.
        vectors: V, at least 1.

    Raises:
        ValueError: vectors below 1, and as `incomplete_cholesky`.
        numpy.linalg.LinAlgError: as `incomplete_cholesky`.
    """
    if vectors < 1:
        raise ValueError(f"training_graph: expected vectors of at least 1, got {vectors}")
    factor = incomplete_cholesky(matrix)
    graph = matrix_graph(factor)
    scale = factor.scale[factor.order, None]
    right = rng.standard_normal((len(scale), vectors))
    full = np.empty_like(right)
    full[factor.order] = right / scale
    solution = np.stack([solve(b) for b in full.T.copy()], axis=1)[factor.order] / scale
    graph.right, graph.solution = torch.tensor(right), torch.tensor(solution)
    for name in ("matrix", "lower", "diagonal", "constant", "right", "solution"):
        graph[name] = graph[name].float()
    return graph


def _single(array: Float[np.ndarray, "*rows F"]) -> Float[torch.Tensor, "*rows F"]:
    return torch.tensor(array, dtype=torch.float32)

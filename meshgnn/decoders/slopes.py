"""Gradients of a field from its values at few points of a body."""

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array

from meshgnn.decoders.neighbours import Neighbourhood, neighbourhood, positions
from meshgnn.decoders.radial import check_numbers

_ROWS = 1024  # systems solved at a time
_FLAT = 1e-12  # keeps the system regular where sources lie in a plane


def local_slopes(
    points: Float[np.ndarray, "M d"],
    sources: Float[np.ndarray, "n d"],
    neighbours: int = 14,
    power: float = 3.0,
) -> list[csr_array]:
    """∂u/∂x_a (x) = Σ_j G_aj q_j,  [K, P; Pᵀ, 0] [G_a; μ] = [∂k/∂x_a; ∂p/∂x_a],  K = |X_i − X_j|^β.

    The gradient of the local interpolant of `local_rbf` (without nugget and fade), for one
    neighbourhood: exact for affine functions, Σ_j G_aj = 0 and Σ_j G_aj X_j = e_a to rounding. Of
    sources in a plane it is 0 across.

    Args:
        points: x [M, d].
        sources: X [n, d].
        neighbours: k, or all where there are fewer.
        power: β in 1 to 4, neither 1, where the kernel has a kink at its source, nor 2.

    Returns:
        G_a [M, n] for a = 1 ... d.

    Raises:
        ValueError: k < d + 1, β outside its range; see `positions`.
    """
    dim = points.shape[1]
    check_numbers("local_slopes", dim, neighbours, power, 0.0, 0.0)
    if power <= 1:
        raise ValueError(f"local_slopes: expected a power above 1, got {power}")
    positions("local_slopes", points, sources, dim + 1)
    near = neighbourhood(points, sources, neighbours)
    return slopes_of(near, len(sources), power)


def slopes_of(near: Neighbourhood, number: int, power: float = 3.0) -> list[csr_array]:
    """G_a [M, n] of `local_slopes` for neighbourhoods in n = `number` sources."""
    dim = near.offset.shape[2]
    blocks = [slice(i, i + _ROWS) for i in range(0, len(near.index), _ROWS)]
    weight = np.concatenate([_slopes(near, block, power) for block in blocks])
    weight /= near.radius[:, None, None]
    starts = np.arange(0, near.index.size + 1, near.index.shape[1])
    shape = len(near.index), number
    return [
        csr_array((weight[:, :, a].ravel(), near.index.ravel(), starts), shape=shape)
        for a in range(dim)
    ]


def _slopes(near: Neighbourhood, rows: slice, power: float) -> Float[np.ndarray, "M k d"]:
    """Weights of the gradient in units of 1 / r."""
    y = near.offset[rows]
    count, k, dim = y.shape
    p = np.concatenate([np.ones((count, k, 1)), y], axis=2)
    system = np.zeros((count, k + dim + 1, k + dim + 1))
    system[:, :k, :k] = np.linalg.norm(y[:, :, None] - y[:, None], axis=3) ** power
    system[:, :k, k:] = p
    system[:, k:, :k] = np.swapaxes(p, 1, 2)
    linear = k + 1 + np.arange(dim)
    system[:, linear, linear] = -_FLAT
    side = np.zeros((count, k + dim + 1, dim))
    length = np.linalg.norm(y, axis=2, keepdims=True)
    side[:, :k] = -power * y * np.maximum(length, np.finfo(float).tiny) ** (power - 2)
    side[:, linear, np.arange(dim)] = 1.0
    return np.linalg.solve(system, side)[:, :k]

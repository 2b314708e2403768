"""Weights of local interpolation with radial functions and a linear polynomial."""

import numpy as np
from jaxtyping import Float

from meshgnn.decoders.least_squares import FLAT, warn_flat
from meshgnn.decoders.linear import LinearDecoder
from meshgnn.decoders.neighbours import Neighbourhood, Sources, axes_of, neighbourhood, positions

_ROWS = 1024  # systems solved at a time: bounds the memory to some 20 MB


def local_rbf(
    queries: Float[np.ndarray, "M d"],
    sources: Sources,
    neighbours: int = 16,
    power: float = 1.0,
    nugget: float = 0.0,
    fade: float = 0.0,
) -> LinearDecoder:
    """u(x) = Σ_j λ_j(x) q_j,  [K + D, P; Pᵀ, 0] [λ; μ] = [k(x); p(x)],  K_ij = ∓|X_i − X_j|^β.

    P holds 1 and X: affine functions are reproduced to rounding. With D = 0 (the defaults) it is
    the plain local interpolant, which jumps by its own error where one of the k sources is
    exchanged for another. D = ν + c t² / (1 − s²), t = max(0, 2 s − 1), lets the trust in a source
    end before it leaves, so that the field is continuous; ν smooths what differs from source to
    source without order (splashing water), and gives up the exact values at the sources.

    In statistical words it is ordinary kriging with linear drift and the variogram |h|^β.

    Args:
        queries: reference positions x [M, d].
        sources: indices [n] among them, or positions [n, d].
        neighbours: k.
        power: β in 0 to 4, not 2: 1 for the linear, 3 for the cubic kernel.
        nugget: ν, for lengths in units of the distance to the source k + 1.
        fade: c; 0 for the plain interpolant, 0.1 for a continuous one.

    Raises:
        ValueError: k < d + 1, β outside its range, ν or c below 0; see `positions`.

    Source: Wendland 2005, ch. 8 (conditionally positive definite kernels); Gribov & Krivoruchko
    2004 (continuous moving neighbourhood).
    """
    dim = queries.shape[1]
    check_numbers("local_rbf", dim, neighbours, power, nugget, fade)
    found = positions("local_rbf", queries, sources, dim + 1)
    near = neighbourhood(queries, found, neighbours)
    return LinearDecoder(near.index, rbf_weights(near, power, nugget, fade), len(found))


def check_numbers(
    name: str, dim: int, neighbours: int, power: float, nugget: float, fade: float
) -> None:
    """Raises: ValueError: k < d + 1, β outside its range, ν or c below 0."""
    if neighbours <= dim or not 0 < power < 4 or power == 2 or not min(nugget, fade) >= 0:
        raise ValueError(
            f"{name}: expected at least {dim + 1} neighbours in {dim} dimensions, a power in 0 "
            f"to 4 but not 2, and nugget and fade of at least 0, got {neighbours}, {power}, "
            f"{nugget}, {fade}"
        )


def rbf_weights(
    near: Neighbourhood, power: float = 1.0, nugget: float = 0.0, fade: float = 0.0
) -> Float[np.ndarray, "M k"]:
    """λ of `local_rbf` for every query point."""
    blocks = [slice(i, i + _ROWS) for i in range(0, len(near.index), _ROWS)]
    parts = [_block(near, block, power, nugget, fade) for block in blocks]
    flat = np.concatenate([np.zeros(0, bool), *(part[1] for part in parts)])
    warn_flat("local_rbf", flat)
    return np.concatenate([np.zeros((0, near.index.shape[1])), *(part[0] for part in parts)])


def _block(
    near: Neighbourhood, rows: slice, power: float, nugget: float, fade: float
) -> tuple[np.ndarray, np.ndarray]:
    """The weights of some query points, and whether their sources lie in a plane.

    With D = c t² / g², g² = 1 − s², the system is solved for λ / g: no entry is infinite then, and
    λ = 0 where g = 0.
    """
    offset, share = near.offset[rows], near.share[rows]
    count, k, dim = offset.shape
    g = np.sqrt(1 - share**2) if fade > 0 else np.ones_like(share)
    sign = -1.0 if power < 2 else 1.0
    trend, flat = _trend(offset, g)
    system = np.zeros((count, k + dim + 1, k + dim + 1))
    gap = np.linalg.norm(offset[:, :, None] - offset[:, None], axis=3)
    system[:, :k, :k] = sign * gap**power * g[:, :, None] * g[:, None]
    at = np.arange(k)
    system[:, at, at] += nugget * g**2 + fade * np.maximum(0.0, 2 * share - 1) ** 2
    system[:, :k, k:] = trend * g[:, :, None]
    system[:, k:, :k] = np.swapaxes(system[:, :k, k:], 1, 2)
    unused = k + 1 + np.arange(dim)
    system[:, unused, unused] = np.where((trend == 0).all(axis=1)[:, 1:], 1.0, 0.0)
    side = np.zeros((count, k + dim + 1))
    side[:, :k] = sign * np.linalg.norm(offset, axis=2) ** power * g
    side[:, k] = 1.0
    found = np.linalg.solve(system, side[:, :, None])[:, :k, 0]
    return found * g, flat


def _trend(offset: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns 1 and y of the sources, y along their principal axes and 0 along those without
    extent; and whether there is one."""
    weight = np.maximum(g, 1e-8) ** 2
    _, sizes, vectors = axes_of(offset, weight / weight.sum(axis=1, keepdims=True))
    kept = sizes >= FLAT * sizes[:, -1:]
    ones = np.ones((*offset.shape[:2], 1))
    flat = sizes[:, 0] < FLAT * sizes[:, -1]
    if not flat.any():
        return np.concatenate([ones, offset], axis=2), flat
    along = np.einsum("mkd,mde->mke", offset, vectors) * kept[:, None]
    return np.concatenate([ones, along], axis=2), flat

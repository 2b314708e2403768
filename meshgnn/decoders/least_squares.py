"""Weights that reproduce linear functions by moving least squares."""

import warnings

import numpy as np
from jaxtyping import Float

from meshgnn.decoders.linear import LinearDecoder
from meshgnn.decoders.neighbours import Neighbourhood, Sources, axes_of, neighbourhood, positions

FLAT = 1e-8  # squared extents over the largest one below which sources show no slope


def moving_least_squares(
    queries: Float[np.ndarray, "M d"], sources: Sources, neighbours: int = 12
) -> LinearDecoder:
    """u(x) = a(x),  (a, B) = argmin Σ_j w(s_j) |q_j − a − B (X_j − x)|²,  w = (1 − s²)² / s².

    Weights are a partition of unity and reproduce affine functions to rounding, rigid motions of a
    body among them; they take the values at the sources there. They are continuous in x: a source
    has lost its weight when it leaves the k nearest. Outside the body the affine fit is continued.

    Where the k nearest lie in a plane (a sheet of one layer of sources), nothing is known of the
    slope across; it is taken for zero, with a warning.

    Args:
        queries: reference positions x [M, d].
        sources: indices [n] among them, or positions [n, d].
        neighbours: k; fewer are sharper, more are smoother.

    Raises:
        ValueError: k < d + 1; see `positions`.

    Source: Lancaster & Salkauskas 1981.
    """
    dim = queries.shape[1]
    if neighbours <= dim:
        raise ValueError(
            f"moving_least_squares: expected at least {dim + 1} neighbours in {dim} dimensions, "
            f"got {neighbours}"
        )
    found = positions("moving_least_squares", queries, sources, dim + 1)
    near = neighbourhood(queries, found, neighbours)
    value, _ = affine_fit(near)
    return LinearDecoder(near.index, value, len(found))


def affine_fit(
    near: Neighbourhood,
) -> tuple[Float[np.ndarray, "M k"], Float[np.ndarray, "M k d"]]:
    """Weights of the value and of the slope (per unit of length) of the weighted affine fit."""
    gap = np.linalg.norm(near.offset, axis=2)
    weight = (1 - near.share**2) ** 2 / np.maximum(gap**2, 1e-24)
    weight = weight / weight.sum(axis=1, keepdims=True)
    mean, sizes, vectors = axes_of(near.offset, weight)
    centred = near.offset - mean[:, None]
    least = FLAT * sizes[:, -1:]
    warn_flat("moving_least_squares", sizes[:, 0] < least[:, 0])
    # λ / (λ² + ε²) is 1/λ to 1e-16 · (ε / λ)² where sources span a direction, and 0 where not
    tiny = np.finfo(float).tiny
    inverse = sizes / np.maximum(sizes**2 + (1e-2 * least) ** 2, tiny)
    slope = np.einsum("mde,me,mfe,mkf->mkd", vectors, inverse, vectors, centred, optimize=True)
    slope *= weight[:, :, None]
    value = weight - np.einsum("mkd,md->mk", slope, mean)
    return value, slope / near.radius[:, None, None]


def warn_flat(name: str, flat: np.ndarray) -> None:
    """Say how many neighbourhoods show no slope in some direction."""
    if flat.any():
        warnings.warn(
            f"{name}: the nearest sources of {flat.sum()} of {len(flat)} points lie in a plane or "
            "on a line; the slope across is taken for zero there. Take more neighbours or sources",
            stacklevel=3,
        )

"""Polyharmonic splines as matrices."""

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist


def spline(
    points: Float[np.ndarray, "R d"], controls: Float[np.ndarray, "B d"]
) -> Float[np.ndarray, "R B"]:
    """E of X = E Y:  X(ξ) = Σ_b w_b k(|ξ − ξ_b|) + A ξ + c with X(ξ_b) = Y_b, least in bending.

    k(r) = r² log r in the plane, r in space. Affine maps are exact. Where the controls span less
    than the space, A is 0 across them.
    """
    low, size = controls.mean(axis=0), np.ptp(controls, axis=0).max()
    x, y = (points - low) / size, (controls - low) / size
    affine, own = (np.hstack([np.ones((len(p), 1)), p]) for p in (x, y))
    _, strength, rows = np.linalg.svd(own, full_matrices=False)
    if strength[-1] < 1e-8 * strength[0]:
        rows = rows[strength > 1e-8 * strength[0]]
        affine, own = affine @ rows.T, own @ rows.T
    count, extra = own.shape
    block = np.zeros((count + extra,) * 2)
    block[:count, :count] = _kernel(y, y)
    block[:count, count:] = own
    block[count:, :count] = own.T
    return np.linalg.solve(block, np.hstack([_kernel(x, y), affine]).T).T[:, :count]


def spread_out(
    points: Float[np.ndarray, "N d"], count: int, first: int = 0
) -> Int[np.ndarray, " C"]:
    """The first points, and then again and again the one farthest from all chosen, sorted."""
    if len(points) <= count:
        return np.arange(len(points))
    chosen = list(range(min(max(first, 1), count)))
    gap = np.full(len(points), np.inf)
    for one in chosen:
        gap = np.minimum(gap, ((points - points[one]) ** 2).sum(axis=1))
    while len(chosen) < count:
        chosen.append(int(gap.argmax()))
        gap = np.minimum(gap, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
    return np.sort(chosen)


def _kernel(x: Float[np.ndarray, "R d"], y: Float[np.ndarray, "B d"]) -> Float[np.ndarray, "R B"]:
    r = cdist(x, y)
    return r if x.shape[1] == 3 else r**2 * np.log(np.where(r > 0, r, 1.0))

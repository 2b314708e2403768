"""Interpolation by radial functions with linear polynomials."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import solve
from scipy.spatial.distance import cdist

_CHUNK = 4096  # evaluation points at a time


def radial_weights(
    centres: Float[np.ndarray, "C d"],
    points: Float[np.ndarray, "N d"],
    kernel: str = "polyharmonic",
    radius: float = np.inf,
) -> Float[np.ndarray, "N C"]:
    """W with s(x_i) = Σ_c W_ic f_c, the interpolant s(x) = Σ_c λ_c φ(|x - x_c|) + a + B x.

    φ(r) = r³ in 1D, r² log r in 2D, r in 3D ("polyharmonic", of least bending energy), or
    (1 - r/R)⁴₊ (4 r/R + 1) ("wendland", C², the system is dense all the same). Linear data come
    back exactly: Σ_c W_ic = 1, Σ_c W_ic x_c = x_i.

    Args:
        centres: x_c, distinct, not all on one line (plane).
        points: x_i.
        kernel: "polyharmonic" or "wendland".
        radius: R > 0 of Wendland's function, in the unit of the points.

    Raises:
        ValueError: another kernel, a radius that is not positive and finite where one is needed,
            centres that coincide or do not span the space.

    Source: de Boer, van der Schoot, Bijl, Comput. Struct. 85 (2007) 784-795, eqs. (1)-(6).
    """
    count, d = centres.shape
    phi = _kernel(kernel, radius, d)
    # about the mean and of size 1: the polynomial part is as well conditioned as can be
    middle = centres.mean(axis=0)
    scale = max(float(np.abs(centres - middle).max()), np.finfo(float).tiny)

    def linear(x: np.ndarray) -> np.ndarray:
        return np.column_stack([np.ones(len(x)), (x - middle) / scale])

    poly = linear(centres)
    distances = cdist(centres, centres)
    if count <= d or np.linalg.matrix_rank(poly, tol=1e-10) <= d:
        raise ValueError(
            f"radial basis: expected at least {d + 1} centres that span {d} dimensions, got "
            f"{count}; add control points off the line or plane of these"
        )
    if (distances + np.diag(np.full(count, np.inf))).min() <= 1e-12 * scale:
        raise ValueError("radial basis: two centres coincide; remove one of them")
    system = np.zeros((count + d + 1, count + d + 1))
    system[:count, :count] = phi(distances)
    system[:count, count:], system[count:, :count] = poly, poly.T
    size = np.abs(system[:count, :count]).max()
    system[:count, :count] /= size
    inverse = solve(system, np.eye(count + d + 1)[:, :count], assume_a="sym")
    parts = [points[i : i + _CHUNK] for i in range(0, len(points), _CHUNK)]
    rows = (np.column_stack([phi(cdist(x, centres)) / size, linear(x)]) @ inverse for x in parts)
    return np.concatenate([np.zeros((0, count)), *rows])


def _kernel(kernel: str, radius: float, d: int) -> Callable[[np.ndarray], np.ndarray]:
    if kernel == "wendland":
        if not 0 < radius < np.inf:
            raise ValueError(f"wendland: expected a positive radius, got {radius}")
        return lambda r: np.maximum(1 - r / radius, 0.0) ** 4 * (4 * r / radius + 1)
    if kernel != "polyharmonic":
        raise ValueError(f"unknown kernel {kernel!r}; there are polyharmonic, wendland")
    if d == 2:
        return lambda r: r**2 * np.log(np.maximum(r, np.finfo(float).tiny))
    return lambda r: r if d == 3 else r**3


def spaced(points: Float[np.ndarray, "N d"], count: int) -> Int[np.ndarray, " C"]:
    """Indices of `count` points far from each other: each is the farthest from those before it.

    The first is the farthest from the mean.
    """
    chosen = [int(((points - points.mean(axis=0)) ** 2).sum(axis=1).argmax())]
    distance = np.full(len(points), np.inf)
    for _ in range(min(count, len(points)) - 1):
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(int(distance.argmax()))
    return np.array(chosen)

"""Compiled stresses of hyperelastic laws, by number: 0 neo-Hookean, 1 fixed-corotated.

The functions carry no annotations that are executed, since the compiler sees them instead. numba
keeps what it compiled until the file of the calling function changes: touch `elastic_kernels` after
a change here. In one file the two would be too long, and uncached they take seconds to start.
"""

from math import log, sqrt
from typing import no_type_check

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
@no_type_check
def stiffening(law, lam, mu, det, volume, spread):
    """Estimate of max ∂P/∂F over that of rest, 2μ + λ; `spread` is max eigenvalue of cof Fᵀ cof F.

    A spatial tangent of neo-Hookean material acts on gradients that are up to max |F⁻¹| as large.
    """
    if law == 0:
        grown = mu + (mu + lam * (1 - min(volume, 0.0))) * spread / (det * det)
    else:
        grown = 2 * mu + lam * (spread + abs(det - 1))
    return max(1.0, grown / (2 * mu + lam))


@njit(cache=True, error_model="numpy")
@no_type_check
def stress_2d(law, lam, mu, a, b, c, d):
    """J, W, stiffening and P(F) = ∂W/∂F of plane strain for F = [[a, b], [c, d]]."""
    det, square = a * d - b * c, a * a + b * b + c * c + d * d
    spread = square / 2 + sqrt(max(square * square / 4 - det * det, 0.0))
    if law == 0:
        volume = log(det) if det > 0 else np.nan
        s = (lam * volume - mu) / det
        energy = mu * (square / 2 - 1 - volume) + lam / 2 * volume * volume
        stiff = stiffening(law, lam, mu, det, volume, spread)
        return det, energy, stiff, mu * a + s * d, mu * b - s * c, mu * c - s * b, mu * d + s * a
    p, q = a + d, c - b
    length = sqrt(p * p + q * q)
    p, q = (p / length, q / length) if length > 0 else (1.0, 0.0)
    s, m = lam * (det - 1), 2 * mu
    energy = mu * ((a - p) ** 2 + (b + q) ** 2 + (c - q) ** 2 + (d - p) ** 2)
    energy += lam / 2 * (det - 1) ** 2
    return (
        det, energy, stiffening(law, lam, mu, det, 0.0, spread),
        m * (a - p) + s * d, m * (b + q) - s * c, m * (c - q) - s * b, m * (d - p) + s * a,
    )  # fmt: skip


@njit(cache=True, error_model="numpy")
@no_type_check
def stretch_sum(i1, i2, det):
    """s = σ1 + σ2 ± σ3, the trace of the stretch that belongs to a proper rotation.

    The largest root of s⁴ - 2 I1 s² - 8 J s + 2 I2 - I1², with I1 = tr C, I2 = tr C², by Newton's
    method from above, where it descends to it.
    """
    rest = 2 * i2 - i1 * i1
    s = sqrt(3 * i1)
    for _ in range(50):
        slope = 4 * (s * (s * s - i1) - 2 * det)
        if not slope > 0:
            break
        step = (s * (s * (s * s - 2 * i1) - 8 * det) + rest) / slope
        s -= step
        if not abs(step) > 1e-9 * s:  # the next step would be its square
            break
    return s


@njit(cache=True, error_model="numpy")
@no_type_check
def rotation(f, r):
    """R of the polar decomposition F = R S with det R = 1 into r; F, cof F and R are 9 entries.

    R = ∂ tr(S) / ∂F = ((s² + I1) F + 2 s cof F - 2 F C) / (s³ - I1 s - 2 J).
    """
    c00 = f[0] * f[0] + f[3] * f[3] + f[6] * f[6]
    c11 = f[1] * f[1] + f[4] * f[4] + f[7] * f[7]
    c22 = f[2] * f[2] + f[5] * f[5] + f[8] * f[8]
    c01 = f[0] * f[1] + f[3] * f[4] + f[6] * f[7]
    c02 = f[0] * f[2] + f[3] * f[5] + f[6] * f[8]
    c12 = f[1] * f[2] + f[4] * f[5] + f[7] * f[8]
    i1 = c00 + c11 + c22
    i2 = c00 * c00 + c11 * c11 + c22 * c22 + 2 * (c01 * c01 + c02 * c02 + c12 * c12)
    det = f[0] * f[9] + f[1] * f[10] + f[2] * f[11]
    s = stretch_sum(i1, i2, det)
    scale = s * (s * s - i1) - 2 * det
    if not scale > 1e-12 * s * s * s:  # F = 0, or two such rotations: one, so that P is finite
        for q in range(9):
            r[q] = 1.0 if q % 4 == 0 else 0.0
        return
    scale = 1 / scale
    first, second, third = (s * s + i1) * scale, 2 * s * scale, -2 * scale
    for i in range(3):
        x, y, z = f[3 * i], f[3 * i + 1], f[3 * i + 2]
        r[3 * i] = first * x + third * (x * c00 + y * c01 + z * c02) + second * f[9 + 3 * i]
        r[3 * i + 1] = first * y + third * (x * c01 + y * c11 + z * c12) + second * f[10 + 3 * i]
        r[3 * i + 2] = first * z + third * (x * c02 + y * c12 + z * c22) + second * f[11 + 3 * i]


@njit(cache=True)
@no_type_check
def spread_3d(f):
    """Bound of the largest eigenvalue of cof F cof Fᵀ, equal to it where the others are equal.

    t/3 + √(2/3 (|A|² - t²/3)), t = tr A. Source: Wolkowicz & Styan, Linear Algebra Appl. 29 (1980).
    """
    trace, square = 0.0, 0.0
    for i in range(3):
        for j in range(i, 3):
            a, b = 9 + 3 * i, 9 + 3 * j
            product = f[a] * f[b] + f[a + 1] * f[b + 1] + f[a + 2] * f[b + 2]
            if i == j:
                trace += product
                square += product * product
            else:
                square += 2 * product * product
    return trace / 3 + sqrt(max(2 / 3 * (square - trace * trace / 3), 0.0))


@njit(cache=True, error_model="numpy")
@no_type_check
def stress_3d(law, lam, mu, f, p):
    """J, W and stiffening; P(F) into p [9]. f [18] holds F by rows, and takes cof F behind it."""
    for i in range(3):
        j, k = 3 * ((i + 1) % 3), 3 * ((i + 2) % 3)
        f[9 + 3 * i] = f[j + 1] * f[k + 2] - f[j + 2] * f[k + 1]
        f[10 + 3 * i] = f[j + 2] * f[k] - f[j] * f[k + 2]
        f[11 + 3 * i] = f[j] * f[k + 1] - f[j + 1] * f[k]
    det = f[0] * f[9] + f[1] * f[10] + f[2] * f[11]
    spread, energy, volume = spread_3d(f), 0.0, 0.0
    if law == 0:
        volume = log(det) if det > 0 else np.nan
        s = (lam * volume - mu) / det
        for q in range(9):
            energy += f[q] * f[q]
            p[q] = mu * f[q] + s * f[9 + q]
        energy = mu * ((energy - 3) / 2 - volume) + lam / 2 * volume * volume
    else:
        rotation(f, p)
        s, m = lam * (det - 1), 2 * mu
        for q in range(9):
            gap = f[q] - p[q]
            energy += mu * gap * gap
            p[q] = m * gap + s * f[9 + q]
        energy += lam / 2 * (det - 1) ** 2
    return det, energy, stiffening(law, lam, mu, det, volume, spread)

"""Compiled: principal Kirchhoff stresses from principal strains, eigenpairs of symmetric matrices.

The loops carry no annotations that are executed, since the compiler sees them instead; arrays are
those of `Particles`. A plane state is passed with b_2 = 1 and two dimensions. numba keeps what it
compiled until the file of the calling function changes: touch `plane` and `space` after a change
here or in `grid`.
"""

from typing import no_type_check

import numpy as np
from numba import njit

# products and sums may be fused and reordered; NaN and infinity keep their meaning
FAST = {"contract", "reassoc", "nsz"}


@njit(cache=True, fastmath=FAST)
@no_type_check
def returned(e0, e1, e2, dim, radius, slope):
    """Strains after plastic flow, |dev ε| <= r - k Σ ε, and whether they changed."""
    trace = e0 + e1 + e2
    bound = radius - slope * trace
    if bound <= 0.0:
        return 0.0, 0.0, 0.0, True
    mean = trace / dim
    d0, d1, d2 = e0 - mean, e1 - mean, (e2 - mean if dim == 3 else 0.0)
    size = np.sqrt(d0 * d0 + d1 * d1 + d2 * d2)
    if size <= bound:
        return e0, e1, e2, False
    ratio = bound / size
    return mean + ratio * d0, mean + ratio * d1, (mean + ratio * d2 if dim == 3 else 0.0), True


@njit(cache=True, fastmath=FAST)
@no_type_check
def volumetric(volume, bulk):
    """The three or two equal Kirchhoff stresses and the energy density at J."""
    return bulk * volume * (volume - 1.0), bulk * (volume - 1.0) ** 2 / 2


@njit(cache=True, fastmath=FAST)
@no_type_check
def principal(b0, b1, b2, dim, constants):
    """(b_i, τ_i, energy density) of the eigenvalues of b; b_i after plastic flow."""
    shear, bulk = constants[1], constants[2]
    if constants[0] == 0.0:
        s0, s1, s2 = np.sqrt(b0), np.sqrt(b1), np.sqrt(b2)
        volume = s0 * s1 * s2 - 1.0
        pressure = bulk * (volume + 1.0) * volume
        energy = shear * ((s0 - 1) ** 2 + (s1 - 1) ** 2 + (s2 - 1) ** 2) + bulk * volume**2 / 2
        t0, t1 = 2 * shear * (b0 - s0) + pressure, 2 * shear * (b1 - s1) + pressure
        return b0, b1, b2, t0, t1, 2 * shear * (b2 - s2) + pressure, energy
    e0, e1, e2 = np.log(b0) / 2, np.log(b1) / 2, np.log(b2) / 2
    e0, e1, e2, flows = returned(e0, e1, e2, dim, constants[3], constants[4])
    if flows:
        b0, b1, b2 = np.exp(2 * e0), np.exp(2 * e1), np.exp(2 * e2)
    trace = e0 + e1 + e2
    energy = shear * (e0 * e0 + e1 * e1 + e2 * e2) + bulk * trace * trace / 2
    pressure = bulk * trace
    t0, t1, t2 = (2 * shear * e0 + pressure, 2 * shear * e1 + pressure, 2 * shear * e2 + pressure)
    return b0, b1, b2, t0, t1, t2, energy


@njit(cache=True, fastmath=FAST)
@no_type_check
def turn(app, aqq, apq):
    """Cosine, sine and tangent of the rotation that clears the entry between two diagonal ones."""
    if apq == 0.0:
        return 1.0, 0.0, 0.0
    ratio = (aqq - app) / (2 * apq)
    tangent = (1.0 if ratio >= 0 else -1.0) / (np.abs(ratio) + np.sqrt(ratio * ratio + 1.0))
    cosine = 1.0 / np.sqrt(tangent * tangent + 1.0)
    return cosine, tangent * cosine, tangent


@njit(cache=True, fastmath=FAST)
@no_type_check
def eigen(a, v):
    """Jacobi's rotations: eigenvalues onto the diagonal of a [3, 3], vectors to the columns of v.

    Only the upper triangle of a is read. Ends when what is off the diagonal is rounding.
    """
    for i in range(3):
        for j in range(3):
            v[i, j] = 1.0 if i == j else 0.0
    for _ in range(12):
        off = a[0, 1] ** 2 + a[0, 2] ** 2 + a[1, 2] ** 2
        if off <= 1e-32 * (a[0, 0] ** 2 + a[1, 1] ** 2 + a[2, 2] ** 2):
            return
        for p, q, r in ((0, 1, 2), (0, 2, 1), (1, 2, 0)):
            c, s, t = turn(a[p, p], a[q, q], a[p, q])
            a[p, p] -= t * a[p, q]
            a[q, q] += t * a[p, q]
            a[p, q] = 0.0
            rp, rq = (min(r, p), max(r, p)), (min(r, q), max(r, q))
            first, second = a[rp], a[rq]
            a[rp], a[rq] = c * first - s * second, s * first + c * second
            for i in range(3):
                first, second = v[i, p], v[i, q]
                v[i, p], v[i, q] = c * first - s * second, s * first + c * second

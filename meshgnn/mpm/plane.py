"""Compiled transfers between particles and grid in 2D; `space` has the same in 3D.

Quadratic B-splines: the nodes of particle p are base + (0, 1, 2) along each axis. Symmetric
matrices are kept as (xx, yy, xy); node (i, j) has row i n_y + j.
"""

from typing import no_type_check

from numba import njit

from meshgnn.mpm.grid import stencil
from meshgnn.mpm.laws import FAST, principal, turn, volumetric


@njit(cache=True, fastmath=FAST)
@no_type_check
def scatter(x, v, affine, stress, mass, volume, kick, cell, origin, low, shape, grid):
    """Σ_p w_ip (m v + (m C - Δt V 4/h² τ) (x_i - x_p)) and Σ_p w_ip m onto the window."""
    hx, hy = cell
    grid[: shape[0] * shape[1]] = 0.0
    for p in range(len(x)):
        i0, fx, wx = stencil(x[p, 0], origin[0], cell[0], low[0])
        j0, fy, wy = stencil(x[p, 1], origin[1], cell[1], low[1])
        m, c, t = mass[p], affine[p], stress[p]
        sx, sy = 4 * kick * volume[p] / hx, 4 * kick * volume[p] / hy
        a00, a01 = m * hx * c[0, 0] - sx * t[0], m * hy * c[0, 1] - sy * t[2]
        a10, a11 = m * hx * c[1, 0] - sx * t[2], m * hy * c[1, 1] - sy * t[1]
        qx = m * v[p, 0] - a00 * fx - a01 * fy
        qy = m * v[p, 1] - a10 * fx - a11 * fy
        for i in range(3):
            for j in range(3):
                w, row = wx[i] * wy[j], (i0 + i) * shape[1] + j0 + j
                grid[row, 0] += w * (qx + i * a00 + j * a01)
                grid[row, 1] += w * (qy + i * a10 + j * a11)
                grid[row, 2] += w * m


@njit(cache=True, fastmath=FAST)
@no_type_check
def gather(x, v, affine, cell, origin, low, shape, grid):
    """v = Σ_i w_ip v_i and C = 4/h² Σ_i w_ip v_i (x_i - x_p)ᵀ from the window."""
    sx, sy = 4 / cell[0], 4 / cell[1]
    for p in range(len(x)):
        i0, fx, wx = stencil(x[p, 0], origin[0], cell[0], low[0])
        j0, fy, wy = stencil(x[p, 1], origin[1], cell[1], low[1])
        u0 = u1 = c00 = c01 = c10 = c11 = 0.0
        for i in range(3):
            for j in range(3):
                w, row = wx[i] * wy[j], (i0 + i) * shape[1] + j0 + j
                x0, y0, g0, g1 = i - fx, j - fy, w * grid[row, 0], w * grid[row, 1]
                u0, u1 = u0 + g0, u1 + g1
                c00, c01 = c00 + x0 * g0, c01 + y0 * g0
                c10, c11 = c10 + x0 * g1, c11 + y0 * g1
        v[p, 0], v[p, 1] = u0, u1
        affine[p, 0, 0], affine[p, 0, 1] = sx * c00, sy * c01
        affine[p, 1, 0], affine[p, 1, 1] = sx * c10, sy * c11


@njit(cache=True, fastmath=FAST)
@no_type_check
def pack(x, stretch, share, full, cell, origin, low, shape, grid):
    """J of a fluid a share of the way to `full` / Σ_i w_ip m_i where that is less."""
    for p in range(len(x)):
        i0, _, wx = stencil(x[p, 0], origin[0], cell[0], low[0])
        j0, _, wy = stencil(x[p, 1], origin[1], cell[1], low[1])
        mass = 0.0
        for i in range(3):
            for j in range(3):
                mass += wx[i] * wy[j] * grid[(i0 + i) * shape[1] + j0 + j, 2]
        stretch[p, 0] += share * min(full / mass - stretch[p, 0], 0.0)


@njit(cache=True, fastmath=FAST)
@no_type_check
def deform(affine, stretch, stress, energy, drift, constants):
    """b <- (I + Δt C) b (I + Δt C)ᵀ, then plastic flow, τ and the energy density.

    The fluid keeps J in the first entry of b. Returns -1, or a particle that turned inside out.
    """
    for p in range(len(affine)):
        l00, l01 = 1 + drift * affine[p, 0, 0], drift * affine[p, 0, 1]
        l10, l11 = drift * affine[p, 1, 0], 1 + drift * affine[p, 1, 1]
        jump = l00 * l11 - l01 * l10
        if not jump > 0.0:
            return p
        if constants[0] == 1.0:
            stretch[p, 0] *= jump
            stress[p, :2], energy[p] = volumetric(stretch[p, 0], constants[2])
            continue
        xx, yy, xy = stretch[p]
        h0, h1 = l00 * xx + l01 * xy, l00 * xy + l01 * yy
        h2, h3 = l10 * xx + l11 * xy, l10 * xy + l11 * yy
        cross = h0 * l10 + h1 * l11
        first, second = h0 * l00 + h1 * l01, h2 * l10 + h3 * l11
        c, s, t = turn(first, second, cross)
        b0, b1, _, t0, t1, _, energy[p] = principal(
            first - t * cross, second + t * cross, 1.0, 2, constants
        )
        # first vector (c, -s), second (s, c)
        for out, one, two in ((stretch[p], b0, b1), (stress[p], t0, t1)):
            out[0], out[1] = c * c * one + s * s * two, s * s * one + c * c * two
            out[2] = c * s * (two - one)
    return -1

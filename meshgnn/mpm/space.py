"""Compiled transfers between particles and grid in 3D; `plane` has the same in 2D.

Quadratic B-splines: the nodes of particle p are base + (0, 1, 2) along each axis. Symmetric
matrices are kept as (xx, yy, zz, xy, xz, yz); node (i, j, k) has row (i n_y + j) n_z + k.
"""

from typing import no_type_check

import numpy as np
from numba import njit

from meshgnn.mpm.grid import stencil
from meshgnn.mpm.laws import FAST, eigen, principal, volumetric


@njit(cache=True, fastmath=FAST)
@no_type_check
def scatter(x, v, affine, stress, mass, volume, kick, cell, origin, low, shape, grid):
    """Σ_p w_ip (m v + (m C - Δt V 4/h² τ) (x_i - x_p)) and Σ_p w_ip m onto the window."""
    hx, hy, hz = cell
    grid[: shape[0] * shape[1] * shape[2]] = 0.0
    for p in range(len(x)):
        i0, fx, wx = stencil(x[p, 0], origin[0], cell[0], low[0])
        j0, fy, wy = stencil(x[p, 1], origin[1], cell[1], low[1])
        k0, fz, wz = stencil(x[p, 2], origin[2], cell[2], low[2])
        m, c, t = mass[p], affine[p], stress[p]
        mx, my, mz, push = m * hx, m * hy, m * hz, 4 * kick * volume[p]
        sx, sy, sz = push / hx, push / hy, push / hz
        a00, a01, a02 = mx * c[0, 0] - sx * t[0], my * c[0, 1] - sy * t[3], mz * c[0, 2] - sz * t[4]
        a10, a11, a12 = mx * c[1, 0] - sx * t[3], my * c[1, 1] - sy * t[1], mz * c[1, 2] - sz * t[5]
        a20, a21, a22 = mx * c[2, 0] - sx * t[4], my * c[2, 1] - sy * t[5], mz * c[2, 2] - sz * t[2]
        qx = m * v[p, 0] - a00 * fx - a01 * fy - a02 * fz
        qy = m * v[p, 1] - a10 * fx - a11 * fy - a12 * fz
        qz = m * v[p, 2] - a20 * fx - a21 * fy - a22 * fz
        for i in range(3):
            for j in range(3):
                row = ((i0 + i) * shape[1] + j0 + j) * shape[2] + k0
                wij = wx[i] * wy[j]
                rx, ry, rz = qx + i * a00 + j * a01, qy + i * a10 + j * a11, qz + i * a20 + j * a21
                for k in range(3):
                    w = wij * wz[k]
                    grid[row + k, 0] += w * (rx + k * a02)
                    grid[row + k, 1] += w * (ry + k * a12)
                    grid[row + k, 2] += w * (rz + k * a22)
                    grid[row + k, 3] += w * m


@njit(cache=True, fastmath=FAST)
@no_type_check
def gather(x, v, affine, cell, origin, low, shape, grid):
    """v = Σ_i w_ip v_i and C = 4/h² Σ_i w_ip v_i (x_i - x_p)ᵀ from the window."""
    sx, sy, sz = 4 / cell[0], 4 / cell[1], 4 / cell[2]
    for p in range(len(x)):
        i0, fx, wx = stencil(x[p, 0], origin[0], cell[0], low[0])
        j0, fy, wy = stencil(x[p, 1], origin[1], cell[1], low[1])
        k0, fz, wz = stencil(x[p, 2], origin[2], cell[2], low[2])
        u0 = u1 = u2 = 0.0
        c00 = c01 = c02 = c10 = c11 = c12 = c20 = c21 = c22 = 0.0
        for i in range(3):
            for j in range(3):
                row = ((i0 + i) * shape[1] + j0 + j) * shape[2] + k0
                wij, x0, y0 = wx[i] * wy[j], i - fx, j - fy
                s0 = s1 = s2 = 0.0
                for k in range(3):
                    w, z0 = wij * wz[k], k - fz
                    g0, g1, g2 = w * grid[row + k, 0], w * grid[row + k, 1], w * grid[row + k, 2]
                    s0, s1, s2 = s0 + g0, s1 + g1, s2 + g2
                    c02, c12, c22 = c02 + z0 * g0, c12 + z0 * g1, c22 + z0 * g2
                u0, u1, u2 = u0 + s0, u1 + s1, u2 + s2
                c00, c10, c20 = c00 + x0 * s0, c10 + x0 * s1, c20 + x0 * s2
                c01, c11, c21 = c01 + y0 * s0, c11 + y0 * s1, c21 + y0 * s2
        c = affine[p]
        v[p, 0], v[p, 1], v[p, 2] = u0, u1, u2
        c[0, 0], c[0, 1], c[0, 2] = sx * c00, sy * c01, sz * c02
        c[1, 0], c[1, 1], c[1, 2] = sx * c10, sy * c11, sz * c12
        c[2, 0], c[2, 1], c[2, 2] = sx * c20, sy * c21, sz * c22


@njit(cache=True, fastmath=FAST)
@no_type_check
def pack(x, stretch, share, full, cell, origin, low, shape, grid):
    """J of a fluid a share of the way to `full` / Σ_i w_ip m_i where that is less."""
    for p in range(len(x)):
        i0, _, wx = stencil(x[p, 0], origin[0], cell[0], low[0])
        j0, _, wy = stencil(x[p, 1], origin[1], cell[1], low[1])
        k0, _, wz = stencil(x[p, 2], origin[2], cell[2], low[2])
        mass = 0.0
        for i in range(3):
            for j in range(3):
                row = ((i0 + i) * shape[1] + j0 + j) * shape[2] + k0
                line = wz[0] * grid[row, 3] + wz[1] * grid[row + 1, 3] + wz[2] * grid[row + 2, 3]
                mass += wx[i] * wy[j] * line
        stretch[p, 0] += share * min(full / mass - stretch[p, 0], 0.0)


@njit(cache=True, fastmath=FAST)
@no_type_check
def carried(c, drift, s, b):
    """b [3, 3] = (I + Δt C) S (I + Δt C)ᵀ of the symmetric S, upper triangle; det(I + Δt C)."""
    l00, l01, l02 = 1 + drift * c[0, 0], drift * c[0, 1], drift * c[0, 2]
    l10, l11, l12 = drift * c[1, 0], 1 + drift * c[1, 1], drift * c[1, 2]
    l20, l21, l22 = drift * c[2, 0], drift * c[2, 1], 1 + drift * c[2, 2]
    minors = l11 * l22 - l12 * l21, l12 * l20 - l10 * l22, l10 * l21 - l11 * l20
    rows = ((l00, l01, l02), (l10, l11, l12), (l20, l21, l22))
    for i in range(3):
        r0, r1, r2 = rows[i]
        h0 = r0 * s[0] + r1 * s[3] + r2 * s[4]
        h1 = r0 * s[3] + r1 * s[1] + r2 * s[5]
        h2 = r0 * s[4] + r1 * s[5] + r2 * s[2]
        for j in range(i, 3):
            b[i, j] = h0 * rows[j][0] + h1 * rows[j][1] + h2 * rows[j][2]
    return l00 * minors[0] + l01 * minors[1] + l02 * minors[2]


@njit(cache=True, fastmath=FAST)
@no_type_check
def composed(v, first, second, third, out):
    """Σ_i f_i v_i v_iᵀ of the columns of v as the six entries that are kept."""
    for n, i, j in ((0, 0, 0), (1, 1, 1), (2, 2, 2), (3, 0, 1), (4, 0, 2), (5, 1, 2)):
        one, two, three = v[i, 0] * v[j, 0], v[i, 1] * v[j, 1], v[i, 2] * v[j, 2]
        out[n] = first * one + second * two + third * three


@njit(cache=True, fastmath=FAST)
@no_type_check
def deform(affine, stretch, stress, energy, drift, constants):
    """b <- (I + Δt C) b (I + Δt C)ᵀ, then plastic flow, τ and the energy density.

    The fluid keeps J in the first entry of b. Returns -1, or a particle that turned inside out.
    """
    b, vectors = np.empty((3, 3)), np.empty((3, 3))
    for p in range(len(affine)):
        jump = carried(affine[p], drift, stretch[p], b)
        if not jump > 0.0:
            return p
        if constants[0] == 1.0:
            stretch[p, 0] *= jump
            stress[p, :3], energy[p] = volumetric(stretch[p, 0], constants[2])
            continue
        eigen(b, vectors)
        b0, b1, b2, t0, t1, t2, energy[p] = principal(b[0, 0], b[1, 1], b[2, 2], 3, constants)
        composed(vectors, b0, b1, b2, stretch[p])
        composed(vectors, t0, t1, t2, stress[p])
    return -1

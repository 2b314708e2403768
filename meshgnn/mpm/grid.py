"""Compiled: what particles and grid share in 2D and 3D: stencils, windows, walls, motion."""

from typing import no_type_check

import numpy as np
from numba import njit

from meshgnn.mpm.laws import FAST


@njit(cache=True, fastmath=FAST)
@no_type_check
def stencil(position, origin, cell, low):
    """First node in the window, offset f from it in cells, and the three weights, on one axis."""
    place = (position - origin) / cell
    base = np.floor(place - 0.5)
    f = place - base
    return int(base) - low, f, (0.5 * (1.5 - f) ** 2, 0.75 - (f - 1) ** 2, 0.5 * (f - 0.5) ** 2)


@njit(cache=True, fastmath=FAST)
@no_type_check
def window(x, origin, cell, low, shape):
    """First node and number of nodes along each axis that the particles reach; their product."""
    size = 1.0  # no integer: that of particles far apart would overflow
    for a in range(x.shape[1]):
        least = most = x[0, a]
        for p in range(1, len(x)):
            least, most = min(least, x[p, a]), max(most, x[p, a])
        first = np.floor((least - origin[a]) / cell[a] - 0.5)
        count = np.floor((most - origin[a]) / cell[a] - 0.5) + 3 - first
        low[a], shape[a] = int(first), int(count)
        size *= count
    return size


@njit(cache=True, fastmath=FAST)
@no_type_check
def impose(grid, low, shape, kick, gravity, first, last, friction):
    """Momentum to velocity, Δt g, and walls: no velocity into them at nodes on or behind them.

    A wall takes the tangential velocity as the impulse times the coefficient of friction.
    """
    dim = len(low)
    for n in range(np.prod(shape)):
        mass = grid[n, dim]
        if mass <= 0.0:
            continue
        rest, v = n, grid[n]
        for a in range(dim):
            v[a] = v[a] / mass + kick * gravity[a]
        for a in range(dim - 1, -1, -1):
            node = rest % shape[a] + low[a]
            rest //= shape[a]
            if (node > first[a] or v[a] >= 0.0) and (node < last[a] or v[a] <= 0.0):
                continue
            push, v[a], speed = np.abs(v[a]), 0.0, 0.0
            for b in range(dim):
                speed += v[b] ** 2
            kept = max(0.0, 1.0 - friction * push / np.sqrt(speed)) if speed > 0.0 else 1.0
            for b in range(dim):
                v[b] *= kept


@njit(cache=True, fastmath=FAST)
@no_type_check
def mirror(grid, low, shape, first, last):
    """Masses near walls as if the body went on behind them, mirrored at their node."""
    dim, stride = len(low), 1
    for a in range(dim - 1, -1, -1):
        for wall in (first[a] - low[a], last[a] - low[a]):
            if not 0 <= wall < shape[a]:  # too far for a particle to see its image
                continue
            for n in range(np.prod(shape)):
                if n // stride % shape[a] != wall:
                    continue
                grid[n, dim] *= 2
                for q in range(1, 3):
                    if wall + q < shape[a] and wall - q >= 0:
                        total = grid[n + q * stride, dim] + grid[n - q * stride, dim]
                        grid[n + q * stride, dim] = grid[n - q * stride, dim] = total
        stride *= shape[a]


@njit(cache=True, fastmath=FAST)
@no_type_check
def move(x, v, drift, cell, lower, upper):
    """x <- x + Δt v, held between the walls; -1, or a particle that moves a cell or is NaN."""
    for p in range(len(x)):
        for a in range(x.shape[1]):
            if not np.abs(drift * v[p, a]) < cell[a]:
                return p
            x[p, a] += drift * v[p, a]
            if x[p, a] < lower[a]:
                x[p, a], v[p, a] = lower[a], max(v[p, a], 0.0)
            elif x[p, a] > upper[a]:
                x[p, a], v[p, a] = upper[a], min(v[p, a], 0.0)
    return -1

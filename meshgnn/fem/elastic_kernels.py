"""Compiled loops of explicit elastodynamics: forces, walls, steps.

A simplex has nodes `cells[s]` and the gradients `slopes[s, a]` of its shape functions 1 ... d, of
which the first is what remains to 0. The loops carry no annotations that are executed, since the
compiler sees them instead.
"""

from math import sqrt
from typing import no_type_check

import numpy as np
from numba import njit

from meshgnn.fem.elastic_laws import stress_2d, stress_3d

STRETCH = 1e6  # of |F|², beyond which a body is taken for torn apart


@njit(cache=True, error_model="numpy")
@no_type_check
def forces(law, axes, u, cells, slopes, volumes, lame, shear, rates, force):
    """f = -∂E/∂u into force [N, d]; E, the largest ω² by now, and its cell.

    `rates` are ω² of the cells at rest; it is infinite where a cell is inside out or torn apart.
    `axes` is (0, 1) or (0, 1, 2): a tuple, so that the compiler knows d and unrolls the loops.
    """
    force[:] = 0.0
    total, peak, worst, dim = 0.0, 0.0, 0, len(axes)
    f, p = np.empty(18), np.empty(9)
    for s in range(len(cells)):
        square, base, energy = 0.0, cells[s, 0], 0.0
        for i in range(dim):
            for j in range(dim):
                entry = 1.0 if i == j else 0.0
                for a in range(dim):
                    entry += (u[cells[s, a + 1], i] - u[base, i]) * slopes[s, a, j]
                f[dim * i + j] = entry
                square += entry * entry
        if dim == 2:
            det, energy, stiff, p[0], p[1], p[2], p[3] = stress_2d(
                law, lame[s], shear[s], f[0], f[1], f[2], f[3]
            )
        else:
            det, energy, stiff = stress_3d(law, lame[s], shear[s], f, p)
        if not square < STRETCH or (law == 0 and not det > 0):
            return total, np.inf, s
        if rates[s] * stiff > peak:
            peak, worst = rates[s] * stiff, s
        total += volumes[s] * energy
        for i in range(dim):
            for a in range(dim):
                push = 0.0
                for j in range(dim):
                    push += p[dim * i + j] * slopes[s, a, j]
                push *= volumes[s]
                force[cells[s, a + 1], i] -= push
                force[base, i] += push
    return total, peak, worst


@njit(cache=True)
@no_type_check
def hit(v, fixed, axis, target, friction):
    """Velocity v [d] of a node after the impulse along the axis that gives it the target speed.

    Coulomb's law: what the impulse takes along the wall is at most the friction times itself.
    """
    impulse = abs(target - v[axis])
    v[axis] = target
    square = 0.0
    for c in range(len(v)):
        if c != axis and not fixed[c]:
            square += v[c] * v[c]
    if square > 0 and friction > 0:
        left = max(0.0, 1 - friction * impulse / sqrt(square))
        for c in range(len(v)):
            if c != axis and not fixed[c]:
                v[c] *= left


@njit(cache=True)
@no_type_check
def contact(x, u, v, fixed, dt, lo, hi, friction):
    """Velocities after which no node passes a wall within dt."""
    for i in range(len(u)):
        for c in range(u.shape[1]):
            if fixed[i, c]:
                continue
            here = x[i, c] + u[i, c]
            ahead = here + dt * v[i, c]
            if ahead < lo[c]:
                hit(v[i], fixed[i], c, (lo[c] - here) / dt, friction)
            elif ahead > hi[c]:
                hit(v[i], fixed[i], c, (hi[c] - here) / dt, friction)


@njit(cache=True, error_model="numpy")
@no_type_check
def kick(v, force, mass, gravity, fixed, half, keep, scale):
    """v' = scale (keep v + half (f / m + g)) at free components."""
    for i in range(len(v)):
        for c in range(v.shape[1]):
            if not fixed[i, c]:
                rate = force[i, c] / mass[i] + gravity[c]
                v[i, c] = scale * (keep * v[i, c] + half * rate)


@njit(cache=True, error_model="numpy")
@no_type_check
def advance(
    law, axes, x, u, v, force, cells, slopes, volumes, lame, shear, rates, mass,
    gravity, damping, lo, hi, friction, fixed, held, path, dt, steps, limit, energy, peak,
):  # fmt: skip
    """Steps of central differences in place; E, the largest ω², a cell, how many steps were done.

    They end before one after which (ω Δt)² would be above the limit, in that cell. u, v, force, E
    and ω² belong to one time before and after. `held` [H, 2] are the (node, component) that follow
    `path` [steps or 1, H]; `fixed` [N, d] is where those are.
    """
    half, drag, old = dt / 2, damping * dt / 2, (u.copy(), v.copy(), force.copy())
    walled = np.isfinite(lo).any() or np.isfinite(hi).any()
    for k in range(steps):
        old[0][:], old[1][:], old[2][:] = u, v, force
        kick(v, force, mass, gravity, fixed, half, 1.0, 1 / (1 + drag))
        row = path[min(k, len(path) - 1)]
        for h in range(len(held)):
            v[held[h, 0], held[h, 1]] = (row[h] - u[held[h, 0], held[h, 1]]) / dt
        if walled:
            contact(x, u, v, fixed, dt, lo, hi, friction)
        for i in range(len(u)):
            for c in range(u.shape[1]):
                u[i, c] += dt * v[i, c]
        for h in range(len(held)):
            u[held[h, 0], held[h, 1]] = row[h]
        after, largest, worst = forces(
            law, axes, u, cells, slopes, volumes, lame, shear, rates, force
        )
        if not largest * dt * dt <= limit:
            u[:], v[:], force[:] = old
            return energy, peak, worst, k
        energy, peak = after, largest
        kick(v, force, mass, gravity, fixed, half, 1 - drag, 1.0)
    return energy, peak, -1, steps

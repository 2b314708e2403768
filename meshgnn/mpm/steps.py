"""The march of the material point method in time."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from meshgnn.mpm import plane, space
from meshgnn.mpm.grid import impose, mirror, move, window
from meshgnn.mpm.materials import Material
from meshgnn.mpm.particles import Particles, Unstable
from meshgnn.mpm.scene import Scene

_PACKING = 0.08  # share of its way in the time that sound takes through a cell
_LOOSE = 1.02  # the sums of weights over particles at rest stay within 2 % of their number
_NODES = 2e7  # of the largest window, about 0.6 GB


def march(
    particles: Particles,
    scene: Scene,
    material: Material,
    times: Float[np.ndarray, " T"],
    courant: float = 0.4,
) -> Iterator[int]:
    """Bring the particles to each of the times; yields the number of steps that each one took.

    Explicit MLS-MPM with affine transfers (APIC). Velocities leap over positions, at t + Δt/2, so
    that free fall is exact. Momentum and angular momentum are kept to rounding; what is short
    against the cells loses energy with every transfer, more of them with shorter steps. Steps
    between two of the times are equal, Δt <= courant h / (c + |v|) with the sound speed c and the
    largest speed expected. The grid has no bounds: it is where the particles are.

    A fluid keeps its volume: J alone follows the motion, and nothing holds particles apart that it
    does not see approach: water at rest lost half its height in 6 s with one particle to a cell.
    So J goes towards that of the density on the grid where particles lie closer than it says, walls
    counted as mirrors; the height then stays within 3 %.

    Args:
        particles: changed in place; at `times[0]` when given.
        scene: gravity, walls and the cell size h.
        material: the law.
        times: [T] increasing, s.
        courant: at most 1.

    Raises:
        Unstable: a particle moves by a cell in one step or turns inside out; particles so far apart
            that no grid holds them.

    Source: Hu et al., A moving least squares material point method, 2018; Jiang et al., The affine
    particle-in-cell method, 2015.
    """
    grid = np.zeros((0, len(scene.gravity) + 1))
    yield 0
    for start, end in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
        speed = float(np.sqrt((particles.velocity**2).sum(axis=1).max()))
        speed += float(np.linalg.norm(scene.gravity)) * (end - start)
        longest = courant * scene.spacing.min() / (material.sound_speed + speed)
        steps = int(np.ceil((end - start) / longest))
        drift = (end - start) / steps
        for step in range(steps):
            time = start + step * drift
            grid = advance(particles, scene, material, drift, grid, time)
        yield steps


def advance(
    particles: Particles,
    scene: Scene,
    material: Material,
    drift: float,
    grid: Float[np.ndarray, "n c"],
    time: float,
) -> Float[np.ndarray, "m c"]:
    """One step of `drift` seconds; the grid, larger if need be.

    Raises:
        Unstable: see `march`.
    """
    x, v, affine, h = particles.position, particles.velocity, particles.affine, scene.spacing
    kick, constants = particles.lag + drift / 2, material.constants(x.shape[1])
    low, shape = np.empty((2, x.shape[1]), np.int64)
    grid = _room(window(x, scene.origin, h, low, shape), grid, x, time)
    kernels = space if x.shape[1] == 3 else plane
    stress, mass, volume = particles.stress, particles.mass, particles.volume
    kernels.scatter(x, v, affine, stress, mass, volume, kick, h, scene.origin, low, shape, grid)
    impose(grid, low, shape, kick, scene.gravity, scene.first, scene.last, scene.friction)
    kernels.gather(x, v, affine, h, scene.origin, low, shape, grid)
    if material.law == "volumetric":
        mirror(grid, low, shape, scene.first, scene.last)
        share = min(_PACKING * material.sound_speed / scene.cell * drift, 1.0)
        full = _LOOSE * material.density * h.prod()
        kernels.pack(x, particles.stretch, share, full, h, scene.origin, low, shape, grid)
    bad = move(x, v, drift, h, scene.lo, scene.hi)
    what = "moves by more than a cell in one step"
    if bad < 0:
        bad = kernels.deform(affine, particles.stretch, stress, particles.energy, drift, constants)
        what = "turns inside out in one step"
    if bad >= 0:
        raise Unstable(
            f"material points: at t = {time:.6g} s particle {bad} {what} of {drift:.3g} s (speed "
            f"{np.linalg.norm(v[bad]):.3g} m/s); lower courant or the speeds, or take larger cells",
            time,
            bad,
        )
    particles.lag = drift / 2
    return grid


def _room(
    size: float, grid: Float[np.ndarray, "n c"], x: Float[np.ndarray, "N d"], time: float
) -> Float[np.ndarray, "m c"]:
    if not size <= _NODES:
        far = int(np.abs(x - x.mean(axis=0)).max(axis=1).argmax())
        raise Unstable(
            f"material points: at t = {time:.6g} s the particles lie so far apart that the grid "
            f"has {size:.3g} nodes, the farthest is {far}; bound the scene by walls or take larger "
            "cells",
            time,
            far,
        )
    return grid if size <= len(grid) else np.zeros((int(1.2 * size), grid.shape[1]))

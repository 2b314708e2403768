"""Bounded intervals: viscous and inviscid Burgers between given values and free outflow."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from meshgnn.volumes.fluxes import gradient, transport

_DEGREE = 3  # of the polynomial beyond an end with a given value
_DIFFUSION = 0.4  # β dt / dx² of Runge–Kutta of order 3 and differences of order 4: up to 0.47


@dataclass(frozen=True, eq=False)
class Segment:
    """∂u/∂t + ∂_x (α u²/2 - β ∂_x u) = δ, u = g at an end or free outflow; equal cells.

    The end points are the centres of the end cells. Where u = g is given, the averages of the end
    cell and of those beyond it are those of the cubic through g and three averages, which gives way
    to the constant g where u jumps near the end. Beyond a free end u is mirrored: ∂_x u = 0.
    Explicit: dt is limited by dx / |α u| and dx² / β.

    Args:
        dx: length of a cell, m.
        alpha: [B] α.
        beta: [B] β >= 0, m²/s.
        ends: for the left and the right end t -> g, or None where it is free.
        source: t -> [n, B] averages of δ over the cells.
        cfl: max |α u| dt / dx without diffusion.
    """

    dx: float
    alpha: Float[np.ndarray, " B"]
    beta: Float[np.ndarray, " B"]
    ends: tuple[Callable[[float], float] | None, Callable[[float], float] | None]
    source: Callable[[float], Float[np.ndarray, "n B"]]
    cfl: float = 0.8

    def rate(self, u: Float[np.ndarray, "n B"], time: float) -> Float[np.ndarray, "n B"]:
        """∂u/∂t; 0 in an end cell with a given value, whose u has no effect."""
        wide = np.concatenate([u[3:0:-1], u, u[-2:-5:-1]])
        for end, side in zip(self.ends, (wide, wide[::-1]), strict=True):
            if end is not None:
                side[:4] = _beyond(side[4 : 4 + _DEGREE], end(time))
        flux = transport(wide, self.alpha) - self.beta * gradient(wide[1:-1], self.dx)
        change = self.source(time) + (flux[:-1] - flux[1:]) / self.dx
        change[[i for i, end in zip((0, -1), self.ends, strict=True) if end is not None]] = 0
        return change

    def limit(self, u: Float[np.ndarray, "n B"], time: float) -> float:
        """1 / (max |α u| / (cfl dx) + max β / (0.4 dx²)), given values among the u."""
        given = [abs(end(time)) for end in self.ends if end is not None]
        speed = (
            np.abs(self.alpha) * np.maximum(np.abs(u).max(axis=0), max(given, default=0))
        ).max()
        rate = speed / (self.cfl * self.dx)
        rate += self.beta.max() / (_DIFFUSION * self.dx**2)
        return 1 / rate if rate else np.inf

    def propagator(self, dt: float, cells: int) -> None:
        """Nothing is advanced exactly."""


def _beyond(u: Float[np.ndarray, "q B"], value: float) -> Float[np.ndarray, "4 B"]:
    """Averages of the end cell and of three beyond it, the last first, from the next q inside."""
    smooth = value + _WEIGHTS @ (u - value)
    points = np.concatenate([np.full((1, u.shape[1]), value), u])
    largest = np.abs(np.diff(points, axis=0)).max(axis=0)
    bend = np.abs(np.diff(points, n=_DEGREE, axis=0)[0])
    # a jump has differences of one size whatever their order; smooth ones fall as dx²
    rough = (2 * bend / np.where(largest > 0, largest, 1)) ** 4
    return value + (smooth - value) / (1 + rough)


def _weights() -> Float[np.ndarray, "4 q"]:
    """Averages over cells 3, 2, 1, 0 to the left, of p with p(0) = 0 and averages in 1 ... q."""

    def means(cells: np.ndarray) -> np.ndarray:
        power = np.arange(2, _DEGREE + 2)
        high, low = cells[:, None] + 0.5, cells[:, None] - 0.5
        return (high**power - low**power) / power

    return means(np.arange(-3.0, 1.0)) @ np.linalg.inv(means(np.arange(1.0, _DEGREE + 1)))


_WEIGHTS = _weights()

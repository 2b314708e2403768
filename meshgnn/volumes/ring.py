"""Periodic intervals: the combined equation on a ring of equal cells."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from meshgnn.volumes.fluxes import transport

Source = Callable[[float], Float[np.ndarray, "n B"]]


@dataclass(frozen=True, eq=False)
class Ring:
    """∂u/∂t + ∂_x (α u²/2 - β ∂_x u + γ ∂_xx u) = δ, u(t, x + L) = u(t, x); n equal cells.

    u are averages over the cells, of B solutions at once. α u²/2: Godunov's flux of WENO5 values.
    β and γ: the derivatives of the trigonometric interpolation, exactly in time, so that they limit
    no step. Every term is a difference of fluxes: Σ u changes by δ only, to rounding.

    Args:
        length: L, m.
        alpha: [B] α.
        beta: [B] β >= 0, m²/s.
        gamma: [B] γ, m³/s.
        source: t -> [n, B] averages of δ over the cells; None for δ = 0.
        cfl: max |α u| dt / dx.
    """

    length: float
    alpha: Float[np.ndarray, " B"]
    beta: Float[np.ndarray, " B"]
    gamma: Float[np.ndarray, " B"]
    source: Source | None = None
    cfl: float = 0.8

    def rate(self, u: Float[np.ndarray, "n B"], time: float) -> Float[np.ndarray, "n B"]:
        """The part of ∂u/∂t that is due to transport and source."""
        source = np.zeros_like(u) if self.source is None else self.source(time)
        if not self.alpha.any():
            return source
        flux = transport(np.concatenate([u[-3:], u, u[:3]]), self.alpha)
        return source + (flux[:-1] - flux[1:]) * (len(u) / self.length)

    def limit(self, u: Float[np.ndarray, "n B"], time: float) -> float:
        """cfl dx / max |α u|."""
        speed = np.abs(self.alpha * u).max()
        return self.cfl * self.length / len(u) / speed if speed else np.inf

    def propagator(self, dt: float, cells: int) -> Callable[[np.ndarray], np.ndarray] | None:
        """u -> exp(dt (β ∂_xx - γ ∂_xxx)) u by the fast Fourier transform; None for β = γ = 0."""
        if not (self.beta.any() or self.gamma.any()):
            return None
        wave = 2 * np.pi / self.length * np.arange(cells // 2 + 1)[:, None]
        turn = self.gamma * wave**3
        if cells % 2 == 0:
            turn[-1] = 0  # the grid does not see odd derivatives of its shortest wave
        factors = np.exp(dt * (1j * turn - self.beta * wave**2))
        return lambda u: np.fft.irfft(factors * np.fft.rfft(u, axis=0), cells, axis=0)

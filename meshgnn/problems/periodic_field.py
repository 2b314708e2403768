"""Random smooth functions that repeat with the bounding box of a mesh."""

from dataclasses import dataclass
from functools import reduce
from math import ceil, pi

import numpy as np
from jaxtyping import Complex, Float

from meshgnn.mesh import Mesh


@dataclass(frozen=True, eq=False)
class PeriodicField:
    """v(x) = Re Σ_m z_m exp(2πi Σ_a m_a (x_a - low_a) / L_a), m_a = -K_a ... K_a.

    z_m are independent complex normal with the variances of a process of covariance
    σ² Σ_p exp(-|r + p L|² / 2l²), p over whole periods: the squared-exponential one, wrapped.

    Args:
        low: [d] corner of the box.
        lengths: [d] periods L_a.
        weights: [2 K_1 + 1, ..., 2 K_d + 1] z_m.
    """

    low: Float[np.ndarray, " d"]
    lengths: Float[np.ndarray, " d"]
    weights: Complex[np.ndarray, "..."]

    @classmethod
    def draw(
        cls, mesh: Mesh, length: float, std: float, rng: np.random.Generator
    ) -> "PeriodicField":
        """A field whose periods are the sides of the bounding box, with this l and σ."""
        low = mesh.points.min(axis=0)
        lengths = np.ptp(mesh.points, axis=0)
        counts = [ceil(1.25 * side / length) for side in lengths]
        spectra = [
            np.exp(-2 * (pi * np.arange(-count, count + 1) * length / side) ** 2)
            for count, side in zip(counts, lengths, strict=True)
        ]
        variance = reduce(np.multiply.outer, spectra)
        normal = rng.standard_normal((2, *variance.shape))
        return cls(
            low, lengths, std * np.sqrt(variance / variance.sum()) * (normal[0] + 1j * normal[1])
        )

    def __call__(self, x: Float[np.ndarray, "*R d"]) -> Float[np.ndarray, "*R"]:
        """v at points x[..., d]."""
        turns = (x.reshape(-1, x.shape[-1]) - self.low) / self.lengths
        result = self.weights[None]
        for turn, size in zip(turns.T, self.weights.shape, strict=True):
            modes = np.arange(size) - size // 2
            waves = np.exp(2j * pi * np.outer(turn, modes))
            # [1 or R, size, ...] summed over the modes of one axis after the other
            result = np.einsum(
                "rk,rk...->r...", waves, np.broadcast_to(result, (len(turn), *result.shape[1:]))
            )
        return np.real(result).reshape(x.shape[:-1])

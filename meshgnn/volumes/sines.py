"""Sums of travelling sines, which are integrated over cells without error."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, eq=False)
class Sines:
    """δ_b(t, x) = Σ_j A_bj sin(ω_bj t + 2π l_bj x / L + φ_bj), b = 1 ... B functions.

    Args:
        amplitude: [B, J] A.
        frequency: [B, J] ω, 1/s.
        mode: [B, J] l, whole waves on the length.
        phase: [B, J] φ.
        length: L, m.
    """

    amplitude: Float[np.ndarray, "B J"]
    frequency: Float[np.ndarray, "B J"]
    mode: Int[np.ndarray, "B J"]
    phase: Float[np.ndarray, "B J"]
    length: float

    @classmethod
    def stacked(cls, parts: Sequence["Sines"]) -> "Sines":
        """The functions of all parts, which have the length of the first and as many terms."""
        return cls(
            np.concatenate([part.amplitude for part in parts]),
            np.concatenate([part.frequency for part in parts]),
            np.concatenate([part.mode for part in parts]),
            np.concatenate([part.phase for part in parts]),
            parts[0].length,
        )

    def __call__(self, x: Float[np.ndarray, "*R d"], time: float) -> Float[np.ndarray, "*R"]:
        """δ(t, x) of the first function at points x[..., d]."""
        waves = 2 * np.pi / self.length * self.mode[0] * x[..., :1]
        return np.sin(waves + self.frequency[0] * time + self.phase[0]) @ self.amplitude[0]

    def __getitem__(self, rows: slice | np.ndarray) -> "Sines":
        """Some of the functions, by their numbers."""
        return Sines(
            self.amplitude[rows],
            self.frequency[rows],
            self.mode[rows],
            self.phase[rows],
            self.length,
        )

    def averages(
        self, centre: Float[np.ndarray, " n"], width: Float[np.ndarray, " n"]
    ) -> Callable[[float], np.ndarray]:
        """t -> [n, B] averages of δ over cells with these centres and widths."""
        modes, place = np.unique(self.mode, return_inverse=True)
        wave = 2 * np.pi / self.length * modes
        damped = np.sinc(width[:, None] * wave / (2 * np.pi))
        angle = centre[:, None] * wave
        basis = np.hstack([damped * np.cos(angle), damped * np.sin(angle)])
        which = place.reshape(self.mode.shape) == np.arange(len(modes))[:, None, None]
        weights = which * self.amplitude

        def at(time: float) -> np.ndarray:
            angle = self.frequency * time + self.phase
            parts = [(weights * np.sin(angle)).sum(axis=2), (weights * np.cos(angle)).sum(axis=2)]
            return basis @ np.concatenate(parts)

        return at

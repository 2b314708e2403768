"""The state of the material point method."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from meshgnn.mpm.scene import Scene
from meshgnn.sample import Sample


class Unstable(RuntimeError):
    """A march that no step of this length can follow; the message says when, where and the remedy.

    Attributes:
        time: s.
        particle: its number.
        sample: the times before, where there is one; else None.
    """

    def __init__(self, message: str, time: float, particle: int) -> None:
        super().__init__(message)
        self.time, self.particle = time, particle
        self.sample: Sample | None = None


@dataclass(eq=False)
class Particles:
    """The state of N particles, changed in place.

    Velocities are those of an earlier time, by the lag: half a step after the first.

    Args:
        position: [N, d] m.
        velocity: [N, d] m/s.
        affine: [N, d, d] C, the gradient of the velocity in and around each particle, 1/s.
        stretch: [N, d (d + 1) / 2] b, or J in its first entry for a fluid.
        stress: [N, d (d + 1) / 2] Kirchhoff's τ, Pa.
        energy: [N] strain energy by reference volume, Pa.
        volume: [N] in the reference configuration, m^d.
        mass: [N] kg.
        lag: s.
    """

    position: Float[np.ndarray, "N d"]
    velocity: Float[np.ndarray, "N d"]
    affine: Float[np.ndarray, "N d d"]
    stretch: Float[np.ndarray, "N s"]
    stress: Float[np.ndarray, "N s"]
    energy: Float[np.ndarray, " N"]
    volume: Float[np.ndarray, " N"]
    mass: Float[np.ndarray, " N"]
    lag: float = 0.0

    @classmethod
    def at_rest(
        cls,
        position: Float[np.ndarray, "N d"],
        velocity: Float[np.ndarray, "N d"],
        volume: Float[np.ndarray, " N"],
        density: float,
    ) -> "Particles":
        """Unstrained particles that move with these velocities.

        Raises:
            ValueError: NaN or infinity, a volume or density that is not positive.
        """
        for name, values in (("position", position), ("velocity", velocity), ("volume", volume)):
            bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
            if bad.any():
                raise ValueError(
                    f"particles: the {name} of {bad.sum()} is NaN or infinite, the first "
                    f"{bad.argmax()}"
                )
        if not (density * volume > 0).all():
            raise ValueError(
                "particles: expected a positive volume and density, the least mass is "
                f"{(density * volume).min():.3g} kg"
            )
        count, dim = position.shape
        stretch = np.zeros((count, dim * (dim + 1) // 2))
        stretch[:, :dim] = 1
        return cls(
            position.copy(),
            velocity.copy(),
            np.zeros((count, dim, dim)),
            stretch,
            np.zeros_like(stretch),
            np.zeros(count),
            volume.copy(),
            density * volume,
        )

    def momentum(self) -> Float[np.ndarray, " d"]:
        """Σ m v, kg m/s."""
        return self.mass @ self.velocity

    def angular_momentum(self, scene: Scene) -> Float[np.ndarray, "d d"]:
        """Σ m (x vᵀ - v xᵀ + h²/4 (Cᵀ - C)) on this grid: the affine parts carry their share."""
        orbital = np.einsum("n,na,nb->ab", self.mass, self.position, self.velocity)
        own = np.einsum("n,b,nab->ba", self.mass, scene.spacing**2 / 4, self.affine)
        return orbital + own - (orbital + own).T

    def energies(self, scene: Scene) -> dict[str, float]:
        """Kinetic, strain and gravity (0 at the origin of coordinates) energy, J.

        ½ Σ m (|v|² + h²/4 |C|²), the affine parts with their share and v brought to the time of
        the positions by gravity alone; Σ V ψ; -Σ m g·x.
        """
        squares = ((self.velocity + self.lag * scene.gravity) ** 2).sum(axis=1)
        squares += (scene.spacing**2 / 4 * self.affine**2).sum(axis=(1, 2))
        return {
            "kinetic": float(self.mass @ squares) / 2,
            "strain": float(self.volume @ self.energy),
            "gravity": -float(self.mass @ self.position @ scene.gravity),
        }

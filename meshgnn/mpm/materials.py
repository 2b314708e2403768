"""Materials of the material point method: elastic laws and the yield surfaces that bound them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

LAWS = ("fixed-corotated", "volumetric", "Hencky")


@dataclass(frozen=True)
class Material:
    """An isotropic law for the Kirchhoff stress τ = J σ of the left stretch b = F Fᵀ.

    With J = det F, principal stretches s_i, Lamé's μ = E / (2 + 2ν), λ = 2 μ ν / (1 - 2ν):

        fixed-corotated   τ_i = 2 μ s_i (s_i - 1) + λ J (J - 1)
        volumetric        τ_i = λ J (J - 1): a fluid without viscosity, in tension as in compression
        Hencky            τ_i = 2 μ ε_i + λ Σ_k ε_k,  ε_i = ln s_i, after the plastic flow

    Plastic flow of the Hencky law, dev the deviator, keeps Σ ε and shortens dev ε until

        |dev τ| <= yield_stress                             (von Mises), or
        |dev τ| <= -α Σ τ_k, α from the friction angle φ    (Drucker and Prager)

    where the second leaves no strain at all in tension: the grains part. In 3D the published
    α = √(2/3) 2 sin φ / (3 - sin φ), Mohr and Coulomb's law in triaxial compression; in 2D
    α = sin φ / √2, which is that law exactly. In 2D all happens in the plane: no strain across it,
    elastic or plastic. Not covered: hardening, the volume that sand gains when it parts and meets
    again, viscosity, temperature.

    Args:
        law: one of LAWS.
        young: E, Pa.
        poisson: ν, in (-1, 1/2), and positive for the volumetric law.
        density: ρ in the reference configuration, kg/m³.
        yield_stress: of the Hencky law, Pa, a bound of the Frobenius norm |dev τ|; inf: none.
        friction_angle: φ of the Hencky law, degrees; 0: none.

    Raises:
        ValueError: another law, numbers outside these ranges, plasticity of another law or of both
            kinds.

    Source: Stomakhin et al., Energetically consistent invertible elasticity, 2012, for the
    fixed-corotated law; Klár et al., Drucker-Prager elastoplasticity for sand animation, 2016; the
    numbers of MATERIALS: Ma et al., Learning neural constitutive laws, 2023.
    """

    law: str
    young: float
    poisson: float
    density: float = 1000.0
    yield_stress: float = np.inf
    friction_angle: float = 0.0

    def __post_init__(self) -> None:
        if self.law not in LAWS:
            raise ValueError(f"law: expected one of {', '.join(LAWS)}, got {self.law!r}")
        for name in ("young", "density", "yield_stress"):
            value = getattr(self, name)
            if not value > 0 or (name != "yield_stress" and np.isinf(value)):
                raise ValueError(f"{name}: expected a positive number, got {value}")
        least = 0.0 if self.law == "volumetric" else -1.0
        if not least < self.poisson < 0.5:
            raise ValueError(
                f"poisson: expected a number between {least:g} and 0.5, both excluded, for the law "
                f"{self.law!r}, got {self.poisson}"
            )
        if not 0 <= self.friction_angle < 90:
            raise ValueError(
                f"friction_angle: expected degrees from 0 to below 90, got {self.friction_angle}"
            )
        kinds = int(np.isfinite(self.yield_stress)) + (self.friction_angle > 0)
        if kinds > (self.law == "Hencky"):
            raise ValueError(
                "yield_stress and friction_angle: expected one of them, of the law 'Hencky', got "
                f"{self.yield_stress:g} Pa and {self.friction_angle:g} degrees of {self.law!r}"
            )

    @property
    def lame(self) -> tuple[float, float]:
        """(μ, λ) in Pa."""
        shear = self.young / (2 * (1 + self.poisson))
        return shear, 2 * shear * self.poisson / (1 - 2 * self.poisson)

    @property
    def sound_speed(self) -> float:
        """c = √((λ + 2 μ) / ρ) of pressure waves at rest, m/s; √(λ / ρ) of the fluid."""
        shear, bulk = self.lame
        return ((bulk + (self.law != "volumetric") * 2 * shear) / self.density) ** 0.5

    def numbers(self) -> dict[str, float]:
        """The fields by name; yield stress and friction angle where the material has them."""
        plastic = {"yield_stress": self.yield_stress, "friction_angle": self.friction_angle}
        elastic = {"young": self.young, "poisson": self.poisson, "density": self.density}
        return elastic | {name: value for name, value in plastic.items() if 0 < value < np.inf}

    def constants(self, dim: int) -> Float[np.ndarray, " 5"]:
        """What the compiled loops take: number of the law, μ, λ, r, k in |dev ε| <= r - k Σ ε."""
        shear, bulk = self.lame
        sine = np.sin(np.deg2rad(self.friction_angle))
        slope = sine / 2**0.5 if dim == 2 else (2 / 3) ** 0.5 * 2 * sine / (3 - sine)
        radius = 0.0 if slope else self.yield_stress / (2 * shear)
        slope *= (dim * bulk + 2 * shear) / (2 * shear)
        return np.array([LAWS.index(self.law), shear, bulk, radius, slope])


MATERIALS = {
    "elastic": Material("fixed-corotated", 1e5, 0.2),
    "water": Material("volumetric", 1e5, 0.3),
    "plasticine": Material("Hencky", 3e5, 0.25, yield_stress=5e3),
    "sand": Material("Hencky", 1e6, 0.2, friction_angle=25.0),
}

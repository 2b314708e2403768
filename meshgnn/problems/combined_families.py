"""The published families E1, E2, E3 of the combined equation as random draws."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from meshgnn.volumes import Sines

LENGTH = 16.0  # m
_TERMS = 5


class Family(NamedTuple):
    """Last time in s, and the limits between which α, β and γ are uniform."""

    duration: float
    alpha: tuple[float, float]
    beta: tuple[float, float]
    gamma: tuple[float, float]


FAMILIES = {
    "E1": Family(4.0, (1.0, 1.0), (0.0, 0.0), (0.0, 0.0)),
    "E2": Family(4.0, (1.0, 1.0), (0.0, 0.2), (0.0, 0.0)),
    "E3": Family(2.0, (0.0, 6.0), (0.1, 0.4), (0.0, 1.0)),
}


def published(name: str) -> Family:
    """The family of this name. Raises: ValueError: there is none (those there are)."""
    if name not in FAMILIES:
        raise ValueError(f"family: expected one of {', '.join(FAMILIES)}, got {name!r}")
    return FAMILIES[name]


def drawn(
    rng: np.random.Generator, name: str, waves: Sequence[int], length: float = LENGTH
) -> tuple[Float[np.ndarray, " 3"], Sines]:
    """α, β, γ and δ = Σ_{j=1..5} A_j sin(ω_j t + 2π l_j x / L + φ_j) of one sample.

    A in [-1/2, 1/2], ω in [-2/5, 2/5] (uniform), l one of `waves`, φ in [0, 2π].

    Raises:
        ValueError: an unknown family, no waves.

    Source: Brandstetter et al., Message Passing Neural PDE Solvers, 2022, section 4.1; the limits
    are those of their code (α is twice that of the paper, for the flux is α u²/2 here).
    """
    limits = published(name)
    if not len(waves):
        raise ValueError("waves: expected at least one number of waves on the length, got none")
    constants = np.array([rng.uniform(*each) for each in limits[1:]])
    forcing = Sines(
        rng.uniform(-0.5, 0.5, (1, _TERMS)),
        rng.uniform(-0.4, 0.4, (1, _TERMS)),
        rng.choice(np.asarray(waves, np.int64), (1, _TERMS)),
        rng.uniform(0, 2 * np.pi, (1, _TERMS)),
        length,
    )
    return constants, forcing

"""What is measured on flows past bodies: force coefficients."""

import numpy as np
from jaxtyping import Float


def force_coefficients(
    force: Float[np.ndarray, "*T d"], speed: float, length: float
) -> Float[np.ndarray, "*T d"]:
    """C = 2 F / (ρ U² D): drag along the first axis, lift along the second.

    Args:
        force: F / ρ, per depth in 2D, as in `Sample.meta["forces"]`.
        speed: U, m/s.
        length: D, m; in 3D the frontal area, m².
    """
    return 2 * np.asarray(force) / (speed**2 * length)

"""Fluxes through the faces between equal cells."""

import numpy as np
from jaxtyping import Float

from meshgnn.volumes.weno import edge_values


def transport(
    u: Float[np.ndarray, "G B"], alpha: Float[np.ndarray, " B"]
) -> Float[np.ndarray, "F B"]:
    """Godunov's flux of α u²/2 at the n + 1 faces of n cells, from WENO5 values on either side.

    Args:
        u: [n + 6, B] averages of n cells and three beyond either end.
        alpha: α of each column, of any sign.
    """
    left, right = edge_values(u)
    sign = np.where(alpha < 0, -1.0, 1.0)
    behind = np.maximum(sign * right[:-1], 0)
    ahead = np.minimum(sign * left[1:], 0)
    behind *= behind
    ahead *= ahead
    return alpha / 2 * np.maximum(behind, ahead)


def gradient(u: Float[np.ndarray, "G B"], dx: float) -> Float[np.ndarray, "F B"]:
    """∂_x u at the n + 1 faces of n cells, of order 4, from averages.

    Args:
        u: [n + 4, B] averages of n cells and two beyond either end.
        dx: length of a cell.
    """
    near, far = u[2:-1] - u[1:-2], u[3:] - u[:-3]
    return (15 * near - far) / (12 * dx)

"""Motions of a solid that cost no energy."""

from itertools import combinations

import numpy as np
from jaxtyping import Float


def rigid_motions(points: Float[np.ndarray, "p d"]) -> Float[np.ndarray, "n r"]:
    """Translations e_a and rotations x_a e_b - x_b e_a about the centre, [p d, d + d(d-1)/2]."""
    count, d = points.shape
    x = points - points.mean(axis=0)
    x = x / np.abs(x).max()
    modes = np.zeros((count, d, d + d * (d - 1) // 2))
    modes[:, range(d), range(d)] = 1
    for r, (a, b) in enumerate(combinations(range(d), 2), start=d):
        modes[:, b, r] = x[:, a]
        modes[:, a, r] = -x[:, b]
    return modes.reshape(count * d, -1)

"""Smooth interpolation between evenly spaced states."""

import torch
from jaxtyping import Float
from torch import Tensor


def time_weights(position: Float[Tensor, " T"], count: int) -> Float[Tensor, "T A"]:
    """v(t) = Σ_k W_k(t) v_k, the cubic Hermite interpolant with slopes (v_{k+1} − v_{k−1}) / 2.

    Continuous with its derivative, exact for parabolas and at the states. The first and the last
    slope are those of the parabola through three states, of the line through two. A value between
    k and k + 1 depends on the states k − 1 ... k + 2 alone (0 ... 2 in the first interval), so with
    one state beyond the last asked for it does not depend on how many there are.

    Args:
        position: t in units of the distance between states, from the first; 0 to A − 1.
        count: A.

    Source: Catmull & Rom 1974.
    """
    eye = torch.eye(count, dtype=position.dtype, device=position.device)
    if count == 1:
        return eye.expand(len(position), 1)
    slope = torch.zeros_like(eye)
    slope[1:-1] = (eye[2:] - eye[:-2]) / 2
    if count == 2:
        slope[:] = eye[1] - eye[0]
    else:
        slope[0] = -1.5 * eye[0] + 2 * eye[1] - 0.5 * eye[2]
        slope[-1] = 1.5 * eye[-1] - 2 * eye[-2] + 0.5 * eye[-3]
    low = position.floor().clamp(0, count - 2).long()
    f = (position - low)[:, None]
    return (
        (1 + 2 * f) * (1 - f) ** 2 * eye[low]
        + f * (1 - f) ** 2 * slope[low]
        + f**2 * (3 - 2 * f) * eye[low + 1]
        + f**2 * (f - 1) * slope[low + 1]
    )

"""Angular momentum of forces that act between points."""

import torch
from jaxtyping import Float
from torch import Tensor

from meshgnn.models.giorom.particles import Particles


def spurious_rotation(p: Particles, a: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """ω × r with Σ m r × (a − ω × r) = 0 and Σ m ω × r = 0, r from the mass centre of the body.

    Forces within a body turn it by nothing. Accelerations a that are meant to come from such forces
    but do so to the order of a step only, do after this is taken from them; it moves no mass
    centre. Bodies of a batch are taken one by one.

    Args:
        p: the points, in 2D or 3D.
        a: accelerations [n, d].
    """
    mass, count = p.mass[:, None], len(p.theta)

    def total(values: Tensor) -> Tensor:
        return values.new_zeros(count, values.shape[1]).index_add(0, p.graph, values)

    r = p.position - (total(mass * p.position) / total(mass))[p.graph]
    if r.shape[1] == 2:
        torque = total(mass * (r[:, :1] * a[:, 1:] - r[:, 1:] * a[:, :1]))
        inertia = total(mass * r.square().sum(dim=1, keepdim=True))
        turn = (torque / inertia)[p.graph]
        return turn * torch.stack([-r[:, 1], r[:, 0]], dim=1)
    torque = total(mass * torch.linalg.cross(r, a))
    square = r.square().sum(dim=1)[:, None, None] * torch.eye(3, dtype=r.dtype, device=r.device)
    inertia = total((mass[..., None] * (square - r[:, :, None] * r[:, None])).flatten(1))
    # points on a line have no inertia about it, and no torque
    least = 1e-6 * inertia[:, ::4].amax(dim=1)[:, None, None]
    inertia = inertia.view(-1, 3, 3) + least * torch.eye(3, dtype=r.dtype, device=r.device)
    turn = torch.linalg.solve(inertia, torque[..., None])[..., 0]
    return torch.linalg.cross(turn[p.graph], r)

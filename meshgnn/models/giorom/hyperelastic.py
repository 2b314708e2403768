"""Stresses of deformation gradients by the four terms of `SolidNet`, and how stiff they are."""

import torch
from jaxtyping import Float
from torch import Tensor

_LEAST_J = 0.2  # volume ratio below which pressure grows no more


def stress_of(f: Float[Tensor, "Q d d"], c: Float[Tensor, "Q 4"]) -> Float[Tensor, "Q d d"]:
    """P = 2 W_I F + W_J J F⁻ᵀ, I = tr FᵀF, for F and P as [Q, a, c] alike.

    ln J and 1 / J are those of J = 0.2 below it: what turns inside out meets a finite force.
    """
    cofactor, det = cofactors(f)
    j = det.clamp(min=_LEAST_J)
    c1, c2, c3, c4 = c.unbind(1)
    by_f = c1 + c4 * (f.square().sum(dim=(1, 2)) - f.shape[1])
    by_j = (c2 * torch.log(j) - c1) / j + c3 * (det - 1)
    return by_f[:, None, None] * f + by_j[:, None, None] * cofactor


def cofactors(
    f: Float[Tensor, "Q d d"],
) -> tuple[Float[Tensor, "Q d d"], Float[Tensor, " Q"]]:
    """J F⁻ᵀ and J = det F."""
    if f.shape[1] == 2:
        a, b, c, d = f.flatten(1).unbind(1)
        return torch.stack([d, -c, -b, a], dim=1).view(-1, 2, 2), a * d - b * c
    rows = [torch.linalg.cross(f[:, (i + 1) % 3], f[:, (i + 2) % 3]) for i in range(3)]
    cofactor = torch.stack(rows, dim=1)
    return cofactor, (f[:, 0] * cofactor[:, 0]).sum(dim=1)


def stiffness_of(f: Float[Tensor, "Q d d"], c: Float[Tensor, "Q 4"]) -> Float[Tensor, " Q"]:
    """The largest tangent modulus of a patch, roughly."""
    dim, square, det = f.shape[1], f.square().sum(dim=(1, 2)), cofactors(f)[1]
    if dim == 2:
        least = (square - (square**2 - 4 * det**2).clamp(min=0).sqrt()) / 2
    else:
        # squares that are not finite are no error here: the march says that it has blown up
        fine = (f @ f.transpose(1, 2)).nan_to_num(0.0, 0.0, 0.0)
        least = torch.linalg.eigvalsh(fine)[:, 0]
    floor = _LEAST_J**2
    press = 1 / least.clamp(min=floor, max=1.0)
    # ln J curves more the smaller J is, and det F changes by J / s where a width s does
    j, wide = det.clamp(min=_LEAST_J), det.square() / least.clamp(min=floor)
    modulus = (2 * c[:, 0] + c[:, 1] * (1 - j.log()).clamp(min=1.0)) * press
    modulus = modulus + c[:, 2] * torch.maximum(press, wide)
    return modulus + (2 * c[:, 3] * (3 * square - dim)).clamp(min=0)

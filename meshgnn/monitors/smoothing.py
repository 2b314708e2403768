"""A filter of nodal values that keeps constants, the integral and the sign on every mesh."""

from math import ceil

import torch
from jaxtyping import Float, Int
from torch import Tensor

from meshgnn.operators import hat_gradients, lumped_mass


def smoothed(
    m: Float[Tensor, " N"],
    pos: Float[Tensor, "N d"],
    simplices: Int[Tensor, "S n"],
    length: float,
) -> Float[Tensor, " N"]:
    """m ← (1 − t) m + t M_L⁻¹ M m, k times: k t = length² (n + 1), k = ⌈length² (n + 1)⌉.

    M is the consistent mass matrix of P1, M_L its row sums. Its entries are positive and it is
    symmetric, so on any mesh, however bad its angles, constants stay exactly, Σ_i m_L,i m_i stays
    to rounding, and no value leaves the range of m. (Diffusion by the stiffness matrix has the last
    property on Delaunay meshes only.) Where all edges have length h a step spreads by h² / (n + 1)
    in each direction: k of them are close to a Gaussian of standard deviation `length` · h, with
    the h of the place, so the filter gets shorter where the mesh gets finer. Batch-safe.

    Args:
        m: [N] nodal values.
        pos: x [N, d] node positions.
        simplices: [S, n].
        length: standard deviation in local edge lengths; 0 leaves m as it is.
    """
    n = simplices.shape[1]
    squares = length**2 * (n + 1)
    steps = ceil(squares)
    volume, mass = hat_gradients(pos, simplices)[1].abs(), lumped_mass(pos, simplices)
    share = (volume / (n * (n + 1)) * (squares / max(steps, 1)))[:, None]
    mass = torch.where(mass > 0, mass, 1.0)
    for _ in range(steps):
        corners = m[simplices]
        # differences, not sums, so that constants are exact
        flow = share * (corners[:, None, :] - corners[:, :, None]).sum(dim=2)
        m = m + torch.zeros_like(m).index_add(0, simplices.reshape(-1), flow.reshape(-1)) / mass
    return m

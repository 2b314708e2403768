"""P1 fields as functions: their integrals and their values anywhere."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from meshgnn.mesh import Mesh
from meshgnn.operators.interpolation import locate


def simplex_squares(
    v: Float[Tensor, "N C"], simplices: Int[Tensor, "S n"], volumes: Float[Tensor, " S"]
) -> Float[Tensor, " S"]:
    """∫_s |v|² dx = |s| / (n (n + 1)) Σ_c (Σ_i v_ic² + (Σ_i v_ic)²) of the P1 field, exact.

    The sum over s is vᵀ M v with the consistent mass matrix M_ij = ∫ φ_i φ_j; the lumped one,
    Σ_i m_i v_i², is its upper bound, larger the rougher v.

    Args:
        v: [N, C] nodal values.
        simplices: [S, n].
        volumes: |s| >= 0.
    """
    corners, n = v[simplices], simplices.shape[1]
    squares = (corners**2).sum(dim=(1, 2)) + (corners.sum(dim=1) ** 2).sum(dim=1)
    return volumes * squares / (n * (n + 1))


def field_at(mesh: Mesh, u: np.ndarray, points: np.ndarray) -> Float[np.ndarray, "*T Q C"]:
    """u(x) of the P1 field on the simplices of a mesh, at any points; `Sample.u` goes in as it is.

    Exact for the field as the models and metrics see it: on quadrilaterals and hexahedra it is
    linear on their simplices. Outside the mesh it has the value of the nearest point of the mesh.

    Args:
        mesh: the mesh of u.
        u: nodal values [N, C], with or without times in front.
        points: x [Q, d], taken as float64.

    Raises:
        ValueError: u that is not over the nodes; points of another dimension, NaN or infinite.
    """
    points, d = np.asarray(points, dtype=np.float64), mesh.points.shape[1]
    if u.ndim < 2 or u.shape[-2] != mesh.num_nodes:
        raise ValueError(
            f"field_at: expected u [..., {mesh.num_nodes}, C] over the nodes, got {u.shape}"
            + ("; give a scalar field as u[:, None]" if u.ndim == 1 else "")
        )
    if points.ndim != 2 or points.shape[1] != d:
        raise ValueError(f"field_at: expected points [Q, {d}], got {points.shape}")
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(bad):
        raise ValueError(
            f"field_at: {len(bad)} points are NaN or infinite, the first at index {bad[0]}"
        )
    simplices = torch.tensor(mesh.simplices)
    place = locate(torch.tensor(points), torch.tensor(mesh.points), simplices)
    corners = mesh.simplices[place.simplex.numpy()]
    return np.einsum("qn,...qnc->...qc", place.weights.numpy(), u[..., corners, :])

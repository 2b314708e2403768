"""Errors of a finite-element field against a known function, by quadrature."""

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
from jaxtyping import Float

from meshgnn.fem.space import Space
from meshgnn.fem.values import at_points
from meshgnn.mesh import Mesh


def error_norms(
    mesh: Mesh,
    u: Float[np.ndarray, " n *C"],
    exact: Callable[..., Any],
    grad: Callable[..., Any] | None = None,
    order: int = 1,
) -> tuple[float, float]:
    """‖u_h - u‖ and ‖∇u_h - ∇u‖ in L²(Ω), by quadrature of degree 2 · order + 2 in every cell.

    Not the difference at the nodes, where the P1 solution may be far better than in between.

    Args:
        mesh: the mesh.
        u: [n] or [n, C], all degrees of freedom of the space of this order.
        exact: x[..., d] -> [...] or [..., C].
        grad: x[..., d] -> [..., d] or [..., C, d]; None leaves the second norm NaN.
        order: 1 or 2.

    Raises:
        ValueError: u of another length, or functions of a wrong shape.
    """
    space = Space(mesh, order)
    if len(u) != space.size:
        raise ValueError(
            f"error_norms: expected {space.size} values for order {order} on this mesh, "
            f"got {len(u)}"
        )
    fields, total = u.reshape(len(u), -1), np.zeros(2)
    channels, d = fields.shape[1], mesh.points.shape[1]
    for block in space.quadratures(2 * order + 2):
        local = fields[block.dofs]
        values = np.einsum("qk,mkc->qmc", block.table.shapes, local)
        truth = at_points(exact, block.points, "exact", channels if u.ndim > 1 else None)
        error = values - truth.reshape(values.shape)
        total[0] += np.einsum("qm,qmc,qmc->", block.weights, error, error)
        if grad is None:
            continue
        slopes = np.einsum("qkdm,mkc->qmcd", block.gradients, local)
        truth = np.asarray(grad(block.points), dtype=np.float64)
        expected = (*block.points.shape[:-1], *u.shape[1:], d)
        if truth.shape != expected:
            raise ValueError(f"grad: expected values of shape {expected}, got {truth.shape}")
        error = slopes - truth.reshape(slopes.shape)
        total[1] += np.einsum("qm,qmcd,qmcd->", block.weights, error, error)
    return sqrt(total[0]), sqrt(total[1]) if grad is not None else float("nan")

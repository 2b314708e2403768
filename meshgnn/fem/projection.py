"""Functions to finite-element coefficients: the L2 projection, and fields from mesh to mesh."""

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.sparse import diags

from meshgnn.fem import values
from meshgnn.fem.elements import SIMPLICES
from meshgnn.fem.space import Space
from meshgnn.fem.values import CellValue, VectorValue
from meshgnn.mesh import Mesh, checks
from meshgnn.operators import field_at

TRANSFERS = ("interpolation", "projection")


def project(
    space: Space, value: VectorValue | CellValue, what: str = "value", channels: int | None = None
) -> Float[np.ndarray, " n *C"]:
    """a with M a = (∫ v φ_i): the field of the space that is nearest to v in L².

    Functions of the space come back as they are. For smooth v the error is of order 2 in L² for
    elements of order 1 and of order 3 for those of order 2; ∫ v is kept, to the error of the
    quadrature (of degree 2 · order). Unlike interpolation it needs no point values and does not
    alias what the mesh cannot resolve; at jumps of v it overshoots.

    Args:
        space: order 1 or 2 on any mesh.
        value: v; constant, function, array over nodes (taken as P1) or `PerCell`, {region:
            constant}; for C components also a sequence.
        what: its name, for messages.
        channels: C, or None for a scalar.

    Raises:
        ValueError: inverted or degenerate cells; data that do not fit, or hold NaN.
        numpy.linalg.LinAlgError: no solution to 1e-13 after 500 steps.

    Source: as the encoder of Bouziani & Boullé, Structure-Preserving Operator Learning, 2024; the
    conditioning of the scaled mass matrix (at most 10 or so): Wathen, IMA J. Numer. Anal. 7 (1987).
    """
    from pyamg.krylov import cg

    mesh = space.mesh
    checks.upright(mesh.quality, mesh.simplex_volumes, mesh.simplex_cells)
    mass = space.mass()
    load = space.load(value, what, channels=channels or 1).reshape(space.size, -1)
    scale = 1 / np.sqrt(mass.diagonal())
    scaled = diags(scale) @ mass @ diags(scale)
    result = np.empty_like(load)
    for c, column in enumerate((load * scale[:, None]).T):
        size = np.abs(column).max() or 1.0
        solution, status = cg(scaled, column / size, tol=1e-13, maxiter=500)
        if status:
            raise np.linalg.LinAlgError(f"{what}: the mass matrix is singular to rounding")
        result[:, c] = scale * solution * size
    return result[:, 0] if channels is None else result


def transfer(
    u: np.ndarray, source: Mesh, target: Mesh, by: str = "interpolation"
) -> Float[np.ndarray, "P C"]:
    """A P1 field from one mesh to another of the same domain, both cut into their simplices.

    By interpolation it takes the values at the nodes; by projection the nearest P1 field in L² on
    the simplices of the target, which keeps the integral to the error of the quadrature, and
    averages where the target is coarser. Both give a field back on its own mesh and, where the
    cells are simplices, on refinements of that (quadrilaterals are not refined along the diagonals
    they are cut by). Outside of the source the value of its nearest point is taken.

    Args:
        u: [N, C] at the nodes of the source.
        source: the mesh of u.
        target: the mesh to go to, P nodes.
        by: "interpolation" or "projection".

    Raises:
        ValueError: another way; u not [N, C] or with NaN; meshes of different space dimensions.
    """
    _check_way("by", by)
    if u.ndim != 2:
        raise ValueError(f"transfer: expected u [{source.num_nodes}, C] of one time, got {u.shape}")
    values.finite(u, "transfer")
    if by == "interpolation":
        return field_at(source, u, target.points)

    def field(x: Float[np.ndarray, "*R d"]) -> Float[np.ndarray, "*R C"]:
        found = field_at(source, u, x.reshape(-1, x.shape[-1]))
        return found.reshape(*x.shape[:-1], *u.shape[1:])

    space = Space(Mesh(target.points, {SIMPLICES[target.dim]: target.simplices}))
    if u.shape[1] == 1:
        return project(space, lambda x: field(x)[..., 0], "field")[:, None]
    return project(space, field, "field", u.shape[1])


def encoded(space: Space, value: Any, what: str, by: str) -> Float[np.ndarray, " n"]:
    """The coefficients of a datum: its interpolant or its projection.

    Raises: ValueError: another way, or as `Space.interpolate` and `project`.
    """
    _check_way("encode", by)
    return space.interpolate(value, what) if by == "interpolation" else project(space, value, what)


def _check_way(name: str, given: str) -> None:
    if given not in TRANSFERS:
        raise ValueError(f"{name}: expected one of {', '.join(TRANSFERS)}, got {given!r}")

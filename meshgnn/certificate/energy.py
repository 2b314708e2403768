"""Energies cell by cell, and the energy of what recovery adds to the gradient of a P1 field."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from meshgnn.fem import Space, values
from meshgnn.fem.quadrature import Quadrature
from meshgnn.mesh import Mesh
from meshgnn.mesh.topology import half_facets, row_keys
from meshgnn.operators import quadratic_fit, recovered_gradient
from meshgnn.problems.elasticity import LinearElasticity
from meshgnn.problems.poisson import Poisson

# cells whose moduli differ by more than this factor at their facet are different materials
JUMP = 1.25

Gradient = Callable[[Quadrature], Float[np.ndarray, "Q M C d"]]


@dataclass(frozen=True, eq=False)
class Law:
    """|u|² = ∫ w(∇u) dx with a quadratic form w of positive moduli.

    Args:
        moduli: block -> the positive coefficients [K, Q, M] at its quadrature points.
        density: moduli [K, Q, M] and ∇u [Q, M, C, d] -> w [Q, M].
    """

    moduli: Callable[[Quadrature], Float[np.ndarray, "K Q M"]]
    density: Callable[..., Float[np.ndarray, "Q M"]]


def law(problem: Any, mesh: Mesh) -> Law:
    """w = k |∇u|² of `Poisson`, w = λ (∇·u)² + 2μ |ε(u)|² of `LinearElasticity`.

    Raises:
        ValueError: another problem: its energy, if it has one, is not known here.
    """
    if isinstance(problem, Poisson):
        k = values.by_region(problem.diffusivity, mesh, "diffusivity")
        return Law(
            lambda block: block.evaluate(k, "diffusivity", by_cell=True)[None],
            lambda moduli, slope: moduli[0] * (slope**2).sum(axis=(2, 3)),
        )
    if isinstance(problem, LinearElasticity):
        moduli: Any = problem.moduli(mesh)
        lame, shear = moduli
        parts = [
            (lame + 2 * shear, "pressure-wave modulus"),
            (shear, "shear modulus"),
        ]
        return Law(
            lambda block: np.stack([block.evaluate(v, what, by_cell=True) for v, what in parts]),
            _elastic,
        )
    raise ValueError(
        f"certify: {type(problem).__name__} is no linear steady problem of known energy; expected "
        "Poisson or LinearElasticity (of a Heat problem, `at(time)` is a Poisson)"
    )


def _elastic(
    moduli: Float[np.ndarray, "2 Q M"], slope: Float[np.ndarray, "Q M d d"]
) -> Float[np.ndarray, "Q M"]:
    strain = (slope + slope.swapaxes(2, 3)) / 2
    trace = np.trace(strain, axis1=2, axis2=3)
    wave, shear = moduli
    return (wave - 2 * shear) * trace**2 + 2 * shear * (strain**2).sum(axis=(2, 3))


def cell_norms(
    mesh: Mesh, form: Law, gradient: Gradient, degree: int = 2
) -> Float[np.ndarray, " M"]:
    """sqrt(∫_cell w(∇v) dx) for a gradient given at the quadrature points of every block."""
    total = np.zeros(mesh.num_cells)
    for block in Space(mesh).quadratures(degree):
        density = form.density(form.moduli(block), gradient(block))
        total += np.bincount(block.owner, (block.weights * density).sum(axis=0), mesh.num_cells)
    return np.sqrt(total)


def slope_of(u: Float[np.ndarray, "N C"]) -> Gradient:
    """∇u_h of nodal values, at the quadrature points."""
    return lambda block: np.einsum("qkdm,mkc->qmcd", block.gradients, u[block.dofs])


def surplus_of(mesh: Mesh, form: Law, u: Float[np.ndarray, "N C"]) -> Gradient:
    """Gu_h - ∇u_h, whose norm is the Zienkiewicz-Zhu estimate of |u* - u_h|.

    G u_h is continuous and linear within each region of continuous moduli, with the values that
    `quadratic_fit` gives at the nodes of that region alone. So the flux k G u_h keeps its jump
    along interfaces, where the tangential flux of the exact solution has one, and boundaries are
    second order without special treatment. Surfaces and curves in space: G averages the tangential
    gradients of the cells, which adds the curvature of the surface to the estimate.

    Source: Zienkiewicz & Zhu, Int. J. Numer. Meth. Eng. 24 (1987) 337-357.
    """
    region = regions(mesh, form)
    keys, place = np.unique(
        region[mesh.simplex_cells, None] * mesh.num_nodes + mesh.simplices, return_inverse=True
    )
    node = keys % mesh.num_nodes
    pos, field = torch.tensor(mesh.points[node]), torch.tensor(u[node])
    simplices = torch.tensor(place.reshape(mesh.simplices.shape))
    if mesh.dim == mesh.points.shape[1]:
        nodal = quadratic_fit(field, pos, simplices)[0].numpy()
    else:
        nodal = recovered_gradient(field, pos, simplices).numpy()
    slope = slope_of(u)

    def surplus(block: Quadrature) -> Float[np.ndarray, "Q M C d"]:
        rows = np.searchsorted(keys, region[block.owner, None] * mesh.num_nodes + block.vertices)
        return np.einsum("qv,mvcd->qmcd", block.table.corners, nodal[rows]) - slope(block)

    return surplus


def regions(mesh: Mesh, form: Law) -> Int[np.ndarray, " M"]:
    """Label of the region of continuous moduli of every cell: connected, without jumps inside.

    A jump is a factor above 1.25 between the two sides of a facet, or any factor at all where most
    facets have none (piecewise constant). Regions with too few nodes for a fit are taken together
    as one, with a warning: the estimate is too large there.
    """
    pairs, jump = _jumps(mesh, form)
    constant = np.mean(jump < 1e-9) > 0.5 if len(jump) else True
    joined = pairs[jump <= (1e-9 if constant else np.log(JUMP))]
    graph = coo_array(
        (np.ones(len(joined)), (joined[:, 0], joined[:, 1])), shape=(mesh.num_cells,) * 2
    )
    count, label = connected_components(graph, directed=False)
    return _without_small(mesh, label.astype(np.int64), count)


def _jumps(mesh: Mesh, form: Law) -> tuple[Int[np.ndarray, "P 2"], Float[np.ndarray, " P"]]:
    """Pairs of cells that share a facet, and by how much the logarithms of their moduli differ.

    Both sides are extrapolated to the facet, so that steep but smooth moduli do not jump.
    """
    keys, logs, pairs, jumps = [], [], [np.zeros((0, 2), dtype=np.int64)], [np.zeros(0)]
    for block in Space(mesh).quadratures(2):
        to_vertices = np.linalg.pinv(block.table.corners)
        logs.append(np.einsum("vq,kqm->mvk", to_vertices, np.log(form.moduli(block))))
        keys.append(block.owner[:, None] * mesh.num_nodes + block.vertices)
    known, first = np.unique(np.concatenate([k.ravel() for k in keys]), return_index=True)
    log = np.concatenate([part.reshape(-1, part.shape[2]) for part in logs])[first]
    for rows, owner in half_facets(mesh.cells).values():
        facet = row_keys(rows, mesh.num_nodes)
        order = np.argsort(facet, kind="stable")
        same = np.flatnonzero(facet[order][1:] == facet[order][:-1])
        two = np.stack([owner[order[same]], owner[order[same + 1]]], axis=1)
        corners = two[:, :, None] * mesh.num_nodes + rows[order[same]][:, None, :]
        sides = log[np.searchsorted(known, corners)].mean(axis=2)
        pairs.append(two)
        jumps.append(np.abs(sides[:, 0] - sides[:, 1]).max(axis=1))
    return np.concatenate(pairs), np.concatenate(jumps)


def _without_small(mesh: Mesh, label: Int[np.ndarray, " M"], count: int) -> Int[np.ndarray, " M"]:
    """The labels, with the regions that hold too few nodes for a quadratic as one."""
    owner = np.repeat(label[mesh.simplex_cells], mesh.simplices.shape[1])
    members = np.unique(owner * mesh.num_nodes + mesh.simplices.ravel()) // mesh.num_nodes
    d = mesh.points.shape[1]
    small = np.bincount(members, minlength=count) <= d * (d + 3) // 2
    if count > 1 and small.any():
        cells = int(small[label].sum())
        warnings.warn(
            f"the moduli jump around {small.sum()} regions ({cells} of {mesh.num_cells} cells) too "
            "small for a recovery of their own: taken together, which overestimates the "
            "discretisation error there; refine the mesh or smooth the coefficient",
            stacklevel=2,
        )
        label = np.where(small[label], count, label)
    return label

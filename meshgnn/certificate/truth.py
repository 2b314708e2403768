"""Effectivity: estimates divided by what they estimate, where that can be had."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from meshgnn.certificate.certificate import Certificate
from meshgnn.certificate.energy import cell_norms, law, slope_of
from meshgnn.operators import interpolate, locate
from meshgnn.sample import Sample


class Effectivity(NamedTuple):
    """Estimate / truth, 1 being perfect; NaN where the truth is zero or was not given.

    Attributes:
        algebraic: of `Certificate.algebraic`.
        upper: of `Certificate.algebraic_upper`, at least 1.
        one_cycle: of `Certificate.one_cycle`.
        discretisation: of `Certificate.discretisation`.
    """

    algebraic: float
    upper: float
    one_cycle: float
    discretisation: float


def effectivity(
    certificate: Certificate, truth: Sample | Callable[..., Any] | None = None
) -> Effectivity:
    """θ = estimate / |u_h - u| with u_h solved for, and estimate / |u* - u_h| with u* given.

    Args:
        certificate: of any field.
        truth: ∇u*, x[..., d] -> [..., C, d] (or [..., d] for one channel), integrated by
            quadrature of degree 6; or a sample with u on a finer mesh of the same domain, best a
            nested one, which stands for u* (its own error lowers |u* - u_h|, by 3 % if it is 4
            times finer).

    Raises:
        ValueError: a truth without u, or of other channels.
    """
    equations, mesh = certificate.equations, certificate.sample.mesh
    solution = equations.system.solve()
    field = np.asarray(certificate.sample.u)[-1].ravel()
    error = np.zeros_like(solution)
    error[equations.active] = equations.restricted(solution) - equations.restricted(field)
    algebraic = equations.energy_norm(error)
    discretisation = np.nan
    if truth is not None:
        nodal = solution.reshape(mesh.num_nodes, -1)
        discretisation = _distance(certificate, nodal, truth)
    return Effectivity(
        _ratio(certificate.algebraic, algebraic),
        _ratio(certificate.algebraic_upper, algebraic),
        _ratio(certificate.one_cycle, algebraic),
        _ratio(certificate.discretisation, discretisation),
    )


def _distance(
    certificate: Certificate, u: Float[np.ndarray, "N C"], truth: Sample | Callable[..., Any]
) -> float:
    mesh, problem = certificate.sample.mesh, certificate.problem
    if isinstance(truth, Sample):
        if truth.u is None or truth.u.shape[2] != u.shape[1]:
            found = "no u" if truth.u is None else f"u of {truth.u.shape[2]}"
            raise ValueError(
                f"effectivity: expected a truth with u of {u.shape[1]} channels, got {found}"
            )
        coarse, simplices = torch.tensor(mesh.points), torch.tensor(mesh.simplices)
        location = locate(torch.tensor(truth.mesh.points), coarse, simplices)
        error = truth.u[-1] - interpolate(torch.tensor(u), simplices, location).numpy()
        norms = cell_norms(truth.mesh, law(problem, truth.mesh), slope_of(error))
        return float(np.linalg.norm(norms))
    slope = slope_of(u)

    def difference(block: Any) -> Float[np.ndarray, "Q M C d"]:
        discrete = slope(block)
        return np.asarray(truth(block.points)).reshape(discrete.shape) - discrete

    return float(np.linalg.norm(cell_norms(mesh, law(problem, mesh), difference, degree=6)))


def _ratio(estimate: float, truth: float) -> float:
    return estimate / truth if truth else float("nan")

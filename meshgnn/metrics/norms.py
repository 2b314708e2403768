"""Errors of a field u against a reference v on the same mesh, as approximations of integrals.

Relative errors are infinite where the reference vanishes and the field does not. Components are
taken together, as they are: slice them (`u[..., :1]`) where their units differ.
"""

import numpy as np
import torch
from jaxtyping import Float

from meshgnn.mesh import Mesh
from meshgnn.operators import gradient, simplex_squares
from meshgnn.sample import Sample


def relative_l2(
    u: Float[np.ndarray, "T N C"],
    v: Float[np.ndarray, "T N C"],
    mass: Float[np.ndarray, " N"],
) -> float:
    """‖u − v‖ / ‖v‖,  ‖w‖² = Σ_t Σ_i m_i |w_i(t)|² ≈ ∫∫ |w|² dx dt.

    Args:
        u: field [T, N, C].
        v: reference [T, N, C], same unit.
        mass: m_i [N], lumped mass (`mesh.lumped_mass`), so that fine regions do not dominate.
    """
    return _ratio(_square(u - v, mass).sum(), _square(v, mass).sum())


def relative_l2_consistent(
    u: Float[np.ndarray, "T N C"], v: Float[np.ndarray, "T N C"], mesh: Mesh
) -> float:
    """‖u − v‖ / ‖v‖,  ‖w‖² = Σ_t ∫ |w(t)|² dx = Σ_t wᵀ M w: the integral of the P1 fields itself.

    With the consistent mass matrix M of the simplices, where `relative_l2` takes the lumped one:
    what oscillates from node to node counts less.
    """
    return _ratio(_field_square(u - v, mesh), _field_square(v, mesh))


def relative_l2_per_time(
    u: Float[np.ndarray, "T N C"],
    v: Float[np.ndarray, "T N C"],
    mass: Float[np.ndarray, " N"],
) -> Float[np.ndarray, " T"]:
    """‖u(t) − v(t)‖ / ‖v(t)‖ for every time: how an error grows along a rollout."""
    pairs = zip(_square(u - v, mass), _square(v, mass), strict=True)
    return np.array([_ratio(error, size) for error, size in pairs])


def relative_h1(u: Float[np.ndarray, "T N C"], v: Float[np.ndarray, "T N C"], mesh: Mesh) -> float:
    """|u − v|₁ / |v|₁,  |w|₁² = Σ_t Σ_s |s| |∇w_s|²: the error of the gradient (seminorm).

    Gradients are those of the P1 interpolants on the simplices of the mesh; on curves and surfaces
    in space the tangential ones.
    """
    return _ratio(_gradient_square(u - v, mesh), _gradient_square(v, mesh))


def relative_maximum(u: Float[np.ndarray, "T N C"], v: Float[np.ndarray, "T N C"]) -> float:
    """max |u − v| / max |v| over nodes, times and components."""
    error, size = np.abs(u - v).max(initial=0.0), np.abs(v).max(initial=0.0)
    return _ratio(error**2, size**2)


def boundary_error(u: Float[np.ndarray, "T N C"], sample: Sample) -> float:
    """max |u − g| over the prescribed entries and all times, in the unit of u; 0 without any."""
    mask = sample.boundary.dirichlet_mask
    worst = [
        np.abs(state - sample.dirichlet_at(float(time)))[mask].max(initial=0.0)
        for state, time in zip(u, sample.times, strict=True)
    ]
    return float(max(worst))


def _square(w: np.ndarray, mass: np.ndarray) -> np.ndarray:
    return np.einsum("tnc,tnc,n->t", w, w, mass)


def _field_square(w: Float[np.ndarray, "T N C"], mesh: Mesh) -> float:
    simplices, volumes = torch.tensor(mesh.simplices), torch.tensor(np.abs(mesh.simplex_volumes))
    states = torch.tensor(w.swapaxes(0, 1).reshape(mesh.num_nodes, -1), dtype=torch.float64)
    return float(simplex_squares(states, simplices, volumes).sum())


def _gradient_square(w: Float[np.ndarray, "T N C"], mesh: Mesh) -> float:
    points, simplices = torch.tensor(mesh.points), torch.tensor(mesh.simplices)
    states = torch.tensor(w.swapaxes(0, 1).reshape(len(points), -1), dtype=torch.float64)
    slopes = gradient(states, points, simplices)
    volumes = torch.tensor(np.abs(mesh.simplex_volumes))
    return float((slopes**2).sum(dim=(1, 2)) @ volumes)


def _ratio(error: float, size: float) -> float:
    """sqrt(error / size) of two squares."""
    if size == 0:
        return 0.0 if error == 0 else float("inf")
    return float(np.sqrt(error / size))

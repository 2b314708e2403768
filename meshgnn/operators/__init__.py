"""P1 in torch as functions of (pos, simplices): any dtype, any device, differentiable in pos.

All but `locate` work on a disjoint union of meshes as they do on one. Simplices are rows [S, n];
a graph's `simplex_index` is their transpose.
"""

from meshgnn.operators.differential import (
    gradient,
    hat_gradients,
    lumped_mass,
    recovered_gradient,
    stiffness,
    stiffness_matrix,
    stiffness_weights,
)
from meshgnn.operators.interpolation import Location, barycentric, closest, interpolate, locate
from meshgnn.operators.recovery import quadratic_fit

__all__ = [
    "Location",
    "barycentric",
    "closest",
    "gradient",
    "hat_gradients",
    "interpolate",
    "locate",
    "lumped_mass",
    "quadratic_fit",
    "recovered_gradient",
    "stiffness",
    "stiffness_matrix",
    "stiffness_weights",
]

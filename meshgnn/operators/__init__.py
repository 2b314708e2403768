"""P1 in torch as functions of (pos, simplices): any dtype, any device, differentiable in pos.

All but `locate` and `field_at` (which is for a mesh, in NumPy) work on a disjoint union of meshes
as they do on one. Simplices are rows [S, n]; a graph's `simplex_index` is their transpose.
"""

from meshgnn.operators.differential import (
    gradient,
    hat_gradients,
    lumped_mass,
    pair_sums,
    recovered_gradient,
    stiffness,
    stiffness_matrix,
    stiffness_weights,
)
from meshgnn.operators.fields import field_at, simplex_squares
from meshgnn.operators.folding import unfolded
from meshgnn.operators.interpolation import Location, barycentric, closest, interpolate, locate
from meshgnn.operators.recovery import quadratic_fit
from meshgnn.operators.sliding import Walls, onto_boundary, tangents, walls
from meshgnn.operators.tracking import neighbour_steps, track
from meshgnn.operators.transfer import Transfer

__all__ = [
    "Location",
    "Transfer",
    "Walls",
    "barycentric",
    "closest",
    "field_at",
    "gradient",
    "hat_gradients",
    "interpolate",
    "locate",
    "lumped_mass",
    "onto_boundary",
    "neighbour_steps",
    "pair_sums",
    "quadratic_fit",
    "recovered_gradient",
    "simplex_squares",
    "stiffness",
    "stiffness_matrix",
    "stiffness_weights",
    "track",
    "tangents",
    "unfolded",
    "walls",
]

"""Meshes that move to where a field needs them, classical or by a trained mover; measures."""

from meshgnn.adaptivity.adapt import adapt
from meshgnn.adaptivity.equidistribution import Moved, monge_ampere
from meshgnn.adaptivity.measures import Measures, interpolation_error, mesh_measures

__all__ = ["Measures", "Moved", "adapt", "interpolation_error", "mesh_measures", "monge_ampere"]

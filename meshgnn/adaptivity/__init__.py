"""Meshes that move to where a field needs them, classical or by a trained mover; measures."""

from meshgnn.adaptivity.adapt import adapt
from meshgnn.adaptivity.measures import Measures, interpolation_error, mesh_measures
from meshgnn.adaptivity.monge_ampere import Moved, monge_ampere

__all__ = ["Measures", "Moved", "adapt", "interpolation_error", "mesh_measures", "monge_ampere"]

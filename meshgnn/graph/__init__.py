"""`Sample` to PyG `Data`: the schema and its check, the conversion, and data sets of graphs."""

from meshgnn.graph.convert import (
    dirichlet_at,
    mesh_attributes,
    part_names,
    same_step,
    to_graph,
)
from meshgnn.graph.dataset import MeshDataset
from meshgnn.graph.numbering import far_apart, local_order, renumbered
from meshgnn.graph.periodic import Classes
from meshgnn.graph.schema import SCHEMA, Entry, check_graph

__all__ = [
    "SCHEMA",
    "Classes",
    "Entry",
    "MeshDataset",
    "check_graph",
    "dirichlet_at",
    "far_apart",
    "local_order",
    "mesh_attributes",
    "part_names",
    "renumbered",
    "same_step",
    "to_graph",
]

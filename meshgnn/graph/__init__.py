"""`Sample` to PyG `Data`: the schema and its check, the conversion, and data sets of graphs."""

from meshgnn.graph.convert import dirichlet_at, mesh_attributes, same_step, to_graph
from meshgnn.graph.dataset import MeshDataset
from meshgnn.graph.periodic import Classes
from meshgnn.graph.schema import SCHEMA, Entry, check_graph

__all__ = [
    "SCHEMA",
    "Classes",
    "Entry",
    "MeshDataset",
    "check_graph",
    "dirichlet_at",
    "mesh_attributes",
    "same_step",
    "to_graph",
]

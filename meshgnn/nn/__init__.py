"""The shared core of all models: one block, one integral, one global path. Sees torch only."""

from meshgnn.nn.attention import SliceAttention
from meshgnn.nn.flux import FluxBlock, undirected
from meshgnn.nn.instance_norm import InstanceNorm
from meshgnn.nn.interaction import InteractionBlock, edge_vectors
from meshgnn.nn.kernel import KernelIntegral
from meshgnn.nn.layers import Standardise, by_rows, mlp
from meshgnn.nn.reductions import GraphRows, segment_sum, sparse_rows

__all__ = [
    "FluxBlock",
    "GraphRows",
    "InstanceNorm",
    "InteractionBlock",
    "KernelIntegral",
    "SliceAttention",
    "Standardise",
    "by_rows",
    "edge_vectors",
    "mlp",
    "segment_sum",
    "sparse_rows",
    "undirected",
]

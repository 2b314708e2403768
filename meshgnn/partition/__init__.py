"""Graphs that do not fit: parts with a halo, and models that see one part at a time."""

from meshgnn.partition.cut import bisection, cut, metis
from meshgnn.partition.halo import Part, parts_of, subgraph
from meshgnn.partition.in_parts import InParts, hops_of

__all__ = [
    "InParts",
    "Part",
    "bisection",
    "cut",
    "hops_of",
    "metis",
    "parts_of",
    "subgraph",
]

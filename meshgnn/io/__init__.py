"""Meshes, groups and arrays from and to files. The only package that imports meshio."""

from meshgnn.io.reading import read, read_fields, read_frames
from meshgnn.io.writing import write

__all__ = ["read", "read_fields", "read_frames", "write"]

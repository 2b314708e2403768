"""One problem on one mesh as data: `Sample`, with its `Boundary`."""

from meshgnn.sample.boundary import Boundary
from meshgnn.sample.sample import Sample

__all__ = ["Boundary", "Sample"]

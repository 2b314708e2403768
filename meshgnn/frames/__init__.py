"""`Frames`, what a file holds: a mesh and arrays on it over time; `Grid`, its VTK form."""

from meshgnn.frames.frames import Frames
from meshgnn.frames.grid import VTK_TYPES, Grid, flattened, in_space, marks, packed

__all__ = ["VTK_TYPES", "Frames", "Grid", "flattened", "in_space", "marks", "packed"]

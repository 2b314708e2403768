"""`Mesh` and `Group`: points, cells and named groups, and what follows from them."""

from meshgnn.mesh.cells import CELL_TYPES, KINDS, CellType
from meshgnn.mesh.mesh import Group, Mesh
from meshgnn.mesh.periodic import twins

__all__ = ["CELL_TYPES", "KINDS", "CellType", "Group", "Mesh", "twins"]

"""Which meshes the material point method takes as bodies, and the grid that fits them."""

import numpy as np

from meshgnn.mesh import Mesh

_SPACINGS = (1.0, 8.0)  # of a cell: with less a body tears, with more it has no shape
_EDGE = 1.5  # longest edge in cells: nodes farther apart do not feel each other


def check_body(mesh: Mesh) -> None:
    """Raises: ValueError: no body in the plane or in space; cells without volume; loose nodes."""
    dim = mesh.points.shape[1]
    if mesh.dim != dim or dim == 1:
        raise ValueError(
            "material points: expected cells of dimension 2 in the plane or 3 in space, got cells "
            f"of dimension {mesh.dim} in {dim}D"
        )
    bad = np.flatnonzero(mesh.simplex_volumes <= 0)
    if len(bad):
        raise ValueError(
            f"material points: {len(np.unique(mesh.simplex_cells[bad]))} cells are inverted or "
            f"degenerate, the first {mesh.simplex_cells[bad[0]]}; mesh.oriented() helps where all "
            "are wound alike"
        )
    loose = np.flatnonzero(mesh.lumped_mass <= 0)
    if len(loose):
        raise ValueError(
            f"material points: {len(loose)} nodes belong to no cell and have no mass, the first "
            f"{loose[0]}; remove them"
        )


def cell_size(mesh: Mesh, cell: float | None) -> float:
    """Edge h of the grid's cells for a body, as given, or for None the default.

    That is twice the mean spacing (volume / N)^(1/d) of the nodes (4 particles to a cell in 2D, 8
    in 3D), or two thirds of the longest edge of the mesh where that is more.

    Raises:
        ValueError: a cell so small that the body would tear (below the mean spacing, or below two
            thirds of the longest edge), or so large that it would have no shape (above 8 spacings).
    """
    spacing = float(mesh.lumped_mass.mean() ** (1 / mesh.dim))
    ends = mesh.points[mesh.edges]
    longest = float(np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1).max())
    if cell is None:
        cell = max(2 * spacing, longest / _EDGE)
    least, most = max(_SPACINGS[0] * spacing, longest / _EDGE), _SPACINGS[1] * spacing
    if not least * (1 - 1e-9) <= cell <= most:
        raise ValueError(
            f"cell: expected {least:.4g} to {most:.4g} m for nodes {spacing:.4g} m apart in the "
            f"mean and edges up to {longest:.4g} m, got {cell:.4g}: smaller ones tear the body, "
            "larger ones blur it; refine the longest edges, or change the cell"
        )
    return float(cell)

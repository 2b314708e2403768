"""Lengths, areas, volumes, normals and quality, from points and connectivity."""

from math import factorial

import numpy as np
from jaxtyping import Float, Int

from meshgnn.mesh.cells import cell_type
from meshgnn.mesh.topology import Cells


def simplex_measures(
    points: Float[np.ndarray, "N d"], simplices: Int[np.ndarray, "S n"]
) -> Float[np.ndarray, " S"]:
    """|s| = det(x_1 - x_0, ..., x_n - x_0) / n!, signed where n = d; a point measures 1.

    In a space of more dimensions |s| = sqrt(det(JᵀJ)) / n!, unsigned.
    """
    origin = points[simplices[:, 0]]
    sides = [points[column] - origin for column in simplices.T[1:]]
    n, d = len(sides), points.shape[1]
    if n == 0:
        return np.ones(len(simplices))
    if n == 1:
        return sides[0][..., 0] if d == 1 else np.linalg.norm(sides[0], axis=-1)
    if n == 2 and d == 2:
        return 0.5 * (sides[0][..., 0] * sides[1][..., 1] - sides[0][..., 1] * sides[1][..., 0])
    normal = np.cross(sides[0], sides[1])
    if n == 2:
        return 0.5 * np.linalg.norm(normal, axis=-1)
    return np.einsum("...i,...i->...", normal, sides[2]) / 6


def lumped(
    simplices: Int[np.ndarray, "S n"], measures: Float[np.ndarray, " S"], num_nodes: int
) -> Float[np.ndarray, " N"]:
    """m_i = ∫ φ_i = Σ_{s ∋ i} |s| / n, with the hat functions φ_i of simplices of n vertices."""
    share = measures / max(simplices.shape[1], 1)
    mass = np.zeros(num_nodes)
    for corner in simplices.T:
        mass += np.bincount(corner, share, num_nodes)
    return mass


def unit(vectors: Float[np.ndarray, "R d"]) -> Float[np.ndarray, "R d"]:
    """v / |v|, zero where |v| = 0."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)


def vector_areas(
    points: Float[np.ndarray, "N d"], block: Int[np.ndarray, "M k"]
) -> Float[np.ndarray, "M 3"]:
    """a = ½ Σ x_i × x_{i+1} of polygons (triangles, quads): normal times area, also when warped."""
    x = points[block]
    x = np.concatenate([x, np.zeros((*x.shape[:2], 3 - x.shape[2]))], axis=2)
    if block.shape[1] == 3:
        return 0.5 * np.cross(x[:, 1] - x[:, 0], x[:, 2] - x[:, 0])
    return 0.5 * np.cross(x[:, 2] - x[:, 0], x[:, 3] - x[:, 1])


def facet_normals(
    points: Float[np.ndarray, "N d"],
    cells: Cells,
    facets: Cells,
    owner: Int[np.ndarray, " F"],
) -> Float[np.ndarray, "F d"]:
    """Unit outward normals of boundary facets; on curves and surfaces in space the conormals.

    A conormal is tangent to the owner cell and perpendicular to the facet: n = t × a / |t × a| with
    the direction t of the line and the vector area a of the cell; the tangent, for curves.
    """
    dim = max(cell_type(name).dim for name in cells)
    if not facets:
        return np.zeros((0, points.shape[1]))
    if dim == 3:
        return unit(np.concatenate([vector_areas(points, block) for block in facets.values()]))
    rows = next(iter(facets.values()))
    if dim == 1:
        ends = cells["line"][owner]
        sign = np.where(ends[:, 1] == rows[:, 0], 1.0, -1.0)
        return unit(sign[:, None] * (points[ends[:, 1]] - points[ends[:, 0]]))
    along = points[rows[:, 1]] - points[rows[:, 0]]
    if points.shape[1] == 2:
        return unit(np.stack([along[:, 1], -along[:, 0]], axis=1))
    areas = np.concatenate([vector_areas(points, block) for block in cells.values()])
    return unit(np.cross(along, areas[owner]))


def node_normals(
    normals: Float[np.ndarray, "F d"],
    parts: Int[np.ndarray, "S n"],
    facets: Int[np.ndarray, " S"],
    areas: Float[np.ndarray, " S"],
    num_nodes: int,
) -> Float[np.ndarray, "N d"]:
    """n_i = Σ ∫ φ_i n ds, made unit, over the simplices `parts` of the facets; 0 at other nodes."""
    weighted = normals[facets].T * areas
    return unit(np.stack([lumped(parts, component, num_nodes) for component in weighted], axis=1))


def qualities(points: Float[np.ndarray, "N d"], cells: Cells) -> Float[np.ndarray, " M"]:
    """q = n sign(det S) |det S|^{2/n} / |S|², least over the corners, S = J J_regular⁻¹.

    The mean ratio: 1 for the regular cell of any size, 0 for a degenerate one, negative for an
    inverted corner. On curves and surfaces in space det S = sqrt(det SᵀS), with the sign of the
    corner against the whole cell (a quadrilateral with a re-entrant corner is negative).

    Source: Knupp, Algebraic mesh quality metrics, SIAM J. Sci. Comput. 23 (2001), 193-218.
    """
    return np.concatenate([_block_quality(points, name, block) for name, block in cells.items()])


def _block_quality(
    points: Float[np.ndarray, "N d"], name: str, block: Int[np.ndarray, "M k"]
) -> Float[np.ndarray, " M"]:
    kind, worst = cell_type(name), np.full(len(block), np.inf)
    whole = vector_areas(points, block) if kind.dim == 2 and points.shape[1] == 3 else None
    for corner in kind.corners:
        regular = (kind.reference[corner[1:]] - kind.reference[corner[0]]).T
        sides = points[block[:, corner[1:]]] - points[block[:, corner[:1]]]
        shape = np.einsum("mid,ij->mdj", sides, np.linalg.inv(regular))
        det = (
            simplex_measures(points, block[:, corner])
            * factorial(kind.dim)
            / np.linalg.det(regular)
        )
        if whole is not None:
            det = det * np.sign(
                np.einsum("mi,mi->m", vector_areas(points, block[:, corner]), whole)
            )
        size = (shape**2).sum(axis=(1, 2)) / kind.dim
        # below rounding a volume has no sign: such a cell is degenerate
        solid = np.abs(det) > 1e-14 * size ** (kind.dim / 2)
        ratio = np.abs(det) ** (2 / kind.dim) / np.where(size > 0, size, 1.0)
        worst = np.minimum(worst, np.where(solid, np.sign(det) * ratio, 0.0))
    return worst

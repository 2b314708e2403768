"""Whether a deformed mesh is one: no inverted cell, good shapes, a boundary that keeps apart."""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree

from meshgnn.geometry.morph.skin import Skin
from meshgnn.mesh import Mesh


def flaw(mesh: Mesh, floor: float) -> str | None:
    """What is wrong with the shape and cells of a mesh; None where nothing is.

    Simplices of negative volume, cells with `Mesh.quality` below the floor, facets of the boundary
    (cells of a surface in space) that cross.
    """
    if mesh.dim == mesh.points.shape[1] and (bad := int((mesh.simplex_volumes <= 0).sum())):
        return f"{bad} simplices are inverted"
    if (least := float(mesh.quality.min())) < floor:
        return f"the least cell quality is {least:.3g}, below {floor:g}"
    if count := len(crossings(mesh)):
        return f"{count} pairs of facets cross"
    return None


def crossings(mesh: Mesh) -> Int[np.ndarray, "P 2"]:
    """Pairs of boundary facets (cells of a surface in space) without common nodes that cross.

    Facets are taken as their simplices, and the pairs count those. Touching is no crossing.
    Curves in three dimensions and points never cross.
    """
    skin = Skin.of(mesh)
    rows, x = skin.simplices, mesh.points
    if rows.shape[1] != x.shape[1] or rows.shape[1] < 2:
        return np.zeros((0, 2), np.int64)
    one, other = _near(x[rows])
    apart = (rows[one][:, :, None] != rows[other][:, None, :]).all(axis=(1, 2))
    one, other = one[apart], other[apart]
    a, b = x[rows[one]], x[rows[other]]
    if rows.shape[1] == 2:
        hit = _segments(a, b)
    else:
        hit = np.zeros(len(a), bool)
        for i in range(3):
            hit |= _pierced(a[:, [i, (i + 1) % 3]], b) | _pierced(b[:, [i, (i + 1) % 3]], a)
    return np.stack([one[hit], other[hit]], axis=1)


def _near(x: Float[np.ndarray, "F n d"]) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of simplices whose bounding boxes meet.

    The few that are much larger than most are asked for their neighbours one by one: as a common
    radius theirs would find nearly all pairs.
    """
    centre = x.mean(axis=1)
    radius = np.linalg.norm(x - centre[:, None], axis=2).max(axis=1)
    large = radius > 2 * np.median(radius)
    most, few = np.flatnonzero(~large), np.flatnonzero(large)
    reach = 2 * (1 + 1e-9) * radius
    pairs = [most[KDTree(centre[most]).query_pairs(reach[most].max(), output_type="ndarray")]]
    if len(few):
        found = KDTree(centre).query_ball_point(centre[few], reach[few])
        one = np.repeat(few, [len(some) for some in found])
        other = np.concatenate([np.asarray(some, np.int64) for some in found])
        # of two large ones the smaller is in reach of the larger
        later = (radius[one] > radius[other]) | ((radius[one] == radius[other]) & (one < other))
        pairs.append(np.stack([one[later], other[later]], axis=1))
    one, other = np.concatenate(pairs).T
    for low, high in zip(x.min(axis=1).T, x.max(axis=1).T, strict=True):
        meet = (low[one] <= high[other]) & (low[other] <= high[one])
        one, other = one[meet], other[meet]
    return one, other


def _segments(
    a: Float[np.ndarray, "P 2 2"], b: Float[np.ndarray, "P 2 2"]
) -> Bool[np.ndarray, " P"]:
    def side(line: np.ndarray, x: np.ndarray) -> np.ndarray:
        along, to = line[:, 1] - line[:, 0], x - line[:, 0]
        return along[:, 0] * to[:, 1] - along[:, 1] * to[:, 0]

    hit = side(a, b[:, 0]) * side(a, b[:, 1]) < 0
    return hit & (side(b, a[:, 0]) * side(b, a[:, 1]) < 0)


def _pierced(
    segment: Float[np.ndarray, "P 2 3"], triangle: Float[np.ndarray, "P 3 3"]
) -> Bool[np.ndarray, " P"]:
    p, q = segment[:, 0], segment[:, 1]
    a, b, c = triangle[:, 0] - p, triangle[:, 1] - p, triangle[:, 2] - p
    along = q - p
    normal = np.cross(b - a, c - a)
    ends = np.einsum("pd,pd->p", normal, a) * np.einsum("pd,pd->p", normal, a - along)
    # the signed volumes of the segment with each side of the triangle
    turns = np.stack(
        [np.einsum("pd,pd->p", along, np.cross(u, v)) for u, v in ((a, b), (b, c), (c, a))]
    )
    return (ends < 0) & ((turns > 0).all(axis=0) | (turns < 0).all(axis=0))

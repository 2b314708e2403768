"""One orientation for the cells of a mesh."""

import warnings

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from meshgnn.mesh.cells import cell_type
from meshgnn.mesh.measures import simplex_measures
from meshgnn.mesh.topology import Cells, boundary, half_facets, row_keys, simplices, winding


def oriented(points: Float[np.ndarray, "N d"], cells: Cells) -> Cells:
    """Cells mirrored where needed, so that neighbours go round their common facet oppositely.

    One choice is left for each part joined through facets: the total volume is positive (dim = d),
    a closed surface in space encloses a positive volume (its normals point outward), and any other
    surface or curve keeps the orientation of most of its cells. It is the numbering that is
    repaired: a cell folded over by wrong coordinates stays inverted, and `Mesh.check` finds it.
    Facets shared by three cells or more join nothing. Groups keep their connectivity.

    A part that has no orientation (a Möbius strip) is left as it is, with a warning.
    """
    first, second, same = _neighbours(cells, len(points))
    score = _scores(points, cells, first, second)
    if not same.any() and (score > 0).all():
        return cells
    count = sum(len(block) for block in cells.values())
    # double cover: state c is cell c as it is, state count + c is cell c mirrored
    rows = np.concatenate([first, first + count])
    columns = np.concatenate([second + count * same, second + count * ~same])
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(2 * count, 2 * count))
    part = connected_components(graph, directed=False)[1]
    total = np.bincount(part, np.concatenate([score, -score]))
    one_sided = part[:count] == part[count:]
    if one_sided.any():
        warnings.warn(
            f"{one_sided.sum()} of {count} cells belong to a part without an orientation (such as "
            "a Möbius strip); they keep their vertex order",
            stacklevel=3,
        )
    mirror = total[part[count:]] > total[part[:count]]
    if not mirror.any():
        return cells
    result, start = {}, 0
    for name, block in cells.items():
        chosen = mirror[start : start + len(block), None]
        result[name] = np.where(chosen, block[:, list(cell_type(name).flip)], block)
        start += len(block)
    return result


def _neighbours(
    cells: Cells, num_nodes: int
) -> tuple[Int[np.ndarray, " P"], Int[np.ndarray, " P"], Bool[np.ndarray, " P"]]:
    """Pairs of cells with a common facet, and whether both go round it the same way."""
    pairs = []
    for rows, owner in half_facets(cells).values():
        keys = row_keys(rows, num_nodes)
        order = np.argsort(keys)
        start = np.flatnonzero(np.diff(keys[order], prepend=-1))
        twice = start[np.diff(start, append=len(keys)) == 2]
        one, other = order[twice], order[twice + 1]
        # the facets of a line are its start and its end: they alternate
        way = np.arange(len(rows)) % 2 == 1 if rows.shape[1] == 1 else winding(rows)
        pairs.append((owner[one], owner[other], way[one] == way[other]))
    first, second, same = (np.concatenate(column) for column in zip(*pairs, strict=True))
    return first, second, same


def _scores(
    points: Float[np.ndarray, "N d"],
    cells: Cells,
    first: Int[np.ndarray, " P"],
    second: Int[np.ndarray, " P"],
) -> Float[np.ndarray, " M"]:
    """What a cell adds to the vote of its part when it is not mirrored."""
    parts, owner = simplices(cells)
    dim, d = parts.shape[1] - 1, points.shape[1]
    if dim == d:
        return np.bincount(owner, simplex_measures(points, parts))
    score = np.ones(owner[-1] + 1)
    if (dim, d) != (2, 3):
        return score
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(len(score),) * 2)
    label = connected_components(graph, directed=False)[1]
    is_open = np.zeros(len(score), dtype=bool)
    for _, edge in boundary(cells, len(points)).values():
        is_open[label[edge]] = True
    # cones over the triangles from the mean point: their signed sum is the volume enclosed
    apex = np.concatenate([points, points.mean(axis=0, keepdims=True)])
    cones = np.insert(parts, 0, len(points), axis=1)
    enclosed = np.bincount(owner, simplex_measures(apex, cones))
    return np.where(is_open[label], score, enclosed)

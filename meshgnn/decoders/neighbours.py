"""Sources of a body in its reference configuration, and those nearest to every query point."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import KDTree

Sources = Int[np.ndarray, " n"] | Float[np.ndarray, "n d"]
_DETOUR = 1.2  # of a path that leaves a straight line, in units of what edges take in the median
_REACH = 2.0  # paths that are followed, in the largest distance in a straight line
_CELLS = 20_000_000  # distances along paths that are held at a time
_FLAT = 1e-10  # extent over the largest one below which sources span no volume


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """The k sources j nearest to each query point x, seen from there.

    Args:
        index: j [M, k], nearest first.
        offset: (X_j − x) / r [M, k, d].
        share: s = |X_j − x| / r [M, k], 0 to 1. r is the distance of the source k + 1, which
            changes continuously with x, so that what vanishes at s = 1 does too when a source
            leaves. Where there are no more than k sources none ever leaves: then r is the distance
            of the last and s = 0.
        radius: r [M].
    """

    index: Int[np.ndarray, "M k"]
    offset: Float[np.ndarray, "M k d"]
    share: Float[np.ndarray, "M k"]
    radius: Float[np.ndarray, " M"]


def positions(
    name: str, queries: Float[np.ndarray, "M d"], sources: Sources, least: int = 1
) -> Float[np.ndarray, "n d"]:
    """Reference positions of the sources, given so or by their indices among the query points.

    Args:
        name: of the decoder, for messages.
        queries: x [M, d].
        sources: indices [n] or positions [n, d].
        least: number of sources that are needed; more than 1 asks that they span all dimensions.

    Raises:
        ValueError: NaN; an index out of range or given twice; too few sources, two at one place,
            all of them in a plane or on a line; a query farther from all sources than these are
            from each other.
    """
    if sources.ndim == 1:
        if len(sources) and not 0 <= sources.min() <= sources.max() < len(queries):
            raise ValueError(
                f"{name}: expected indices of sources from 0 to {len(queries) - 1}, got "
                f"{sources.min()} to {sources.max()}"
            )
        found = queries[sources]
    else:
        found = sources
    for kind, points in (("queries", queries), ("sources", found)):
        bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
        if len(bad):
            raise ValueError(f"{name}: {len(bad)} {kind} are NaN or infinite, first {bad[0]}")
    if found.shape[1] != queries.shape[1] or len(found) < least:
        raise ValueError(
            f"{name}: expected at least {least} sources in {queries.shape[1]} dimensions, got "
            f"{list(found.shape)}; take more, or another decoder"
        )
    _check_spread(name, queries, found, least)
    return found


def _check_spread(name: str, queries: np.ndarray, sources: np.ndarray, least: int) -> None:
    tree = KDTree(sources)
    size = float(np.linalg.norm(np.ptp(sources, axis=0)))
    if len(sources) > 1:
        gap = tree.query(sources, 2)[0]
        twice = np.flatnonzero(gap[:, 1] <= _FLAT * size)
        if len(twice):
            raise ValueError(
                f"{name}: {len(twice)} sources are at the place of another, the first is "
                f"{twice[0]}; leave one of the two out"
            )
        far = tree.query(queries)[0]
        if len(far) and far.max() > size:
            raise ValueError(
                f"{name}: query {far.argmax()} is {far.max():.3g} from the nearest source, the "
                f"sources span only {size:.3g}; sources must be of the same body, in one unit"
            )
    if least > 1:
        extent = np.linalg.svd(sources - sources.mean(axis=0), compute_uv=False)
        if extent[-1] <= _FLAT * extent[0]:
            raise ValueError(
                f"{name}: the {len(sources)} sources lie in a plane or on a line and say nothing "
                "of the direction across; add sources beside it, or use inverse_distance"
            )


def neighbourhood(
    queries: Float[np.ndarray, "M d"],
    sources: Float[np.ndarray, "n d"],
    count: int,
    others: bool = False,
) -> Neighbourhood:
    """The k = `count` nearest sources of every query point, or all where there are fewer.

    Args:
        queries: x [M, d].
        sources: X [n, d].
        count: k.
        others: queries are the sources themselves, and each is left out of its own neighbours.
    """
    skip = int(others)
    # in double precision, so that weights reproduce affine functions far from the origin too
    queries, sources = np.asarray(queries, np.float64), np.asarray(sources, np.float64)
    kept = min(count, len(sources) - skip)
    asked = min(kept + skip + 1, len(sources))
    gap, index = KDTree(sources).query(queries, asked)
    gap, index = gap.reshape(len(queries), asked), index.reshape(len(queries), asked)
    near = slice(skip, skip + kept)
    radius = np.maximum(gap[:, -1], np.finfo(float).tiny)
    share = gap[:, near] / radius[:, None] * (asked > kept + skip)
    offset = (sources[index[:, near]] - queries[:, None]) / radius[:, None, None]
    return Neighbourhood(index[:, near], offset, share, radius)


def neighbourhood_along(
    points: Float[np.ndarray, "M d"],
    sources: Int[np.ndarray, " n"],
    edges: Int[np.ndarray, "E 2"],
    count: int,
) -> Neighbourhood:
    """The k = `count` nearest sources of every node of a mesh, those across a gap being far.

    A source is as far as the shortest path along edges where that is longer than the straight line
    by 1.2 times what it is in the median: the line then leaves the body, at a slit or between the
    arms of a U. Of 2 k sources that are near in a straight line the k nearest in this sense are
    taken.

    Args:
        points: nodes x [M, d].
        sources: indices of n of them.
        edges: of the mesh, each once or in both directions.
        count: k.

    Source: Organ et al. 1996 (continuous meshless approximations for nonconvex bodies).
    """
    if len(sources) <= count:
        return neighbourhood(points, points[sources], count)
    points = np.asarray(points, np.float64)
    asked = min(2 * count + 1, len(sources))
    gap, index = KDTree(points[sources]).query(points, asked)
    gap, index = gap.reshape(len(points), asked), index.reshape(len(points), asked)
    far = _paths(points, sources, edges, index, float(_REACH * gap.max()))
    usual = np.median(far[gap > 0] / gap[gap > 0])
    gap = np.where(far > _DETOUR * usual * gap, far, gap)
    order = np.argsort(gap, axis=1, kind="stable")[:, : count + 1]
    gap, index = (np.take_along_axis(a, order, 1) for a in (gap, index))
    radius = np.maximum(gap[:, -1], np.finfo(float).tiny)
    near = index[:, :count]
    offset = (points[sources[near]] - points[:, None]) / radius[:, None, None]
    return Neighbourhood(near, offset, gap[:, :count] / radius[:, None], radius)


def _paths(
    points: np.ndarray, sources: np.ndarray, edges: np.ndarray, index: np.ndarray, limit: float
) -> Float[np.ndarray, "M k"]:
    """Lengths of shortest paths along edges from nodes to sources; twice the limit beyond it."""
    length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    net = csr_array((length, edges.T), shape=2 * (len(points),))
    found = np.full(index.shape, 2 * limit)
    rows = max(1, _CELLS // len(points))
    for start in range(0, len(sources), rows):
        part = dijkstra(net, False, sources[start : start + rows], limit=limit)
        node, place = np.nonzero((index >= start) & (index < start + rows))
        path = part[index[node, place] - start, node]
        found[node, place] = np.minimum(path, 2 * limit)
    return found


def axes_of(
    offset: Float[np.ndarray, "M k d"], weight: Float[np.ndarray, "M k"]
) -> tuple[Float[np.ndarray, "M d"], Float[np.ndarray, "M d"], Float[np.ndarray, "M d d"]]:
    """Mean ȳ, and eigenvalues and vectors of Σ w (y − ȳ)(y − ȳ)ᵀ for weights w of sum 1."""
    mean = np.einsum("mk,mkd->md", weight, offset)
    centred = offset - mean[:, None]
    spread = np.einsum("mk,mkd,mke->mde", weight, centred, centred, optimize=True)
    sizes, vectors = np.linalg.eigh(spread)
    return mean, sizes, vectors

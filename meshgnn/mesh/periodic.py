"""Nodes that are one point of a periodic mesh."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from meshgnn.mesh.mesh import Mesh

_SAME = 1e-6  # of the mesh's size: nearer points are one


def twins(mesh: Mesh, periodic: Mapping[str, str]) -> Int[np.ndarray, " N"]:
    """The lowest node of the class of every node, where x and x + (whole periods) are one class.

    Each pair of groups must be a translate of the other along one axis, node by node. Pairs add up:
    with {"left": "right", "bottom": "top"} the four corners of a square are one class.

    Args:
        mesh: a mesh whose opposite sides are meshed alike (gmsh: setPeriodic).
        periodic: {group: its translate}; empty for no periodicity (every node is its own).

    Raises:
        ValueError: an unknown group, two groups that are no translates along an axis, or nodes
            without a partner (how many); a group that is named twice.
    """
    names = [*periodic, *periodic.values()]
    if len(set(names)) < len(names):
        raise ValueError(f"periodic: expected every group once, got {dict(periodic)}")
    pairs = [_matched(mesh, a, b) for a, b in periodic.items()]
    rows = np.concatenate([np.zeros((0, 2), np.int64), *pairs])
    nodes = mesh.num_nodes
    links = coo_matrix((np.ones(len(rows)), rows.T), shape=(nodes, nodes))
    labels = connected_components(links, directed=False)[1]
    lowest = np.full(labels.max() + 1, nodes)
    np.minimum.at(lowest, labels, np.arange(nodes))
    return lowest[labels]


def period_of(points: Float[np.ndarray, "N d"], twin: Int[np.ndarray, " N"]) -> np.ndarray:
    """The length of the period along every axis [d], 0 where there is none.

    Matched sides of a mesh from elsewhere differ by rounding along the other axes: what is below
    1e-6 of the mesh's size is no period.
    """
    period = np.abs(points - points[twin]).max(axis=0, initial=0.0)
    return np.where(period > _SAME * _size(points), period, 0.0)


def turns_of(points: Float[np.ndarray, "N d"], twin: Int[np.ndarray, " N"]) -> np.ndarray:
    """Whole periods from the twin of every node to the node [N, d]; 0 along axes without one."""
    period = period_of(points, twin)
    return np.rint((points - points[twin]) / np.where(period > 0, period, np.inf)).astype(np.int64)


def _size(points: Float[np.ndarray, "N d"]) -> float:
    """Longest side of the bounding box."""
    return float(np.ptp(points, axis=0).max())


def _matched(mesh: Mesh, first: str, second: str) -> Int[np.ndarray, "K 2"]:
    """Node pairs of two groups, the second at a shift along the axis in which they differ."""
    one, other = mesh.nodes_of(first), mesh.nodes_of(second)
    gap = mesh.points[other].mean(axis=0) - mesh.points[one].mean(axis=0)
    axis = int(np.abs(gap).argmax())
    shift = np.where(np.arange(len(gap)) == axis, gap, 0.0)
    close = _SAME * _size(mesh.points)
    distance, place = KDTree(mesh.points[other]).query(mesh.points[one] + shift)
    alone = max(int((distance > close).sum()), len(other) - len(np.unique(place)))
    if alone or np.abs(gap[axis]) < close:
        raise ValueError(
            f"periodic: {first!r} ({len(one)} nodes) and {second!r} ({len(other)} nodes) are no "
            f"translates of each other along an axis: {alone} nodes have no partner; mesh both "
            "sides alike (in gmsh: Periodic Curve or mesh.setPeriodic)"
        )
    return np.stack([one, other[place]], axis=1)

"""Triangles between segments, tetrahedra between triangles, by gmsh."""

from types import ModuleType

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from meshgnn.mesh import Mesh
from meshgnn.mesher import current_mesh, generate, session

Rows = Int[np.ndarray, "_ _"]
Walls = dict[tuple[int, int], Rows]  # {(region, region or -1 outside): simplices between them}
Tags = dict[tuple[int, int], list[int]]


def meshed(mesh: Mesh, dim: int, walls: Walls, used: np.ndarray) -> Mesh:
    """The mesh inside walls, whose rows count the nodes `used`; groups "0", "1", ...: regions."""
    tree, size = _sizes(mesh)
    points = mesh.points[used]
    with session() as gmsh:
        borders = (_lines if dim == 2 else _triangles)(gmsh, points, walls)
        for number in range(1 + max(pair[0] for pair in walls)):
            entity = _region(gmsh, dim, points, borders, walls, number)
            gmsh.model.geo.synchronize()
            gmsh.model.addPhysicalGroup(dim, [entity], name=str(number))

        def near(_dim: int, _tag: int, x: float, y: float, z: float, _lc: float) -> float:
            return float(size[tree.query([x, y, z][: points.shape[1]])[1]])

        gmsh.model.mesh.setSizeCallback(near)
        try:
            generate(dim)
        finally:
            gmsh.model.mesh.removeSizeCallback()  # it would outlive the model
        return current_mesh(dim)


def _sizes(mesh: Mesh) -> tuple[KDTree, Float[np.ndarray, " N"]]:
    """Mean length of the edges at every node."""
    i, j = mesh.edges.T
    length = np.linalg.norm(mesh.points[i] - mesh.points[j], axis=1)
    ends, count = np.concatenate([i, j]), mesh.num_nodes
    total = np.bincount(ends, np.tile(length, 2), count)
    return KDTree(mesh.points), total / np.maximum(np.bincount(ends, minlength=count), 1)


def _lines(gmsh: ModuleType, points: np.ndarray, walls: Walls) -> Tags:
    """Every segment a line of one edge: {(region, region): tags}."""
    geo = gmsh.model.geo
    nodes = [geo.addPoint(x, y, 0) for x, y in points]
    tags = {
        pair: [geo.addLine(nodes[i], nodes[j]) for i, j in rows] for pair, rows in walls.items()
    }
    for line in (tag for part in tags.values() for tag in part):
        geo.mesh.setTransfiniteCurve(line, 2)
    return tags


def _triangles(gmsh: ModuleType, points: np.ndarray, walls: Walls) -> Tags:
    """The triangles of every wall as one surface that keeps its mesh: {(region, region): tag}."""
    tags, known = {}, np.zeros(len(points), bool)
    for pair, rows in walls.items():
        tag = gmsh.model.addDiscreteEntity(2)
        fresh = np.unique(rows)
        fresh = fresh[~known[fresh]]
        known[fresh] = True
        gmsh.model.mesh.addNodes(2, tag, (fresh + 1).tolist(), points[fresh].ravel().tolist())
        gmsh.model.mesh.addElementsByType(tag, 2, [], (rows + 1).ravel().tolist())
        tags[pair] = [tag]
    return tags


def _region(
    gmsh: ModuleType, dim: int, points: np.ndarray, borders: Tags, walls: Walls, number: int
) -> int:
    """The surface or volume of one region."""
    geo = gmsh.model.geo
    own = [pair for pair in borders if number in pair]
    tags = np.array([tag for pair in own for tag in borders[pair]])
    if dim == 3:
        return geo.addVolume([geo.addSurfaceLoop(tags.tolist())])
    rows = np.concatenate([walls[pair] for pair in own])
    loops = []
    for chain, ahead in _chains(rows):
        x, y = points[np.where(ahead, rows[chain, 0], rows[chain, 1])].T
        area = abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))
        loops.append((area, geo.addCurveLoop(np.where(ahead, tags[chain], -tags[chain]).tolist())))
    # the outer one first
    return geo.addPlaneSurface([tag for _, tag in sorted(loops, reverse=True)])


def _chains(rows: Rows) -> list[tuple[np.ndarray, np.ndarray]]:
    """Segments as closed loops: (their numbers, whether each is run through forwards)."""
    at: dict[int, list[int]] = {}
    for number, ends in enumerate(rows.tolist()):
        for end in ends:
            at.setdefault(end, []).append(number)
    left, loops = set(range(len(rows))), []
    while left:
        number = min(left)
        first, node = rows[number]
        chain, ahead = [number], [True]
        left.remove(number)
        while node != first:
            number = next(n for n in at[int(node)] if n in left)
            left.remove(number)
            ahead.append(bool(rows[number, 0] == node))
            node = rows[number, 1] if ahead[-1] else rows[number, 0]
            chain.append(number)
        loops.append((np.array(chain), np.array(ahead)))
    return loops

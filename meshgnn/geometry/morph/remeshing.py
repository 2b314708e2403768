"""A shape meshed anew by gmsh: boundary facets as they are, simplices inside, names kept."""

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from meshgnn.geometry.morph.inside import Rows, Walls, meshed
from meshgnn.geometry.morph.validity import crossings
from meshgnn.mesh import Group, Mesh
from meshgnn.mesh.topology import half_facets, match_rows, row_keys, simplices

_SIMPLEX = ("vertex", "line", "triangle", "tetra")


def remeshed(mesh: Mesh) -> Mesh:
    """Triangles or tetrahedra inside the boundary of a mesh, whose facets and nodes stay.

    Surfaces between regions (groups of cells) stay as well; quadrilaterals on them are halved.
    Edge lengths are those of the mesh nearby. Groups of all dimensions keep their names; those
    below the dimension of the cells must lie on the boundary or between regions. Inverted cells
    inside do no harm.

    Raises:
        ValueError: a surface, a curve or an interval; a boundary that crosses itself or encloses
            another volume than the cells; a group inside of a region; gmsh's message.
        ImportError: gmsh is missing.
    """
    check_groups(mesh)
    if count := len(crossings(mesh)):  # gmsh would never return
        raise ValueError(f"remeshed: {count} pairs of boundary facets cross; move less")
    region, members = _regions(mesh)
    walls = _walls(mesh, region)
    used = np.unique(np.concatenate(list(walls.values())))
    place = np.full(mesh.num_nodes, -1)
    place[used] = np.arange(len(used))
    new = meshed(mesh, mesh.dim, {pair: place[rows] for pair, rows in walls.items()}, used)
    place[used] = _found(mesh.points[used], new)
    sizes = float(new.volumes.sum()), float(mesh.simplex_volumes.sum())
    if abs(sizes[0] - sizes[1]) > 1e-6 * sizes[0]:
        raise ValueError(
            f"remeshed: the volume inside of the boundary is {sizes[0]:g}, that of the cells "
            f"{sizes[1]:g}; the boundary is turned inside out somewhere; move less"
        )
    return Mesh(new.points, new.cells, _groups(mesh, new, place, members)).moved(new.points)


def filled(surface: Mesh) -> Mesh:
    """Tetrahedra inside a closed surface in space, whose triangles stay and bound them.

    Groups of the surface's cells become groups of the boundary, those of curves and points stay;
    quadrilaterals are halved. Edge lengths are those of the surface nearby.

    Raises:
        ValueError: no surface in space, or one with a rim; gmsh's message.
        ImportError: gmsh is missing.
    """
    if surface.dim != 2 or surface.points.shape[1] != 3:
        raise ValueError(
            f"filled: expected a surface in space, got cells of dimension {surface.dim} in "
            f"{surface.points.shape[1]}D"
        )
    if rim := len(surface.boundary_facet_cells):
        raise ValueError(f"filled: the surface is open, {rim} edges have one side only; close it")
    used = np.arange(surface.num_nodes)
    new = meshed(surface, 3, {(0, -1): surface.simplices}, used)
    place = _found(surface.points, new)
    groups = {name: _group(group, place) for name, group in surface.groups.items()}
    return Mesh(new.points, new.cells, groups)


def _found(points: Float[np.ndarray, "U d"], new: Mesh) -> Int[np.ndarray, " U"]:
    """Which nodes of a new mesh the nodes of its boundary have become."""
    gap, index = KDTree(new.points).query(points)
    if gap.max() > 1e-9 * np.ptp(points, axis=0).max():
        raise ValueError("remeshed: gmsh has moved nodes of the boundary")
    return np.asarray(index, np.int64)


def _regions(mesh: Mesh) -> tuple[Int[np.ndarray, " M"], list[list[str]]]:
    """Number of the region of each cell, and the groups that each region is in: cells joined
    facet to facet that are in the same groups."""
    top = [name for name, group in mesh.groups.items() if group.dim == mesh.dim]
    label = np.zeros(mesh.num_cells, np.int64)
    for name in top:
        label[mesh.cells_of(name)] += 1 << top.index(name)
    pairs = [np.zeros((0, 2), np.int64)]
    for rows, owner in half_facets(mesh.cells).values():
        order, same = _twins(rows, mesh.num_nodes)
        pairs.append(np.stack([owner[order][:-1][same], owner[order][1:][same]], axis=1))
    one, other = np.concatenate(pairs).T
    joined = label[one] == label[other]
    links = (np.ones(joined.sum()), (one[joined], other[joined]))
    shape = (mesh.num_cells, mesh.num_cells)
    count, region = connected_components(coo_array(links, shape=shape), directed=False)
    first = np.unique(region, return_index=True)[1]
    signs = label[first]
    return np.asarray(region, np.int64), [
        [name for i, name in enumerate(top) if signs[r] >> i & 1] for r in range(count)
    ]


def _twins(rows: Rows, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """An order in which equal rows are neighbours, and which neighbours are equal."""
    key = row_keys(rows, nodes)
    order = np.argsort(key, kind="stable")
    return order, np.diff(key[order]) == 0


def _walls(mesh: Mesh, region: Int[np.ndarray, " M"]) -> Walls:
    """{(region, region or -1): simplices of the facets between them}."""
    parts: dict[tuple[int, int], list[np.ndarray]] = {}
    for name, (rows, owner) in half_facets(mesh.cells).items():
        order, same = _twins(rows, mesh.num_nodes)
        second = np.full(len(rows), -1)
        second[order[:-1][same]] = region[owner[order[1:][same]]]
        second[order[1:][same]] = region[owner[order[:-1][same]]]
        # of two equal facets the one whose region has the higher number
        kept = region[owner] > second
        flat, which = simplices({name: rows[kept]}) if kept.any() else (rows[:0], owner[:0])
        sides = np.stack([region[owner[kept]], second[kept]], axis=1)[which]
        for pair in np.unique(sides, axis=0):
            chosen = flat[(sides == pair).all(axis=1)]
            parts.setdefault((int(pair[0]), int(pair[1])), []).append(chosen)
    return {pair: np.concatenate(rows) for pair, rows in parts.items()}


def check_groups(mesh: Mesh) -> None:
    """Raises: ValueError: a surface, a curve, an interval; groups that `remeshed` would lose."""
    if mesh.dim != mesh.points.shape[1] or mesh.dim == 1:
        raise ValueError(
            "remeshed: expected a plane mesh or a solid, got cells of dimension "
            f"{mesh.dim} in {mesh.points.shape[1]}D"
        )
    skin = np.concatenate([*_walls(mesh, _regions(mesh)[0]).values()])
    for name, group in mesh.groups.items():
        if group.dim == mesh.dim:
            continue
        if group.dim == mesh.dim - 1:
            lost = int((match_rows(simplices(group.cells)[0], skin, mesh.num_nodes) < 0).sum())
        else:
            lost = sum(
                int((~np.isin(rows, skin)).any(axis=1).sum()) for rows in group.cells.values()
            )
        if lost:
            raise ValueError(
                f"remeshed: {lost} entities of group {name!r} are inside of a region and would be "
                "lost; keep the cells (remesh=False), or make the group a border of two regions"
            )


def _groups(
    mesh: Mesh, new: Mesh, place: Int[np.ndarray, " N"], members: list[list[str]]
) -> dict[str, Group]:
    """The groups of the mesh on the new one."""
    found = {}
    for name, group in mesh.groups.items():
        if group.dim == mesh.dim:
            inside = [str(r) for r, names in enumerate(members) if name in names]
            rows = [new.groups[r].cells[_SIMPLEX[mesh.dim]] for r in inside]
            found[name] = Group(mesh.dim, {_SIMPLEX[mesh.dim]: np.concatenate(rows)})
        else:
            found[name] = _group(group, place)
    return found


def _group(group: Group, place: Int[np.ndarray, " N"]) -> Group:
    rows = simplices(group.cells)[0] if group.dim else group.cells["vertex"]
    return Group(group.dim, {_SIMPLEX[group.dim]: place[rows]})

"""The model that gmsh holds in memory as a `Mesh`."""

import warnings
from types import ModuleType

import numpy as np
from jaxtyping import Int

from meshgnn.mesh import KINDS, Group, Mesh
from meshgnn.mesh.groups import labels
from meshgnn.mesher.session import LOCK, gmsh_module

# (dimension, corners) of gmsh's element families -> meshio's name; gmsh, VTK and meshio number the
# corners of linear cells alike.
_CELL = {
    (0, 1): "vertex",
    (1, 2): "line",
    (2, 3): "triangle",
    (2, 4): "quad",
    (3, 4): "tetra",
    (3, 5): "pyramid",
    (3, 6): "wedge",
    (3, 8): "hexahedron",
}
_TRIHEDRON = 140  # gmsh's flat glue between a quadrangle and two triangles: no volume


def current_mesh(dim: int | None = None) -> Mesh:
    """The mesh of gmsh's current model, taken from memory; call it inside `session`.

    Physical groups become groups by name (tag 7 of a curve without a name: `curve_7`); an entity
    of several groups is in all of them. Where groups of the top dimension exist, cells in none of
    them are left out with a warning, as gmsh does when it saves a file. Cells of second and higher
    order become their linear corners with a warning.

    Args:
        dim: dimension of the cells; None takes the highest one that has any.

    Raises:
        ValueError: the model has no cells of that dimension, or an element type without a linear
            counterpart.
    """
    gmsh = gmsh_module()
    with LOCK:
        if dim is None:
            dim = next((d for d in (3, 2, 1) if gmsh.model.mesh.getElements(d)[1]), 1)
        named = _named_entities(gmsh, dim)
        every = {tag for _, tag in gmsh.model.getEntities(dim)}
        tagged = {tag for d, entities in named.values() if d == dim for tag in entities}
        cells = _elements(gmsh, dim, sorted(tagged or every), warn=True)
        if not cells:
            raise ValueError(
                f"gmsh produced no cells of dimension {dim}: the model has {len(every)} "
                f"{KINDS[dim]}s; define {KINDS[dim]}s to mesh, or ask for another dim"
            )
        if outside := tagged and every - tagged:
            warnings.warn(
                f"{len(outside)} of {len(every)} {KINDS[dim]}s are in no physical group and were "
                f"left out: {KINDS[dim]}s {sorted(outside)}; give them one to keep them",
                stacklevel=2,
            )
        tags, coordinates, _ = gmsh.model.mesh.getNodes()
        tags = tags.astype(np.int64)
        index = _numbering(tags, cells)
        if not outside:
            _warn_loose(gmsh, dim, index)
        groups = {name: _group(gmsh, name, *value, index) for name, value in named.items()}
    mesh = Mesh(
        coordinates.reshape(-1, 3)[index[tags] >= 0],
        {name: index[block] for name, block in cells.items()},
        {name: group for name, group in groups.items() if group.cells},
    )
    solid = mesh.dim == mesh.points.shape[1]
    return mesh if solid and (mesh.volumes > 0).all() else mesh.oriented()


def _named_entities(gmsh: ModuleType, dim: int) -> dict[str, tuple[int, list[int]]]:
    """{group name: (dimension, entities)} of the physical groups up to a dimension."""
    found: dict[tuple[str, int], set[int]] = {}
    dims: dict[str, set[int]] = {}
    groups = [pair for pair in gmsh.model.getPhysicalGroups() if pair[0] <= dim]
    # the boundary parts first
    for d, tag in sorted(groups, key=lambda pair: (pair[0] != dim - 1, pair)):
        name = gmsh.model.getPhysicalName(d, tag) or f"{KINDS[d]}_{tag}"
        entities = gmsh.model.getEntitiesForPhysicalGroup(d, tag)
        found.setdefault((name, d), set()).update(map(int, entities))
        dims.setdefault(name, set()).add(d)
    label = labels(dims, dim, stacklevel=4)
    return {label[name, d]: (d, sorted(entities)) for (name, d), entities in found.items()}


def _elements(
    gmsh: ModuleType, dim: int, entities: list[int], warn: bool = False
) -> dict[str, Int[np.ndarray, "_ _"]]:
    """{meshio name: [M, k] node tags} of the elements on some entities, as linear cells."""
    found: dict[int, list[np.ndarray]] = {}
    for entity in entities:
        types, _, nodes = gmsh.model.mesh.getElements(dim, entity)
        for kind, tags in zip(types, nodes, strict=True):
            found.setdefault(int(kind), []).append(tags)
    cells: dict[str, list[np.ndarray]] = {}
    flat, curved = 0, 0
    for kind, blocks in found.items():
        tags = np.concatenate(blocks).astype(np.int64)
        if kind == _TRIHEDRON:
            flat += len(tags) // 4
            continue
        title, _, order, width, _, corners = gmsh.model.mesh.getElementProperties(kind)
        if (dim, corners) not in _CELL:
            raise ValueError(
                f"gmsh element type '{title}' (number {kind}) has no linear counterpart here; "
                f"the cells are {', '.join(_CELL.values())}"
            )
        block = tags.reshape(-1, width)[:, :corners]
        curved += len(block) if order > 1 else 0
        cells.setdefault(_CELL[dim, corners], []).append(block)
    if warn and curved:
        warnings.warn(f"{curved} cells of second or higher order became linear", stacklevel=4)
    if warn and flat:
        warnings.warn(
            f"{flat} flat trihedra between quadrangles and triangles left out: the mesh "
            "is not conforming there",
            stacklevel=4,
        )
    return {name: np.concatenate(blocks) for name, blocks in cells.items()}


def _numbering(
    tags: Int[np.ndarray, " N"], cells: dict[str, Int[np.ndarray, "_ _"]]
) -> Int[np.ndarray, " T"]:
    """Node tag -> node index, -1 for a node of no cell; gmsh's order is kept."""
    used = np.zeros(int(tags.max()) + 1, bool)
    for block in cells.values():
        used[block] = True
    index = np.full(len(used), -1)
    index[tags[used[tags]]] = np.arange(used.sum())
    return index


def _warn_loose(gmsh: ModuleType, dim: int, index: Int[np.ndarray, " T"]) -> None:
    for d in range(1, dim):
        blocks = _elements(gmsh, d, [-1]).values()  # -1: all entities
        if loose := sum(int((index[block] < 0).any(1).sum()) for block in blocks):
            warnings.warn(
                f"{loose} of {sum(map(len, blocks))} elements on {KINDS[d]}s bound no cell and are "
                "not part of the mesh",
                stacklevel=3,
            )


def _group(
    gmsh: ModuleType, name: str, dim: int, entities: list[int], index: Int[np.ndarray, " T"]
) -> Group:
    """A group in node indices, less the elements that hang loose."""
    cells, loose = {}, 0
    for kind, block in _elements(gmsh, dim, entities).items():
        block = index[block]
        attached = (block >= 0).all(1)
        loose += int((~attached).sum())
        if attached.any():
            cells[kind] = block[attached]
    if loose:
        warnings.warn(
            f"group '{name}': {loose} elements of dimension {dim} have nodes of no cell and "
            "were dropped",
            stacklevel=3,
        )
    return Group(dim, cells)

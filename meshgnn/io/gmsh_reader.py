"""gmsh .msh files of versions 2 and 4.1, ASCII and binary, read without gmsh.

meshio's reader keeps one physical group of an entity that has several, mixes up names used in two
dimensions, and stops at parametric nodes, partitions and sparse numbers; so this one reads the
format itself, whole sections at a time.
"""

import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Int

from meshgnn.io.gmsh_sections import Elements, read_sections
from meshgnn.io.raw import Block, Raw, Rows
from meshgnn.mesh import CELL_TYPES, KINDS


def read_gmsh(path: Path) -> Raw:
    """Points, elements, physical groups and data of a .msh file.

    An entity of several groups is in all of them; an element that version 2 repeats, once for each
    group, as well. A group without a name is called after its tag (`curve_7`). Element-node data,
    periodic links and ghost elements are not read.

    Raises:
        ValueError: another version, a section that ends too early, an element of an unknown type or
            with unknown nodes.
    """
    found = read_sections(path.read_bytes())
    trihedra = sum(len(part.ids) for part in found.elements if part.kind == "trihedron")
    if trihedra:
        warnings.warn(
            f"{trihedra} flat trihedra between quadrangles and triangles left out: the mesh is not "
            "conforming there",
            stacklevel=5,
        )
    elements = [part for part in found.elements if part.kind != "trihedron" and len(part.ids)]
    if not found.tags or not elements:
        raise ValueError("the file has no nodes or no elements")
    tags = np.concatenate(found.tags)
    ids = np.concatenate([part.ids for part in elements])
    for part in elements:
        part.rows = _places(tags, part.rows.ravel(), "nodes").reshape(part.rows.shape)
    return Raw(
        np.concatenate(found.points),
        _blocks(elements),
        _groups(elements, found.names),
        _arrays(tags, found.data["NodeData"], "nodes"),
        _arrays(ids, found.data["ElementData"], "elements"),
        np.concatenate([np.full(len(part.ids), part.region) for part in elements]),
    )


def _blocks(elements: list[Elements]) -> list[Block]:
    """One block for a type, in the order of the numbers that the elements have in the file."""
    starts = np.cumsum([0, *(len(part.ids) for part in elements)])
    found = []
    for kind, width in {(part.kind, part.rows.shape[1]): None for part in elements}:
        chosen = [i for i, p in enumerate(elements) if (p.kind, p.rows.shape[1]) == (kind, width)]
        ids = np.concatenate([elements[i].ids for i in chosen])
        rows = np.concatenate([elements[i].rows for i in chosen])
        places = np.concatenate([starts[i] + np.arange(len(elements[i].ids)) for i in chosen])
        order = np.argsort(ids, kind="stable")
        found.append((ids.min(), kind, rows[order], places[order]))
    return [(kind, rows, places) for _, kind, rows, places in sorted(found, key=lambda f: f[0])]


def _groups(
    elements: list[Elements], names: dict[tuple[int, int], str]
) -> dict[str, list[tuple[str, Rows]]]:
    """Named ones in the order of their names, then those without a name."""
    tagged: dict[tuple[int, int], list[Elements]] = {key: [] for key in names}
    for part in elements:
        for tag in part.physical:
            tagged.setdefault((CELL_TYPES[part.kind].dim, tag), []).append(part)
    groups: dict[str, list[tuple[str, Rows]]] = {}
    for (dim, tag), parts in tagged.items():
        listed = groups.setdefault(names.get((dim, tag)) or f"{KINDS[dim]}_{tag}", [])
        listed += [(kind, rows) for kind, rows, _ in _blocks(parts)]
    return groups


def _arrays(
    tags: Int[np.ndarray, " N"],
    views: dict[str, list[tuple[np.ndarray, np.ndarray]]],
    what: str,
) -> dict[str, np.ndarray]:
    """{view: [N] or [N, C]}, NaN where a view has no value; later steps of it as `<view>_1`."""
    arrays = {}
    for name, steps in views.items():
        for step, (numbers, values) in enumerate(steps):
            array = np.full((len(tags), values.shape[1]), np.nan)
            array[_places(tags, numbers, what)] = values
            arrays[f"{name}_{step}" if step else name] = (
                np.squeeze(array, 1) if values.shape[1] == 1 else array
            )
    return arrays


def _places(
    tags: Int[np.ndarray, " N"], wanted: Int[np.ndarray, " K"], what: str
) -> Int[np.ndarray, " K"]:
    """Position of each wanted tag; tags may be sparse and in any order."""
    order = np.argsort(tags, kind="stable")
    if len(tags) == tags[order[-1]] - tags[order[0]] + 1:
        place = wanted - tags[order[0]]
        missing = (place < 0) | (place >= len(tags))
    else:
        place = np.minimum(np.searchsorted(tags, wanted, sorter=order), len(tags) - 1)
        missing = tags[order[place]] != wanted
    if missing.any():
        raise ValueError(
            f"{missing.sum()} references to {what} that the file does not define, the first to "
            f"number {wanted[missing][0]}"
        )
    return order[place]

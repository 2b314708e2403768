"""Frames to a binary .msh file, version 4.1, which gmsh opens with its groups and views.

Source: gmsh reference manual, section "Gmsh file formats" (MSH 4.1).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from meshgnn.atomic import replacing
from meshgnn.frames import Frames, in_space
from meshgnn.io.gmsh_types import LINEAR
from meshgnn.io.raw import Rows
from meshgnn.mesh import Mesh
from meshgnn.mesh.topology import Cells, match_rows, row_keys

_COLUMNS = (1, 3, 9)  # the numbers of components that gmsh's views know


@dataclass(frozen=True, eq=False)
class _Entity:
    """Cells of one dimension that are in the same groups: what gmsh calls an entity."""

    dim: int
    tag: int
    physical: list[int]
    blocks: list[tuple[str, Int[np.ndarray, " _"], Rows]]  # type, element numbers, vertices


def write_gmsh(path: Path, frames: Frames) -> None:
    """Write one state. Element numbers count the cells, then the groups of lower dimension.

    Arrays become views, with zeros up to 3 or 9 components.

    Raises:
        ValueError: a group name with a quotation mark; an array of more than 9 components.
    """
    mesh = frames.mesh
    entities = _entities(mesh)
    body = b"".join(
        [
            b"$MeshFormat\n4.1 1 8\n" + np.array(1, "<i4").tobytes() + b"\n$EndMeshFormat\n",
            _names(mesh),
            _section("Entities", _entity_table(mesh, entities)),
            _section("Nodes", _nodes(mesh)),
            _section("Elements", _elements(entities)),
            *(_view("NodeData", name, array) for name, array in frames.point.items()),
            *(_view("ElementData", name, array) for name, array in frames.cell.items()),
        ]
    )
    with replacing(path) as aside:
        aside.write_bytes(body)


def _entities(mesh: Mesh) -> list[_Entity]:
    """The cells, then what only groups hold; each once, with all groups that it is in."""
    entities, number = [], 1
    for dim in range(mesh.dim, -1, -1):
        named = {
            tag: group.cells
            for tag, group in enumerate(mesh.groups.values(), start=1)
            if group.dim == dim
        }
        found: dict[tuple[int, ...], list[tuple[str, np.ndarray, Rows]]] = {}
        cells = mesh.cells if dim == mesh.dim else _union(list(named.values()), mesh.num_nodes)
        for kind, rows in cells.items():
            member = np.zeros((len(rows), len(named)), bool)
            for column, part in enumerate(named.values()):
                place = match_rows(part.get(kind, rows[:0]), rows, mesh.num_nodes)
                member[place[place >= 0], column] = True
            for chosen in _alike(member):
                tags = tuple(np.array(list(named))[member[chosen[0]]].tolist())
                found.setdefault(tags, []).append((kind, number + chosen, rows[chosen]))
            number += len(rows)
        parts = enumerate(found.items(), start=1)
        entities += [_Entity(dim, i, list(tags), blocks) for i, (tags, blocks) in parts]
    return entities


def _union(parts: list[Cells], num_nodes: int) -> Cells:
    """Rows of several groups by type, each once."""
    cells = {}
    for kind in {kind: None for part in parts for kind in part}:
        rows = np.concatenate([part[kind] for part in parts if kind in part])
        first = np.unique(row_keys(rows, num_nodes), return_index=True)[1]
        cells[kind] = rows[np.sort(first)]
    return cells


def _alike(member: Bool[np.ndarray, "M G"]) -> list[Int[np.ndarray, " _"]]:
    """Positions of the rows that are equal, for every row that occurs."""
    code = np.zeros(len(member), np.int64)
    for column in member.T:
        code = np.unique(2 * code + column, return_inverse=True)[1]
    return [np.flatnonzero(code == value) for value in np.unique(code)]


def _names(mesh: Mesh) -> bytes:
    for name in mesh.groups:
        if '"' in name or "\n" in name:
            raise ValueError(f"group {name!r}: .msh files allow no quotation mark in names")
    lines = [
        f'{group.dim} {tag} "{name}"\n'
        for tag, (name, group) in enumerate(mesh.groups.items(), start=1)
    ]
    return _section("PhysicalNames", f"{len(lines)}\n{''.join(lines)}".encode(), "")


def _entity_table(mesh: Mesh, entities: list[_Entity]) -> bytes:
    points = in_space(mesh.points)
    parts = [_sizes(*(sum(e.dim == dim for e in entities) for dim in range(4)))]
    for entity in sorted(entities, key=lambda e: e.dim):
        nodes = points[np.concatenate([rows.ravel() for _, _, rows in entity.blocks])]
        box = [nodes.min(axis=0), nodes.max(axis=0)] if entity.dim else [nodes[0]]
        parts += [
            _ints(entity.tag),
            np.concatenate(box).astype("<f8").tobytes(),
            _sizes(len(entity.physical)),
            _ints(*entity.physical),
            _sizes(0) if entity.dim else b"",  # entities that bound it
        ]
    return b"".join(parts)


def _nodes(mesh: Mesh) -> bytes:
    """All nodes in one block, on the first entity of the cells."""
    count = mesh.num_nodes
    head = _sizes(1, count, 1, count) + _ints(mesh.dim, 1, 0) + _sizes(count)
    return (
        head
        + np.arange(1, count + 1, dtype="<u8").tobytes()
        + in_space(mesh.points).astype("<f8").tobytes()
    )


def _elements(entities: list[_Entity]) -> bytes:
    blocks = [(entity, *block) for entity in entities for block in entity.blocks]
    count = sum(len(rows) for *_, rows in blocks)
    parts = [_sizes(len(blocks), count, 1, count)]
    for entity, kind, numbers, rows in blocks:
        parts += [_ints(entity.dim, entity.tag, LINEAR[kind]), _sizes(len(rows))]
        parts.append(np.column_stack([numbers, rows + 1]).astype("<u8").tobytes())
    return b"".join(parts)


def _view(section: str, name: str, array: np.ndarray) -> bytes:
    values = array.reshape(len(array), -1).astype(np.float64)
    columns = next((c for c in _COLUMNS if c >= values.shape[1]), None)
    if columns is None:
        raise ValueError(f"array {name!r}: .msh files allow 9 components, got {values.shape[1]}")
    rows = np.zeros(len(values), [("tag", "<i4"), ("value", "<f8", (columns,))])
    rows["tag"] = np.arange(1, len(values) + 1)
    rows["value"][:, : values.shape[1]] = values
    title = name.replace('"', "'").replace("\n", " ")
    head = f'1\n"{title}"\n1\n0.0\n3\n0\n{columns}\n{len(values)}\n'
    return _section(section, head.encode() + rows.tobytes())


def _section(name: str, contents: bytes, end: str = "\n") -> bytes:
    return f"${name}\n".encode() + contents + f"{end}$End{name}\n".encode()


def _ints(*values: int) -> bytes:
    return np.array(values, "<i4").tobytes()


def _sizes(*values: int) -> bytes:
    return np.array(values, "<u8").tobytes()

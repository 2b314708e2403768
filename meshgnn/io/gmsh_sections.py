"""The sections of gmsh .msh files, versions 2 and 4.1, ASCII and binary.

Source: gmsh reference manual, section "Gmsh file formats" (MSH 2 and MSH 4.1).
"""

import re
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int

from meshgnn.io.gmsh_numbers import Numbers
from meshgnn.io.gmsh_types import element
from meshgnn.io.raw import Rows

_SECTION = re.compile(rb"^\$(?!End)(\w+)[ \t\r]*\n", re.MULTILINE)


@dataclass
class Elements:
    """Elements of one type that are in the same groups, by their numbers in the file.

    In version 2 an element of several groups occurs once in each, its region.
    """

    kind: str
    ids: Int[np.ndarray, " M"]
    rows: Rows
    physical: list[int]
    region: int = 0


@dataclass
class Found:
    """What the sections of a file have given so far."""

    names: dict[tuple[int, int], str] = field(default_factory=dict)
    physical: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    tags: list[np.ndarray] = field(default_factory=list)
    points: list[np.ndarray] = field(default_factory=list)
    elements: list[Elements] = field(default_factory=list)
    data: dict[str, dict[str, list[tuple[np.ndarray, np.ndarray]]]] = field(
        default_factory=lambda: {"NodeData": {}, "ElementData": {}}
    )


def read_sections(data: bytes) -> Found:
    """All sections of a file, in their order.

    Raises:
        ValueError: another version, a section that ends too early, an element of an unknown type.
    """
    version, order, size = _header(data)
    found, at = Found(), 0
    sections = _SECTIONS_4 if version == "4.1" else _SECTIONS_2
    while match := _SECTION.search(data, at):
        name, start = match[1].decode(), match.end()
        # Binary contents may hold "$End" by chance, ASCII files misspell what follows it.
        at = end = data.find(b"$End" + match[1] if order else b"$End", start)
        if end < 0:
            raise ValueError(f"section ${name} is not closed; the file was cut off")
        if name == "PhysicalNames":
            _names(data[start:end].decode("utf-8", "replace"), found)
        elif name == "ParametricNodes":
            raise ValueError("parametric nodes are read in version 4.1 only; save it as such")
        elif name in found.data:
            at = _data(found.data[name], data, start, end, order)
        elif name in sections:
            numbers = Numbers(data, start, end, order, size)
            sections[name](numbers, found)
            at = numbers.at if order else end
    return found


def _header(data: bytes) -> tuple[str, str, int]:
    """Version, byte order ("" for ASCII) and size of size_t."""
    match = re.search(rb"\$MeshFormat\s+([\d.]+)\s+([01])\s+(\d+)[ \t\r]*\n(....)", data, re.DOTALL)
    if match is None:
        raise ValueError("no $MeshFormat section; files of version 1 must be saved anew by gmsh")
    version = match[1].decode()
    if version.split(".")[0] != "2" and version not in ("4", "4.1"):
        raise ValueError(
            f"expected .msh of version 2 or 4.1, got {version}; convert it: "
            "gmsh old.msh -save -format msh41 -o new.msh"
        )
    order = ("<" if match[4] == b"\1\0\0\0" else ">") if match[2] == b"1" else ""
    return ("2" if version[0] == "2" else "4.1"), order, int(match[3])


def _names(text: str, found: Found) -> None:
    for dim, tag, name in re.findall(r'(\d+)\s+(-?\d+)\s+"(.*)"', text):
        found.names[int(dim), abs(int(tag))] = name


def _entities(numbers: Numbers, found: Found, partitioned: bool = False) -> None:
    if partitioned:
        numbers.sizes(1)
        numbers.integers(2 * numbers.sizes(1)[0])  # ghost entities
    for dim, count in enumerate(numbers.sizes(4)):
        for _ in range(count):
            tag = numbers.integers(1)[0]
            if partitioned:
                numbers.integers(2)
                numbers.integers(numbers.sizes(1)[0])
            numbers.take(6 if dim else 3, "f8")  # the bounding box
            tags = numbers.integers(numbers.sizes(1)[0])
            found.physical[dim, tag] = sorted({abs(t) for t in tags})
            if dim:
                numbers.integers(numbers.sizes(1)[0])


def _partitioned_entities(numbers: Numbers, found: Found) -> None:
    _entities(numbers, found, partitioned=True)


def _nodes_4(numbers: Numbers, found: Found) -> None:
    for _ in range(numbers.sizes(4)[0]):
        dim, _, parametric = numbers.integers(3)
        count = numbers.sizes(1)[0]
        found.tags.append(numbers.take(count, "size"))
        columns = 3 + (dim if parametric else 0)
        found.points.append(numbers.take(count * columns, "f8").reshape(count, columns)[:, :3])


def _elements_4(numbers: Numbers, found: Found) -> None:
    for _ in range(numbers.sizes(4)[0]):
        dim, entity, number = numbers.integers(3)
        kind, nodes = element(number)
        count = numbers.sizes(1)[0]
        rows = numbers.take(count * (1 + nodes), "size").reshape(count, 1 + nodes)
        physical = found.physical.get((dim, entity), [])
        found.elements.append(Elements(kind, rows[:, 0], rows[:, 1:], physical))


def _nodes_2(numbers: Numbers, found: Found) -> None:
    tags, points = numbers.records(numbers.line(), 3)
    found.tags.append(tags)
    found.points.append(points)


def _elements_2(numbers: Numbers, found: Found) -> None:
    runs: dict[tuple[int, int], list[Rows]] = {}
    count = numbers.line()
    flat, at = numbers.ahead(), 0
    while count > 0:
        # binary: type, how many, number of tags, and then each element's number, tags and nodes;
        # ASCII: number, type, number of tags, tags, nodes
        head = _following(flat, at, 3)[:3].tolist()
        number, length, tags = head if numbers.binary else (head[1], 1, head[2])
        width = 1 + tags + element(number)[1]
        record = 2 + numbers.binary + length * width
        block = _like_the_first(_following(flat, at, record), record, numbers.binary)
        block = block[: -(-count // length)]
        rows = block[:, 3:] if numbers.binary else np.delete(block, [1, 2], axis=1)
        runs.setdefault((number, tags), []).append(rows.reshape(-1, width))
        count, at = count - length * len(block), at + block.size
    numbers.skip(at)
    for (number, tags), blocks in runs.items():
        rows = np.concatenate(blocks).astype(np.int64)
        physical = np.abs(rows[:, 1]) if tags else np.zeros(len(rows), np.int64)
        for tag in np.unique(physical).tolist():
            chosen = rows[physical == tag]
            listed = [tag] if tag else []
            part = Elements(element(number)[0], chosen[:, 0], chosen[:, 1 + tags :], listed, tag)
            found.elements.append(part)


def _following(flat: Int[np.ndarray, " K"], at: int, least: int) -> Int[np.ndarray, " _"]:
    if at + least > len(flat):
        raise ValueError("section $Elements ends too early; the file was cut off")
    return flat[at:]


def _like_the_first(flat: Int[np.ndarray, " K"], width: int, binary: bool) -> Rows:
    """The records from the front on whose type and number of tags are those of the first."""
    columns, size = ([0, 1, 2] if binary else [1, 2]), 1024
    while True:
        block = flat[: size * width]
        block = block[: len(block) // width * width].reshape(-1, width)
        other = np.flatnonzero((block[:, columns] != block[:1, columns]).any(axis=1))
        if len(other):
            return block[: other[0]]
        if len(block) < size:
            return block
        size *= 4


def _data(
    views: dict[str, list[tuple[np.ndarray, np.ndarray]]],
    data: bytes,
    start: int,
    end: int,
    order: str,
) -> int:
    """One array of numbers at nodes or elements; where it ends."""

    def line() -> str:
        nonlocal start
        stop = data.index(b"\n", start)
        text, start = data[start:stop], stop + 1
        return text.decode("utf-8", "replace").strip()

    name = ([line().strip('"') for _ in range(int(line()))] or ["data"])[0]
    for _ in range(int(line())):
        line()
    _, components, count = [int(line()) for _ in range(int(line()))][:3]
    numbers = Numbers(data, start, end, order, 8)
    views.setdefault(name, []).append(numbers.records(count, components))
    return numbers.at if order else end


_SECTIONS_4 = {
    "Entities": _entities,
    "PartitionedEntities": _partitioned_entities,
    "Nodes": _nodes_4,
    "Elements": _elements_4,
}
_SECTIONS_2 = {"Nodes": _nodes_2, "Elements": _elements_2}

"""`Group`: a named part of a mesh; and where its entities are among cells and facets."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Int

from meshgnn.mesh import checks
from meshgnn.mesh.cells import KINDS
from meshgnn.mesh.topology import Cells, match_rows

T = TypeVar("T")


def derived(function: Callable[[Any], T]) -> cached_property[T]:
    """A cached property whose array is read-only: what is cached must not be changed."""

    @wraps(function)
    def compute(self: Any) -> T:
        result = function(self)
        arrays: Any = result.values() if isinstance(result, dict) else [result]
        for array in arrays:
            array.setflags(write=False)
        return result

    return cached_property(compute)


@dataclass(frozen=True, eq=False)
class Group:
    """A named part of a mesh, carried by connectivity (never recognised by its vertices' tags).

    Args:
        dim: 0 points, 1 curves, 2 surfaces, 3 volumes.
        cells: {meshio name: [M, k]} vertices of its entities, all of dimension `dim`.

    Raises:
        ValueError: an unknown cell type, one of another dimension, or a wrong shape.
    """

    dim: int
    cells: dict[str, Int[np.ndarray, "_ _"]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "cells", checks.blocks(self.cells, f"Group of dim {self.dim}"))
        checks.dimension(self.cells, f"Group of dim {self.dim}", self.dim)

    def __reduce__(self) -> tuple[Any, ...]:
        return Group, (self.dim, self.cells)


def check_groups(groups: dict[str, Group], dim: int, num_nodes: int) -> None:
    """Raises: ValueError: a group of a higher dimension than the cells, or of other vertices."""
    for name, group in groups.items():
        checks.indices(group.cells, num_nodes, f"group {name!r}")
        if group.dim > dim:
            raise ValueError(
                f"group {name!r} has dim {group.dim}, but the cells of the mesh have dim {dim}; "
                "give the mesh the cells of the highest dimension"
            )


def labels(named: dict[str, set[int]], dim: int, stacklevel: int) -> dict[tuple[str, int], str]:
    """{(name, dimension): label}, one dimension for each label, in the order of the names.

    Of a name that is used in several dimensions the boundary part of a mesh of dimension `dim`
    keeps it, as a boundary condition would be put on that; the others get the kind behind it, with
    a warning.
    """
    found = {}
    for name, dims in named.items():
        first, *others = sorted(dims, key=lambda d: (d != dim - 1, d))
        found[name, first] = name
        for d in others:
            label = f"{name}_{KINDS[d]}"
            while label in named:
                label += "_"
            found[name, d] = label
            warnings.warn(
                f"group {name!r} exists in dimensions {first} and {d}: the one of "
                f"dimension {d} is renamed {label!r}",
                stacklevel=stacklevel + 1,
            )
    return found


def lookup(groups: dict[str, Group], name: str, dim: int | None = None) -> Group:
    """The group of this name, of dimension `dim` where one is asked for.

    Raises:
        ValueError: there is none; the message lists the names there are.
    """
    there = ", ".join(f"{n!r} (dim {g.dim})" for n, g in groups.items()) or "none"
    if name not in groups:
        raise ValueError(f"no group {name!r} in this mesh; its groups: {there}")
    if dim is not None and groups[name].dim != dim:
        raise ValueError(
            f"group {name!r} has dim {groups[name].dim}, expected dim {dim}; groups: {there}"
        )
    return groups[name]


def nodes(cells: Cells) -> Int[np.ndarray, " K"]:
    """The vertices that occur, ascending."""
    return _distinct([block.ravel() for block in cells.values()])


def _distinct(parts: list[np.ndarray]) -> Int[np.ndarray, " K"]:
    # as np.unique, which hashes, but in linear time for indices
    indices = np.concatenate([np.zeros(0, np.int64), *parts])
    there = np.zeros(indices.max(initial=-1) + 1, dtype=bool)
    there[indices] = True
    return np.flatnonzero(there)


def locate(part: Cells, whole: Cells, num_nodes: int) -> tuple[Int[np.ndarray, " K"], int]:
    """Positions of the rows of `part` among all rows of `whole`, ascending; how many are not."""
    found, start = [], 0
    for name, block in whole.items():
        place = match_rows(part.get(name, block[:0]), block, num_nodes)
        found.append(place[place >= 0] + start)
        start += len(block)
    missing = sum(len(block) for block in part.values()) - sum(len(place) for place in found)
    return _distinct(found), missing


def cell_positions(name: str, group: Group, cells: Cells, num_nodes: int) -> Int[np.ndarray, " K"]:
    """Positions of the cells of a group of the highest dimension, ascending.

    Raises:
        ValueError: cells of the group that the mesh does not have.
    """
    found, missing = locate(group.cells, cells, num_nodes)
    if missing:
        raise ValueError(
            f"group {name!r}: {missing} of its cells do not occur in "
            "Mesh.cells; list the connectivity of cells of the mesh"
        )
    return found

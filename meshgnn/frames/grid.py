"""The VTK form of a mesh: an unstructured grid of flat arrays, groups in a table beside it."""

import json
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np
from jaxtyping import Float, Int, UInt8

from meshgnn.frames.frames import Frames
from meshgnn.mesh import CELL_TYPES, Group, Mesh

# Our names are meshio's. The vertex order of the linear cells is VTK's own; that of wedges is the
# one for which vtkWedge computes a positive volume and outward facets (its documentation and meshio
# have it mirrored).
VTK_TYPES = {
    "vertex": 1,
    "line": 3,
    "triangle": 5,
    "quad": 9,
    "tetra": 10,
    "hexahedron": 12,
    "wedge": 13,
    "pyramid": 14,
}


def in_space(points: Float[np.ndarray, "*T N d"]) -> Float[np.ndarray, "*T N 3"]:
    """Points with zeros for the coordinates up to the third, as VTK wants them."""
    return np.pad(points, [(0, 0)] * (points.ndim - 1) + [(0, 3 - points.shape[-1])])


def flattened(
    mesh: Mesh,
) -> tuple[Int[np.ndarray, " L"], Int[np.ndarray, " M_plus_1"], UInt8[np.ndarray, " M"]]:
    """Cells in VTK's form: connectivity, offsets (the first is 0) and types."""
    sizes = [np.full(len(block), block.shape[1]) for block in mesh.cells.values()]
    types = [np.full(len(block), VTK_TYPES[name], np.uint8) for name, block in mesh.cells.items()]
    connectivity = np.concatenate([block.ravel() for block in mesh.cells.values()])
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
    return connectivity, offsets, np.concatenate(types)


def marks(mesh: Mesh) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Groups for the eye: {"group:name": 0 or 1} at the nodes, on the cells for regions."""
    point, cell = {}, {}
    for name, group in mesh.groups.items():
        if group.dim == mesh.dim:
            cell[f"group:{name}"] = np.zeros(mesh.num_cells, np.uint8)
            cell[f"group:{name}"][mesh.cells_of(name)] = 1
        else:
            point[f"group:{name}"] = np.zeros(mesh.num_nodes, np.uint8)
            point[f"group:{name}"][mesh.nodes_of(name)] = 1
    return point, cell


def packed(frames: Frames) -> tuple[bytes, Int[np.ndarray, " L"]]:
    """What a VTK grid has no place for: an index as JSON, the groups' connectivity in a row.

    The index says which grid it belongs to, so that groups are not put on another one.

    Raises:
        TypeError: meta that JSON cannot hold.
    """
    mesh = frames.mesh
    groups = [
        [name, group.dim, [[kind, len(block)] for kind, block in group.cells.items()]]
        for name, group in mesh.groups.items()
    ]
    rows = [block.ravel() for group in mesh.groups.values() for block in group.cells.values()]
    static = [
        [name for name, array in arrays.items() if not frames.over_time(array, count)]
        for arrays, count in ((frames.point, mesh.num_nodes), (frames.cell, mesh.num_cells))
    ]
    index = {
        "grid": [*mesh.points.shape, _crc(flattened(mesh)[0])],
        "groups": groups,
        "series": frames.times is not None,
        "static": static,
        "moving": frames.points is not None,
        "meta": frames.meta,
    }
    text = json.dumps(index, default=_plain).encode()
    return text, np.concatenate([np.zeros(0, np.int64), *rows])


@dataclass(frozen=True, eq=False)
class Grid:
    """An unstructured grid as it is in a file, whoever wrote it.

    Args:
        points: [N, 3], the first ones where they move.
        connectivity: [L] vertices of all cells, one cell after the other.
        offsets: [M + 1] where each cell begins in it.
        types: [M] VTK's numbers of the cell types.
        point, cell: {name: [N, ...]}, or {name: [T, N, ...]} with times; the same with M.
        times: [T] or None.
        moving: [T, N, 3] points where they change with time.
        extra: arrays that were beside the grid.
        index: what `packed` put down; {} in a file from elsewhere.
        groups: the connectivity of the groups.
    """

    points: Float[np.ndarray, "N 3"]
    connectivity: Int[np.ndarray, " L"]
    offsets: Int[np.ndarray, " M_plus_1"]
    types: UInt8[np.ndarray, " M"]
    point: dict[str, np.ndarray] = field(default_factory=dict)
    cell: dict[str, np.ndarray] = field(default_factory=dict)
    times: Float[np.ndarray, " T"] | None = None
    moving: Float[np.ndarray, "T N 3"] | None = None
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    index: dict[str, Any] = field(default_factory=dict)
    groups: Int[np.ndarray, " _"] = field(default_factory=lambda: np.zeros(0, np.int64))

    def blocks(self) -> list[tuple[int, Int[np.ndarray, "_ _"], Int[np.ndarray, " _"]]]:
        """Cells of one type and size together: (VTK type, vertices, positions), as they appear."""
        sizes = np.diff(self.offsets)
        kinds, first = np.unique(self.types.astype(np.int64) * 1_000_000 + sizes, return_index=True)
        found = []
        for kind in kinds[np.argsort(first)]:
            number, size = divmod(int(kind), 1_000_000)
            place = np.flatnonzero((self.types == number) & (sizes == size))
            rows = self.connectivity[self.offsets[place][:, None] + np.arange(size)]
            found.append((number, rows, place))
        return found

    def frames(self) -> Frames | None:
        """What was written, to the last bit; None for a grid from elsewhere or changed since."""
        if not self.index or not self._unchanged():
            return None
        mesh = self._mesh()
        hidden = {f"group:{name.replace('/', '_')}" for name in mesh.groups}
        point, cell = (
            {
                name: array[0] if self.times is not None and name in static else array
                for name, array in arrays.items()
                if name not in hidden
            }
            for arrays, static in zip((self.point, self.cell), self.index["static"], strict=True)
        )
        moving = None
        if self.index["moving"]:
            moving = self.points[None] if self.moving is None else self.moving
            moving = moving[:, :, : mesh.points.shape[1]]
        return Frames(mesh, point, cell, self.times, moving, self.extra, self.index["meta"])

    def _unchanged(self) -> bool:
        nodes, _, crc = self.index["grid"]
        return nodes == len(self.points) and crc == _crc(self.connectivity)

    def _mesh(self) -> Mesh:
        names = {number: name for name, number in VTK_TYPES.items()}
        cells = {names[number]: rows for number, rows, _ in self.blocks()}
        groups, start = {}, 0
        for name, dim, blocks in self.index["groups"]:
            parts = {}
            for kind, count in blocks:
                size = count * CELL_TYPES[kind].size
                parts[kind] = self.groups[start : start + size].reshape(count, -1)
                start += size
            groups[name] = Group(dim, parts)
        points = np.ascontiguousarray(self.points[:, : self.index["grid"][1]])
        mesh = Mesh(points, cells, groups)
        if mesh.points.shape == points.shape:
            return mesh
        # A mesh that was moved into a plane keeps its d, which the constructor would drop.
        lifted = points.copy()
        lifted[:, -1] = 1
        return Mesh(lifted, cells, groups).moved(points)


def _crc(connectivity: Int[np.ndarray, " L"]) -> int:
    return crc32(np.ascontiguousarray(connectivity, np.int64).data)


def _plain(value: Any) -> Any:
    """NumPy numbers and arrays as JSON has them."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"meta: expected what JSON can hold, got {type(value).__name__}: {value!r}")

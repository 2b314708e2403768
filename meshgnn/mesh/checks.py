"""What is asked of the arrays of a mesh, and of a mesh that is to carry a solution."""

import numpy as np
from jaxtyping import Float, Int

from meshgnn.mesh.cells import cell_type
from meshgnn.mesh.topology import Cells, half_facets, match_rows, row_keys


def owned(array: np.ndarray, dtype: type) -> np.ndarray:
    """A contiguous read-only array; a copy wherever the caller could still write to it."""
    if array.flags.writeable or array.dtype != dtype or not array.flags.c_contiguous:
        array = np.array(array, dtype=dtype, order="C")
        array.setflags(write=False)
    return array


def blocks(cells: dict[str, np.ndarray], who: str) -> dict[str, Int[np.ndarray, "_ _"]]:
    """Cell blocks as read-only int64, empty ones left out.

    Raises:
        ValueError: an unknown cell type, a wrong number of columns, indices that are not integers.
    """
    result = {}
    for name, block in cells.items():
        size = cell_type(name).size
        if block.ndim != 2 or block.shape[1] != size:
            raise ValueError(f"{who}: expected {name} of shape [M, {size}], got {block.shape}")
        if not np.issubdtype(block.dtype, np.integer):
            raise ValueError(f"{who}: expected integer vertices of {name}, got {block.dtype}")
        if len(block):
            result[name] = owned(block, np.int64)
    return result


def dimension(cells: Cells, who: str, dim: int) -> None:
    """Raises: ValueError: a block of cells of another dimension than `dim`."""
    for name in cells:
        if cell_type(name).dim != dim:
            raise ValueError(
                f"{who}: {name} has dimension {cell_type(name).dim}, expected {dim} only; cells of "
                "other dimensions belong into groups of their own"
            )


def indices(cells: Cells, num_nodes: int, who: str) -> None:
    """Raises: ValueError: a vertex that is not in 0 ... num_nodes - 1."""
    for name, block in cells.items():
        wrong = np.flatnonzero((block < 0).any(axis=1) | (block >= num_nodes).any(axis=1))
        if len(wrong):
            raise ValueError(
                f"{who}: {len(wrong)} {name} name vertices outside 0 ... {num_nodes - 1}, the "
                f"first is number {wrong[0]}: {block[wrong[0]].tolist()}; vertices count from 0"
            )


def coordinates(points: np.ndarray, dim: int, least: int) -> Float[np.ndarray, "N d"]:
    """Read-only float64 points, less the last coordinates that are 0 everywhere (d >= least).

    Raises:
        ValueError: points that are not finite, or with fewer than `dim` or more than 3 coordinates.
    """
    d = points.shape[1] if points.ndim == 2 else 0
    if not dim <= d <= 3:
        raise ValueError(
            f"Mesh: points of cells of dimension {dim} need {dim} to 3 coordinates, got shape "
            f"{points.shape}"
        )
    wrong = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(wrong):
        raise ValueError(
            f"Mesh: {len(wrong)} points are NaN or infinite, the first is number {wrong[0]}: "
            f"{points[wrong[0]].tolist()}; remove or repair them"
        )
    while d > least and not points[:, d - 1].any():
        d -= 1
    return owned(points[:, :d], np.float64)


def _some(numbers: np.ndarray) -> str:
    shown = ", ".join(str(int(n)) for n in numbers[:10])
    return shown + (", ..." if len(numbers) > 10 else "")


def connected(cells: Cells, components: Int[np.ndarray, " N"]) -> None:
    """Raises: ValueError: nodes of no cell; a mesh in several pieces."""
    used = np.zeros(len(components), dtype=bool)
    for block in cells.values():
        used[block] = True
    if not used.all():
        lost = np.flatnonzero(~used)
        raise ValueError(
            f"{len(lost)} nodes belong to no cell: {_some(lost)}; drop them, as meshgnn.read does"
        )
    sizes = np.sort(np.bincount(components))[::-1]
    if len(sizes) > 1:
        raise ValueError(
            f"the mesh is disconnected: {len(sizes)} components of {_some(sizes)} nodes; join them "
            "(in gmsh: BooleanFragments, Coherence) or solve on each alone"
        )


def upright(
    quality: Float[np.ndarray, " M"],
    volumes: Float[np.ndarray, " S"],
    owners: Int[np.ndarray, " S"],
) -> None:
    """Raises: ValueError: inverted or degenerate cells, or simplices (`volumes`) of them."""
    bad = np.flatnonzero(quality <= 0)
    if len(bad):
        raise ValueError(
            f"{len(bad)} of {len(quality)} cells are inverted or degenerate (Mesh.quality <= 0): "
            f"{_some(bad)}; repair the mesh, or try Mesh.oriented() if only the vertex order is off"
        )
    # a warped cell may have good corners and still be split into an inverted simplex
    warped = np.unique(owners[volumes <= 0])
    if len(warped):
        raise ValueError(
            f"{len(warped)} of {len(quality)} cells have upright corners (Mesh.quality > 0) but are"
            " so warped that their split has inverted or degenerate simplices "
            "(Mesh.simplex_volumes <= 0), which nodal masses and gradients are taken from: "
            f"{_some(warped)}; make the mesh finer or smoother there"
        )


def conforming(cells: Cells, facets: Cells, num_nodes: int) -> None:
    """Whether cells of dimension d meet in whole facets, given the boundary facets.

    Raises:
        ValueError: facets shared by three cells or more; triangular boundary facets that lie on
            quadrilateral ones, where cells that touch are not joined.
    """
    for name, (rows, owner) in half_facets(cells).items():
        keys = row_keys(rows, num_nodes)
        _, place, counts = np.unique(keys, return_inverse=True, return_counts=True)
        crowded = counts[place] > 2
        if crowded.any():
            raise ValueError(
                f"{(counts > 2).sum()} {name} facets are shared by three cells or more, of cells "
                f"{_some(np.unique(owner[crowded]))}; remove cells that overlap or occur twice"
            )
    if {"triangle", "quad"} <= set(facets):
        halves = facets["quad"][:, [[0, 1, 2], [1, 2, 3], [2, 3, 0], [3, 0, 1]]].reshape(-1, 3)
        lying = match_rows(facets["triangle"], halves, num_nodes) >= 0
        if lying.any():
            raise ValueError(
                f"{lying.sum()} triangular facets lie on quadrilateral ones, at nodes "
                f"{_some(np.unique(facets['triangle'][lying]))}: the cells on the two sides are "
                "not joined; put pyramids between them"
            )

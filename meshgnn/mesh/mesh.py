"""`Mesh`: points, cells of one dimension, named groups; everything else is derived and cached."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from meshgnn.mesh import checks, measures, orientation, refinement, topology
from meshgnn.mesh.cells import cell_type
from meshgnn.mesh.groups import Group, cell_positions, check_groups, derived, locate, lookup, nodes
from meshgnn.mesh.topology import Cells


@dataclass(frozen=True, eq=False, repr=False)
class Mesh:
    """Points x_i, cells of one dimension and named groups. Nothing mutates: arrays are read-only.

    Facets are the sides of the cells (points of a line, lines of a triangle). Where an array runs
    over all cells or all boundary facets, its order is that of the blocks in their dict, one after
    the other. Lengths are in the unit of `points`.

    Args:
        points: [N, d], d = 1, 2, 3; trailing coordinates that vanish everywhere are dropped (never
            below the dimension of the cells), so a flat mesh is 2D and a surface in space 3D.
        cells: {meshio name: [M, k]}, linear types of one dimension in meshio's (VTK's) vertex
            order. Empty blocks are left out.
        groups: {name: Group} of every dimension. Without a group of dimension dim - 1 the group
            "boundary" is added: all boundary facets, where there are any ("boundary_facets" when a
            group of another dimension is called "boundary").

    Raises:
        ValueError: no cells, cells of several dimensions or unknown types, indices out of range,
            points that are not finite, groups of a higher dimension than the cells.
    """

    points: Float[np.ndarray, "N d"]
    cells: dict[str, Int[np.ndarray, "_ _"]]
    groups: dict[str, Group] = field(default_factory=dict)

    def __post_init__(self) -> None:
        cells = checks.blocks(self.cells, "Mesh")
        if not cells or "vertex" in cells:
            raise ValueError(
                "Mesh: expected cells of dimension 1, 2 or 3, got "
                f"{', '.join(cells) or 'no cells'}; points without cells are no mesh"
            )
        dim = max(cell_type(name).dim for name in cells)
        checks.dimension(cells, "Mesh cells", dim)
        checks.indices(cells, len(self.points), "Mesh cells")
        object.__setattr__(self, "points", checks.coordinates(self.points, dim, dim))
        object.__setattr__(self, "cells", cells)
        check_groups(self.groups, dim, self.num_nodes)
        groups = dict(self.groups)
        if all(group.dim != dim - 1 for group in groups.values()) and self.boundary_facets:
            name = "boundary_facets" if "boundary" in groups else "boundary"
            groups[name] = Group(dim - 1, self.boundary_facets)
        object.__setattr__(self, "groups", groups)

    @cached_property
    def dim(self) -> int:
        """Topological dimension of the cells, at most d."""
        return max(cell_type(name).dim for name in self.cells)

    @property
    def num_nodes(self) -> int:
        """Number of points N."""
        return len(self.points)

    @property
    def num_cells(self) -> int:
        """Number of cells M."""
        return sum(len(block) for block in self.cells.values())

    @derived
    def edges(self) -> Int[np.ndarray, "E 2"]:
        """Edges (i, j) of the cells, i < j, sorted; a quad has 4 and never a diagonal."""
        return topology.unique_edges(self.cells, self.num_nodes)

    @derived
    def components(self) -> Int[np.ndarray, " N"]:
        """Label 0, 1, ... of the connected component of every node (through cells)."""
        return topology.node_components(self.edges, self.num_nodes)

    @cached_property
    def _split(self) -> tuple[np.ndarray, np.ndarray]:
        return topology.simplices(self.cells)

    @derived
    def simplices(self) -> Int[np.ndarray, "S n"]:
        """Split of the cells into simplices that conform, see `topology.split`; P1 lives on it."""
        return self._split[0]

    @derived
    def simplex_cells(self) -> Int[np.ndarray, " S"]:
        """The cell of every simplex, ascending."""
        return self._split[1]

    @derived
    def simplex_volumes(self) -> Float[np.ndarray, " S"]:
        """|s| of every simplex, signed when dim = d."""
        return measures.simplex_measures(self.points, self.simplices)

    @derived
    def volumes(self) -> Float[np.ndarray, " M"]:
        """Length, area or volume of every cell (of its simplices), signed when dim = d."""
        return np.bincount(self.simplex_cells, self.simplex_volumes, self.num_cells)

    @derived
    def lumped_mass(self) -> Float[np.ndarray, " N"]:
        """m_i = ∫ φ_i dx with the P1 hat functions of the simplices; the sum is the volume."""
        return measures.lumped(self.simplices, self.simplex_volumes, self.num_nodes)

    @derived
    def quality(self) -> Float[np.ndarray, " M"]:
        """Mean ratio of every cell: 1 regular, 0 degenerate, negative inverted; see `measures`."""
        return measures.qualities(self.points, self.cells)

    @cached_property
    def _boundary(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        return topology.boundary(self.cells, self.num_nodes)

    @derived
    def boundary_facet_cells(self) -> Int[np.ndarray, " F"]:
        """The cell that each boundary facet belongs to."""
        return np.concatenate([np.zeros(0, np.int64), *(o for _, o in self._boundary.values())])

    @derived
    def boundary_facets(self) -> dict[str, Int[np.ndarray, "_ _"]]:
        """{type: [F_t, k]} facets of one cell only, wound so that their normal points outward."""
        inverted = np.zeros(self.num_cells, dtype=bool)
        if self.dim == self.points.shape[1]:
            inverted = self.volumes < 0
        return {
            name: np.where(inverted[owner, None], rows[:, list(cell_type(name).flip)], rows)
            for name, (rows, owner) in self._boundary.items()
        }

    @derived
    def facet_normals(self) -> Float[np.ndarray, "F d"]:
        """Unit outward normals n of the boundary facets (conormals on curves and surfaces)."""
        return measures.facet_normals(
            self.points, self.cells, self.boundary_facets, self.boundary_facet_cells
        )

    @cached_property
    def _facet_split(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        parts, facets = topology.simplices(self.boundary_facets)
        return parts, facets, np.abs(measures.simplex_measures(self.points, parts))

    @derived
    def facet_areas(self) -> Float[np.ndarray, " F"]:
        """Area of the boundary facets (of their simplices); length in 2D, 1 for points in 1D.

        Σ_f n_f |f| = 0 over a closed boundary; up to O(h²) where quadrilaterals are warped.
        """
        _, facets, areas = self._facet_split
        # without facets bincount would count in integers
        return np.bincount(facets, areas, len(self.boundary_facet_cells)).astype(np.float64)

    @derived
    def facet_centres(self) -> Float[np.ndarray, "F d"]:
        """Mean of the vertices of each boundary facet."""
        none = np.zeros((0, self.points.shape[1]))
        means = (self.points[rows].mean(axis=1) for rows in self.boundary_facets.values())
        return np.concatenate([none, *means])

    @derived
    def boundary_nodes(self) -> Int[np.ndarray, " B"]:
        """Nodes of the boundary facets, ascending."""
        return nodes(self.boundary_facets)

    @derived
    def node_areas(self) -> Float[np.ndarray, " N"]:
        """a_i = ∫_∂Ω φ_i ds, zero inside; the sum is the area of the boundary."""
        parts, _, areas = self._facet_split
        return measures.lumped(parts, areas, self.num_nodes)

    @derived
    def node_normals(self) -> Float[np.ndarray, "N d"]:
        """Unit mean of the normals of a node's facets, weighted by area; zero inside."""
        return measures.node_normals(self.facet_normals, *self._facet_split, self.num_nodes)

    def nodes_of(self, name: str) -> Int[np.ndarray, " K"]:
        """Nodes of a group, ascending. Raises: ValueError: no group of this name."""
        return nodes(lookup(self.groups, name).cells)

    def facets_of(self, name: str) -> Int[np.ndarray, " K"]:
        """Boundary facets of a group of dimension dim - 1, ascending; without its inner facets.

        Raises: ValueError: no group of this name, or one of another dimension.
        """
        part = lookup(self.groups, name, self.dim - 1).cells
        return locate(part, self.boundary_facets, self.num_nodes)[0]

    def cells_of(self, name: str) -> Int[np.ndarray, " K"]:
        """Cells of a group of dimension dim, ascending.

        Raises: ValueError: no group of this name, one of another dimension or with foreign cells.
        """
        group = lookup(self.groups, name, self.dim)
        return cell_positions(name, group, self.cells, self.num_nodes)

    def moved(self, points: Float[np.ndarray, "N c"]) -> "Mesh":
        """The same cells and groups at other points, whose d is kept as given, flat or not.

        Raises: ValueError: another number of points, points that are not finite, d < dim.
        """
        if len(points) != self.num_nodes:
            raise ValueError(f"Mesh.moved: expected {self.num_nodes} points, got {len(points)}")
        kept = "cells groups dim edges components _split simplices simplex_cells _boundary"
        # cells and groups are checked already and the topology stays: neither is done again
        mesh = object.__new__(Mesh)
        mesh.__dict__.update({k: self.__dict__[k] for k in kept.split() if k in self.__dict__})
        mesh.__dict__["points"] = checks.coordinates(points, self.dim, points.shape[1])
        return mesh

    def refined(self) -> "Mesh":
        """Every cell and group cut in halves along each edge, see `refinement.refined`."""
        return _exactly(*refinement.refined(self.points, self.cells, self.groups))

    def oriented(self) -> "Mesh":
        """The same cells with one orientation, see `orientation.oriented`; itself if they have."""
        cells = orientation.oriented(self.points, self.cells)
        return self if cells is self.cells else _exactly(self.points, cells, self.groups)

    def check(self) -> None:
        """Whether the mesh can carry a finite-element solution.

        Raises: ValueError: nodes of no cell; several components (their sizes); inverted or
            degenerate cells, or simplices of the split of warped ones (indices of the cells);
            cells of dimension d that do not meet in whole facets.
        """
        checks.connected(self.cells, self.components)
        checks.upright(self.quality, self.simplex_volumes, self.simplex_cells)
        if self.dim == self.points.shape[1]:
            checks.conforming(self.cells, self.boundary_facets, self.num_nodes)

    def __repr__(self) -> str:
        cells = ", ".join(f"{len(block)} {name}" for name, block in self.cells.items())
        groups = ", ".join(f"{name!r}: {group.dim}D" for name, group in self.groups.items())
        return f"Mesh({self.num_nodes} nodes in {self.points.shape[1]}D, {cells}, {{{groups}}})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _exactly, (self.points, self.cells, self.groups)


def _exactly(points: np.ndarray, cells: Cells, groups: dict[str, Group]) -> Mesh:
    return Mesh(points, cells, groups).moved(points)

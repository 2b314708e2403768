"""From the nodes of a mesh to those of its graph: one for each class of periodic twins."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from meshgnn.mesh import Mesh, measures, topology
from meshgnn.mesh.periodic import period_of, turns_of
from meshgnn.sample import Sample


@dataclass(frozen=True, eq=False)
class Classes:
    """Which node of the graph every node of a mesh is; the identity where nothing is periodic.

    Args:
        mesh: the mesh.
        twin: `Boundary.twin`: [N], or [0] for no periodicity.
    """

    mesh: Mesh
    twin: Int[np.ndarray, " _"]

    @classmethod
    def of(cls, sample: Sample) -> "Classes":
        return cls(sample.mesh, sample.boundary.twin)

    @cached_property
    def periodic(self) -> bool:
        """Whether any node has a twin."""
        return bool((self.twin != np.arange(len(self.twin))).any())

    @cached_property
    def _unique(self) -> tuple[np.ndarray, np.ndarray]:
        chosen, index = np.unique(self.twin, return_inverse=True)
        return chosen, index

    @property
    def count(self) -> int:
        """Number of nodes of the graph."""
        return len(self._unique[0]) if self.periodic else self.mesh.num_nodes

    def pick(self, values: np.ndarray) -> np.ndarray:
        """Values [N, ...] of the nodes of the mesh to those of the graph, equal at twins."""
        return values[self._unique[0]] if self.periodic else values

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Values [n, ...] of the nodes of the graph to all nodes of the mesh."""
        return values[self._unique[1]] if self.periodic else values

    def sum(self, values: Float[np.ndarray, " N *C"]) -> Float[np.ndarray, " n *C"]:
        """Integrals over the node's part of the mesh, added up over twins."""
        if not self.periodic:
            return values
        out = np.zeros((self.count, *values.shape[1:]))
        np.add.at(out, self._unique[1], values)
        return out

    def nodes(self, indices: Int[np.ndarray, "*shape"]) -> Int[np.ndarray, "*shape"]:
        """Nodes of the mesh to those of the graph."""
        return self._unique[1][indices] if self.periodic else indices

    @cached_property
    def period(self) -> Float[np.ndarray, " d"]:
        """Length of the period along each axis; 0 where there is none."""
        return period_of(self.mesh.points, self.twin)

    @cached_property
    def shifts(self) -> Float[np.ndarray, "N d"]:
        """Whole periods from the node of the graph to the node of the mesh."""
        return turns_of(self.mesh.points, self.twin).astype(np.float64)

    def edges(self) -> tuple[Int[np.ndarray, "E 2"], Float[np.ndarray, "E d"]]:
        """Edges (i, j) of the graph, i < j, sorted, and the periods to add to x_j − x_i.

        Raises:
            ValueError: fewer than three cells across a period, where an edge would not be unique.
        """
        first, second = self.mesh.edges.T
        pairs = self.nodes(self.mesh.edges)
        shift = self.shifts[second] - self.shifts[first]
        turned = pairs[:, 0] > pairs[:, 1]
        pairs, shift = np.sort(pairs, axis=1), np.where(turned[:, None], -shift, shift)
        _, place, back = np.unique(pairs @ (self.count, 1), return_index=True, return_inverse=True)
        if (pairs[:, 0] == pairs[:, 1]).any() or (shift[place][back] != shift).any():
            raise ValueError(
                "to_graph: expected at least three cells across a period, got two nodes with two "
                "edges between them; use a finer mesh"
            )
        return pairs[place], shift[place]

    def boundary(self) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " n"]]:
        """Unit outward normals and boundary measure, without the periodic facets."""
        mesh = self.mesh
        if not self.periodic:
            return mesh.node_normals, mesh.node_areas
        parts, owner = topology.simplices(mesh.boundary_facets)
        areas = np.abs(measures.simplex_measures(mesh.points, parts))
        parts = self.nodes(parts)
        _, back, count = np.unique(
            np.sort(parts, axis=1), axis=0, return_inverse=True, return_counts=True
        )
        once = count[back.ravel()] == 1  # a periodic facet is there twice
        parts, owner, areas = parts[once], owner[once], areas[once]
        normals = measures.node_normals(mesh.facet_normals, parts, owner, areas, self.count)
        return normals, measures.lumped(parts, areas, self.count)

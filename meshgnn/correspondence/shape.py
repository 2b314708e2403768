"""`Shape`: what a correspondence needs of a mesh."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from meshgnn.mesh import Mesh
from meshgnn.mesh.topology import boundary, match_rows, simplices

NO_NAME = "(no name)"


@dataclass(frozen=True, eq=False)
class Shape:
    """A mesh of triangles in the plane or of tetrahedra, with a name on every boundary facet.

    Args:
        points: x [N, d], float64; they may require gradients.
        simplices: [S, d + 1].
        facets: [Q, d] boundary facets, all wound alike.
        names: of each of them; several names of one facet are joined by "+".
    """

    points: Float[Tensor, "N d"]
    simplices: Int[Tensor, "S n"]
    facets: Int[np.ndarray, "Q d"]
    names: list[str]

    @classmethod
    def of(
        cls,
        points: Float[Tensor, "N d"],
        simplices: Int[Tensor, "S n"],
        part_rows: Int[np.ndarray, "P d"],
        parts: Int[np.ndarray, " P"],
        names: list[str],
    ) -> "Shape":
        """From facets of named parts, some of which may lie inside: those are left out.

        Args:
            points: x [N, d].
            simplices: [S, d + 1].
            part_rows: [P, d] facets of parts.
            parts: [P] which of the names each has.
            names: of the parts.

        Raises:
            ValueError: another dimension than 2 or 3, or cells that do not fill it.
        """
        d = points.shape[1]
        if d not in (2, 3) or simplices.shape[1] != d + 1:
            raise ValueError(
                "correspondence: expected triangles in 2D or tetrahedra in 3D, got simplices of "
                f"{simplices.shape[1]} corners in {d}D; curves, and surfaces in space, are not "
                "covered"
            )
        cells = {"triangle" if d == 2 else "tetra": simplices.cpu().numpy()}
        facets = next(iter(boundary(cells, len(points)).values()))[0]
        place = match_rows(part_rows, facets, len(points))
        found: list[set[str]] = [set() for _ in facets]
        for row, part in zip(place[place >= 0], parts[place >= 0], strict=True):
            found[row].add(names[part])
        labels = ["+".join(sorted(names)) or NO_NAME for names in found]
        return cls(points.double(), simplices, facets, labels)

    @classmethod
    def of_mesh(cls, mesh: Mesh) -> "Shape":
        """From a mesh and its groups of the boundary's dimension. Raises: ValueError: as `of`."""
        named = {name: g for name, g in mesh.groups.items() if g.dim == mesh.dim - 1}
        rows = [simplices(group.cells)[0] for group in named.values()]
        every = np.concatenate([np.zeros((0, mesh.dim), np.int64), *rows])
        number = np.repeat(np.arange(len(rows)), np.array([len(r) for r in rows], dtype=np.int64))
        points, cells = torch.tensor(mesh.points), torch.tensor(mesh.simplices)
        return cls.of(points, cells, every, number, list(named))

    @property
    def numbers(self) -> Float[np.ndarray, "N d"]:
        """The points without their gradients."""
        return self.points.detach().cpu().numpy()

"""`CornerCut`: a random Poisson problem on the unit square less rectangles at its corners."""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import sqrt
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from meshgnn.datasets.beno import shapes, volumes
from meshgnn.datasets.beno.lattice import Lattice
from meshgnn.fem import values
from meshgnn.fem.values import Value
from meshgnn.geometry.polygon import Loop, mesh_polygon
from meshgnn.mesh import Mesh
from meshgnn.problems.fields import GaussianField, LoopField
from meshgnn.problems.poisson import Poisson
from meshgnn.sample import Sample


@dataclass(frozen=True, eq=False)
class CornerCut:
    """-∇²u = f in the unit square less rectangles at its corners, u = g or ∂u/∂n = 0 on its sides.

    One problem, on a lattice (finite volumes) and on meshes of its polygon (finite elements); f
    and g are functions of x, so both solve the same one.

    Args:
        cells: N, lattice cells per side that the rectangles are counted in.
        cuts: [4, 2] widths and heights of the rectangles in cells, at the corners (0, 0), (1, 0),
            (1, 1), (0, 1); zeros where nothing is cut.
        f: source, a constant or a function x[..., 2] -> [...]; ∇²u = -f is the published sign.
        g: Dirichlet values, likewise.
        insulated: start of the quarter of the perimeter that has zero flux, in cells from the
            middle of the wall x = 0, counter-clockwise; None without one.
        size: edge length h of the mesh.

    Raises:
        ValueError: rectangles that are not integer, not inside the square, or fewer than 2 cells
            apart; an insulated part that does not begin on the perimeter.
    """

    cells: int
    cuts: Int[np.ndarray, "4 2"]
    f: Value
    g: Value
    insulated: int | None = None
    size: float = 0.045

    def __post_init__(self) -> None:
        if not shapes.apart(self.cuts, self.cells):
            raise ValueError(
                f"CornerCut: expected cuts in a square of {self.cells} cells, {shapes.GAP} or more "
                f"from each other and from the opposite walls, got {self.cuts.tolist()}"
            )
        if self.insulated is not None and not 0 <= self.insulated < 4 * self.cells:
            raise ValueError(
                f"CornerCut: expected insulated to begin at 0 to {4 * self.cells - 1} cells along "
                f"the perimeter, got {self.insulated}"
            )

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        corners: int | None = 4,
        mixed: bool = False,
        *,
        cells: int = 32,
        sides: tuple[int, int] = (4, 14),
        source_length: float = 0.31,
        source_std: float = 0.034,
        source_offset: float = 0.0,
        boundary_length: float = 0.13,
        boundary_max: float = 0.02,
        sizes: tuple[float, float] = (0.03, 0.06),
    ) -> "CornerCut":
        """A random problem with statistics near the published ones.

        f is a Gaussian field with squared-exponential correlation on the square, g one in the arc
        length of the polygon, scaled to its largest value. The published f has a longer range than
        that: source_offset=0.3 with source_length=0.26 comes closer to it.

        Args:
            rng: random numbers.
            corners: how many corners are cut; None draws 0 to 4.
            mixed: whether one quarter of the perimeter is insulated.
            cells: N.
            sides: least and largest side of a rectangle, in cells.
            source_length: correlation length of f.
            source_std: standard deviation of f.
            source_offset: share of its variance that is a constant of the sample.
            boundary_length: correlation length of g.
            boundary_max: largest |g|.
            sizes: range of the mesh's edge length h.

        Raises:
            ValueError: corners other than 0 to 4; sides for which no rectangles keep apart.
        """
        for_shape, for_f, for_g = rng.spawn(3)
        count = int(for_shape.integers(5)) if corners is None else corners
        cuts = shapes.draw(for_shape, count, cells, sides)
        start, size = int(for_shape.integers(4 * cells)), float(for_shape.uniform(*sizes))
        varying = source_std * sqrt(1 - source_offset)
        f = GaussianField.draw(_square(), source_length, varying, for_f)
        if source_offset:
            f = _Shifted(f, float(source_std * sqrt(source_offset) * for_f.standard_normal()))
        shape = cls(cells, cuts, f, 0.0, start if mixed else None, size)
        g = LoopField.draw(shapes.blocks(cuts, cells), boundary_length, boundary_max, for_g)
        return replace(shape, g=g)

    @cached_property
    def corners(self) -> int:
        """Number of corners that are cut."""
        return int((self.cuts > 0).all(axis=1).sum())

    def lattice(self, n: int | None = None) -> Lattice:
        """The cells of width 1/n inside; None is N.

        Raises:
            ValueError: an n whose lattice does not meet the sides of the polygon.
        """
        n = n or self.cells
        begin = (self.insulated or 0) * n
        if (self.cuts * n % self.cells).any() or begin % self.cells or n % 2:
            raise ValueError(
                f"CornerCut: a lattice of {n} cells does not meet the sides of the polygon, or of "
                f"its insulated part, in {self.cells} cells; take an even multiple of that"
            )
        return Lattice.of(shapes.inside(self.cuts * n // self.cells, n))

    def _faces_insulated(self, lattice: Lattice) -> Bool[np.ndarray, " P"]:
        n = lattice.size
        result = np.zeros(4 * n, bool)
        if self.insulated is not None:
            result[(self.insulated * n // self.cells + np.arange(n)) % (4 * n)] = True
        return result

    def lattice_sample(self, n: int | None = None, blurred: bool = False) -> Sample:
        """The solution by finite volumes on the lattice, on its dual mesh; see `Lattice`.

        u is at the cell centres; at a face midpoint g, or the value of the cell where it is
        insulated; at a corner of the polygon the mean of the face midpoints beside it, of the
        Dirichlet ones where there is one. The face order begins in the middle of the wall x = 0.

        Args:
            n: cells per side, N or a multiple; None is N.
            blurred: whether to append the inputs "blur", "blur_x", "blur_y" of -f, see
                `volumes.blurred`; boundary nodes take those of the cells that touch them.

        Raises:
            ValueError: see `lattice`.
        """
        lattice = self.lattice(n)
        count, faces = len(lattice.centres), len(lattice.faces)
        source = values.at_points(self.f, lattice.points, "f")
        g = values.at_points(self.g, lattice.points[count : count + faces], "g")
        insulated = self._faces_insulated(lattice)
        u = volumes.system(lattice, source[:count], g, insulated).solve()
        rhs = None
        if blurred:
            middle = (np.arange(lattice.size) + 0.5) / lattice.size
            square = np.stack(np.meshgrid(middle, middle, indexing="ij"), axis=-1)
            rhs = -values.at_points(self.f, square, "f")
        meta = {"corners": self.corners}
        return volumes.sample(lattice, source, g, insulated, u, rhs, meta)

    def _sides(self) -> tuple[Float[np.ndarray, "S 2"], list[str]]:
        """Corners of the polygon and ends of its insulated part; the group that begins there."""
        lattice = self.lattice()
        insulated = self._faces_insulated(lattice)
        names = np.where(insulated, "insulated", np.array(lattice.face_sides))
        ends = lattice.turns | (names != np.roll(names, 1))
        return lattice.starts[ends] / (2 * self.cells), names[ends].tolist()

    def mesh(self, size: float | None = None) -> Mesh:
        """Triangles in the polygon; groups "left", "right", "bottom", "top", "cut", "insulated".

        Args:
            size: edge length h; None is the one drawn.

        Raises:
            ImportError: gmsh is missing.
        """
        points, names = self._sides()
        return mesh_polygon([Loop(points, names)], size or self.size)

    def problem(self) -> Poisson:
        """The problem on any mesh with the groups of `mesh`."""
        flux = {} if self.insulated is None else {"insulated": 0.0}
        return Poisson(self.f, dirichlet={"*": self.g}, neumann=flux)

    def mesh_sample(self, size: float | None = None, order: int = 1) -> Sample:
        """The solution by finite elements on the mesh of this edge length; see `mesh`.

        Args:
            size: h; None is the one drawn.
            order: 1, or 2 for P2 (vertex values kept).

        Raises:
            ImportError: gmsh is missing.
        """
        solved = self.problem().solve(self.mesh(size), order)
        meta = {"corners": self.corners, "mixed": self.insulated is not None}
        return replace(solved, meta=solved.meta | meta)


def corner_cuts(
    count: int, seed: int = 0, corners: int | None = 4, mixed: bool = False, **options: Any
) -> list[CornerCut]:
    """`count` problems, of which number i depends on (seed, i) only; options of `CornerCut.draw`.

    A thousand lattice samples take a few seconds.
    """
    return [
        CornerCut.draw(np.random.default_rng([seed, i]), corners, mixed, **options)
        for i in range(count)
    ]


@dataclass(frozen=True, eq=False)
class _Shifted:
    """v(x) + m."""

    field: GaussianField
    mean: float

    def __call__(self, x: Float[np.ndarray, "*R d"]) -> Float[np.ndarray, "*R"]:
        return self.field(x) + self.mean


@lru_cache
def _square() -> Mesh:
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    return Mesh(corners, {"quad": np.arange(4)[None]})

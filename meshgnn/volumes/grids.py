"""Interval meshes whose nodes stand for equal control volumes."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from meshgnn.mesh import Group, Mesh


def cell_interval(cells: int, length: float = 1.0) -> Mesh:
    """n + 1 nodes at (k + 1/2) dx, k = 0 ... n, dx = L / n; the last is the twin of the first.

    For nodes from 0 to L see `geometry.periodic.periodic_interval`.
    The control volume of node k is [k dx, (k + 1) dx], so that n of them make up [0, L], and each
    is a union of those of a mesh whose number of cells is a multiple of n.
    Groups: left, right (the end nodes), domain.

    Raises:
        ValueError: fewer than 5 cells, the stencil of WENO5, or a length that is not positive.
    """
    if cells < 5 or not 0 < length < np.inf:
        raise ValueError(
            f"cell_interval: expected 5 cells or more and a positive length, got {cells} and "
            f"{length}"
        )
    numbers = np.arange(cells + 1)
    lines = np.stack([numbers[:-1], numbers[1:]], axis=1)
    groups = {
        "left": Group(0, {"vertex": numbers[:1, None]}),
        "right": Group(0, {"vertex": numbers[-1:, None]}),
        "domain": Group(1, {"line": lines}),
    }
    return Mesh((numbers[:, None] + 0.5) * (length / cells), {"line": lines}, groups)


@dataclass(frozen=True, eq=False)
class Cells:
    """Equal cells, `refine` of them in the control volume [x_k - dx/2, x_k + dx/2] of each node.

    Periodic: n cells times `refine` for n + 1 nodes. Bounded: the end nodes are the centres of the
    end cells, of which only half belongs to the interval, so that `refine` is odd.

    Args:
        first: x of the first node.
        spacing: dx of the nodes.
        nodes: their number.
        refine: cells in one control volume.
        periodic: whether the last node is the first again.
    """

    first: float
    spacing: float
    nodes: int
    refine: int
    periodic: bool

    def __post_init__(self) -> None:
        if self.refine < 1 or not (self.periodic or self.refine % 2):
            kind = "1, 2, 3, ..." if self.periodic else "1, 3, 5, ... (an end is a cell's centre)"
            raise ValueError(
                f"refine: expected {kind} cells in each control volume, got {self.refine}"
            )

    @property
    def size(self) -> float:
        """Length of a cell."""
        return self.spacing / self.refine

    @property
    def length(self) -> float:
        """Of the interval from the first to the last node, the period where there is one."""
        return self.spacing * (self.nodes - 1)

    @property
    def centres(self) -> Float[np.ndarray, " n"]:
        """Of the cells or, at the ends of a bounded interval, of their halves inside."""
        count = (self.nodes - 1) * self.refine
        if self.periodic:
            return self.first - self.spacing / 2 + self.size * (np.arange(count) + 0.5)
        result = self.first + self.size * np.arange(count + 1)
        result[[0, -1]] += np.array([self.size, -self.size]) / 4
        return result

    @property
    def widths(self) -> Float[np.ndarray, " n"]:
        """Of the cells, or of the halves inside."""
        result = np.full(len(self.centres), self.size)
        if not self.periodic:
            result[[0, -1]] /= 2
        return result

    def to_nodes(self, u: Float[np.ndarray, "n B"]) -> Float[np.ndarray, "N B"]:
        """Averages over the control volumes of the nodes, those of end nodes as far as inside."""
        if self.periodic:
            u = restricted(u, self.nodes - 1)
            return np.concatenate([u, u[:1]])
        half = (self.refine + 1) // 2
        ends = [
            (side[:1] / 2 + side[1:half].sum(axis=0)) / (self.refine / 2) for side in (u, u[::-1])
        ]
        return np.concatenate([ends[0], restricted(u[half:-half], self.nodes - 2), ends[1]])


def nodes_in_line(mesh: Mesh) -> tuple[float, float, Int[np.ndarray, " N"]]:
    """x of the first node, the distance of neighbours, and all nodes from left to right.

    Raises:
        ValueError: a mesh that is no interval on the x axis, fewer than 6 nodes (the stencil of
            WENO5), nodes that are not equidistant.
    """
    if mesh.dim != 1 or mesh.points.shape[1] != 1 or mesh.num_nodes < 6:
        raise ValueError(
            f"finite volumes: expected an interval on the x axis with 6 nodes or more, got {mesh!r}"
        )
    order = np.argsort(mesh.points[:, 0])
    x = mesh.points[order, 0]
    gaps, dx = np.diff(x), (x[-1] - x[0]) / (len(x) - 1)
    if np.abs(gaps - dx).max() > 1e-6 * dx:
        raise ValueError(
            f"finite volumes: expected equidistant nodes, got edges from {gaps.min():.6g} to "
            f"{gaps.max():.6g}; make the mesh with volumes.cell_interval, or with a constant "
            "size in gmsh"
        )
    return float(x[0]), float(dx), order


def restricted(u: Float[np.ndarray, "n B"], cells: int) -> Float[np.ndarray, "m B"]:
    """Averages over m cells, each of n / m equal ones."""
    return u.reshape(cells, -1, u.shape[1]).mean(axis=1)

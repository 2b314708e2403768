"""`Panel`: one drawing, a mesh coloured by one value per node or cell, whoever draws it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from meshgnn.mesh import Mesh

# Colour maps that rise evenly in lightness (fields), or fall evenly from white (what is 0 where all
# is well): they read in grey print and with every kind of colour vision. Signed differences are
# balanced, white at 0. The same quantity has the same map everywhere.
FIELD, DIFFERENCE, ERROR, SPREAD = "viridis", "RdBu_r", "Reds", "Purples"


@dataclass(frozen=True, eq=False)
class Panel:
    """One drawing: a mesh coloured by one value per node, or per cell.

    Args:
        title: the line above the drawing.
        values: [N] at the nodes or [M] on the cells; as many as nodes are nodes.
        limits: smallest and largest value of the colour scale.
        colours: name of a colour map.
        points: [N, d] where the nodes are; None for where the mesh has them.
        mark: the value that gets a ring and its number; None for none.
        unit: of the values, for the number.
        spread: [N] standard deviations, drawn as a band ± 1.96 around a curve.
        outside: nodes that get a dot: the truth is outside their band.
    """

    title: str
    values: Float[np.ndarray, " V"]
    limits: tuple[float, float]
    colours: str = FIELD
    points: Float[np.ndarray, "N d"] | None = None
    mark: int | None = None
    unit: str = ""
    spread: Float[np.ndarray, " N"] | None = None
    outside: Int[np.ndarray, " K"] | None = None

    @property
    def marked(self) -> str:
        """The number at the mark, with its unit."""
        return "" if self.mark is None else f"{self.values[self.mark]:.2g} {self.unit}".strip()


def placed(mesh: Mesh, panel: Panel) -> Mesh:
    """The mesh with its nodes where the panel has them."""
    return mesh if panel.points is None else mesh.moved(panel.points)


def marked_place(mesh: Mesh, panel: Panel) -> Float[np.ndarray, " d"]:
    """Where the marked value is: its node, or the middle of its cell."""
    assert panel.mark is not None
    points = placed(mesh, panel).points
    if len(panel.values) == mesh.num_nodes:
        return points[panel.mark]
    first = panel.mark
    for block in mesh.cells.values():
        if first < len(block):
            return points[block[first]].mean(axis=0)
        first -= len(block)
    raise IndexError(f"the mesh has {mesh.num_cells} cells, none with number {panel.mark}")


def wide(limits: tuple[float, float]) -> tuple[float, float]:
    """A colour scale needs a positive width, also for a constant field; one that is symmetric but
    for a thousandth is made so, for a label 0 in its middle."""
    low, high = limits
    if high <= low:
        return low - 0.5, low + 0.5
    if abs(low + high) < 1e-3 * (high - low):
        return -max(-low, high), max(-low, high)
    return low, high

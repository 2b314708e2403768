"""What a reader of one format finds in a file, before it is a mesh."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

Rows = Int[np.ndarray, "_ _"]
# (linear type, vertices, positions among all cells of the file)
Block = tuple[str, Rows, Int[np.ndarray, " _"]]


@dataclass(frozen=True, eq=False)
class Raw:
    """Cells of every dimension and order, named parts, arrays; nothing is cleaned yet.

    Args:
        points: [N, 3] or [N, d].
        blocks: (linear type, vertices [M_b, k], positions [M_b]); the corners come first, more
            columns than corners are a cell of higher order; positions are those in `cell` arrays.
        groups: {name: [(linear type, vertices), ...]}, of one dimension or several.
        point: {name: [N, ...]}; cell: {name: [sum of M_b, ...]}; with `axis` = 1 a leading time.
        region: [sum of M_b] a number for each cell; equal cells in different regions are one cell
            in several groups, not duplicates.
    """

    points: Float[np.ndarray, "N d"]
    blocks: list[Block]
    groups: dict[str, list[tuple[str, Rows]]] = field(default_factory=dict)
    point: dict[str, np.ndarray] = field(default_factory=dict)
    cell: dict[str, np.ndarray] = field(default_factory=dict)
    region: Int[np.ndarray, " _"] | None = None
    axis: int = 0

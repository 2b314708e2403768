"""Data as one number per cell or facet."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from meshgnn.fem import values
from meshgnn.fem.space import Space
from meshgnn.fem.values import PerCell


def means(
    space: Space,
    value: Any,
    what: str,
    channels: int = 1,
    facets: Int[np.ndarray, " F"] | None = None,
) -> Float[np.ndarray, "K C"]:
    """(1 / |s|) ∫_s v dx over every cell s, or over some boundary facets (global, ascending).

    By quadrature of degree 2 in cells and 3 on facets; constants and data by cell come out as they
    went in.

    Args:
        space: whose mesh it is over.
        value: v, as `values` describes; regions and arrays over cells as `values.coefficient`
            makes them.
        what: its name, for messages.
        channels: C; 1 for a scalar.
        facets: [K] boundary facets; None means all cells.

    Raises:
        ValueError: lengths or shapes that do not fit, values that are NaN or infinite.
    """
    count = space.mesh.num_cells if facets is None else len(facets)
    if channels > 1 and isinstance(value, Sequence):
        parts = values.per_channel(value, channels, what)
        return np.concatenate([means(space, v, what, 1, facets) for v in parts], axis=1)
    if facets is None and isinstance(value, PerCell):
        return values.per_cell(value, space.mesh, what)[:, None]
    if isinstance(value, int | float):
        return values.finite(np.full((count, channels), float(value)), what)
    total, size = np.zeros((count, channels)), np.zeros(count)
    for block in space.quadratures(2 if facets is None else 3, facets):
        place = block.owner if facets is None else np.searchsorted(facets, block.owner)
        data = block.evaluate(value, what, None if channels == 1 else channels)
        data = data.reshape(*block.weights.shape, channels)
        np.add.at(total, place, np.einsum("qm,qmc->mc", block.weights, data))
        np.add.at(size, place, block.weights.sum(axis=0))
    return total / size[:, None]

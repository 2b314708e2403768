"""`Scene`: gravity, walls and the grid of the material point method."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

Numbers = Sequence[float | int] | np.ndarray
Side = Sequence[float | int | None] | np.ndarray | None
Walls = tuple[Side, Side]
_FAR = 2**62  # number of a node that none has


@dataclass(frozen=True, eq=False)
class Scene:
    """Gravity g, an axis-aligned box of walls, and a grid of cells of size h.

    Walls stop what moves into them and let go what moves away; friction takes at most μ times
    their impulse. They act at the nodes of the grid on and behind them, and particles are held
    between them. Where there are two along an axis, the cells are stretched to fit between.

    Args:
        gravity: [d] m/s².
        lo: [d] coordinates of the lower walls, m; -inf: open.
        hi: [d] of the upper ones; inf: open.
        cell: edge of the cells along open axes, m; along the others the nearest that fits.
        friction: μ >= 0; inf: what touches sticks.
    """

    gravity: Float[np.ndarray, " d"]
    lo: Float[np.ndarray, " d"]
    hi: Float[np.ndarray, " d"]
    cell: float
    friction: float = 0.0

    @cached_property
    def origin(self) -> Float[np.ndarray, " d"]:
        """Node 0 of the grid: on the lower walls, else on the upper ones, else at 0."""
        found = np.where(np.isfinite(self.lo), self.lo, self.hi)
        return np.where(np.isfinite(found), found, 0.0)

    @cached_property
    def spacing(self) -> Float[np.ndarray, " d"]:
        """Edges h of the cells along the axes."""
        result, extent = np.full(len(self.gravity), self.cell), self.hi - self.lo
        closed = np.isfinite(extent)
        result[closed] = extent[closed] / np.rint(extent[closed] / self.cell)
        return result

    @cached_property
    def first(self) -> Int[np.ndarray, " d"]:
        """Last node that the lower walls hold, along each axis."""
        return np.where(np.isfinite(self.lo), 0, -_FAR)

    @cached_property
    def last(self) -> Int[np.ndarray, " d"]:
        """First node that the upper walls hold."""
        closed = np.isfinite(self.hi)
        extent = np.where(closed, self.hi, self.origin) - self.origin
        return np.where(closed, np.rint(extent / self.spacing).astype(np.int64), _FAR)

    @classmethod
    def of(
        cls,
        gravity: Numbers,
        walls: Walls | None,
        cell: float,
        friction: float = 0.0,
    ) -> "Scene":
        """A scene from what users give: (lo, hi) walls, None for an open one or for none.

        Raises:
            ValueError: gravity or walls of other numbers, NaN, walls less than two cells apart, a
                cell or friction that is negative or NaN.
        """
        down = np.asarray(gravity, np.float64)
        if down.ndim != 1 or not np.isfinite(down).all():
            raise ValueError(f"gravity: expected one number for each axis, got {gravity}")
        if not 0 < cell < np.inf:
            raise ValueError(f"cell: expected a positive length, got {cell}")
        if not friction >= 0:
            raise ValueError(f"friction: expected a coefficient >= 0 or inf, got {friction}")
        below, above = walls or (None, None)
        lo, hi = _side(below, -np.inf, len(down)), _side(above, np.inf, len(down))
        if not (hi - lo >= 2 * cell).all():  # NaN is not
            raise ValueError(
                f"walls: expected upper ones at least two cells ({2 * cell:g}) above the lower "
                f"ones, got {lo.tolist()} and {hi.tolist()}"
            )
        return cls(down, lo, hi, float(cell), float(friction))


def _side(given: Side, open_: float, dim: int) -> np.ndarray:
    side = [None] * dim if given is None else list(given)
    if len(side) != dim:
        raise ValueError(f"walls: expected {dim} coordinates (None where open), got {side}")
    return np.array([open_ if value is None else value for value in side], np.float64)

"""What of a mesh is coloured: its surface, what a cut leaves, slices, isosurfaces, contours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from meshgnn.mesh import Mesh
from meshgnn.viz.panel import Panel, placed
from meshgnn.viz.picture import pyvista
from meshgnn.viz.view import grid

_AXES = "xyz"


@dataclass(frozen=True)
class Look:
    """Which part of a volume is shown, and at which values it has lines or surfaces.

    Args:
        cut: the axis along which the half nearer to the eye is taken away, or None.
        slices: pairs of axis and coordinate, m, of planes on which the field is shown.
        levels: how many values between the limits, or which, have isosurfaces (in a volume) or
            contour lines (on a surface).
    """

    cut: str | None = None
    slices: tuple[tuple[str, float], ...] = ()
    levels: int | tuple[float, ...] = 0

    @property
    def opened(self) -> bool:
        """Whether the surface of a volume is not what is coloured."""
        return bool(self.slices) or self.levels not in (0, ())

    def at(self, limits: tuple[float, float]) -> Float[np.ndarray, " L"]:
        """The values of the isosurfaces or lines."""
        if isinstance(self.levels, int):
            return np.linspace(*limits, self.levels + 2)[1:-1]
        return np.array(self.levels, float)


def look_at(
    mesh: Mesh,
    cut: str | None,
    slices: str | Mapping[str, float | Sequence[float]] | None,
    levels: int | Sequence[float],
) -> Look:
    """The look that was asked for. Raises: ValueError: one that this mesh cannot have."""
    if (cut is not None or slices) and mesh.dim != 3:
        raise ValueError(
            f"plot: cut and slices are for volumes, the mesh has cells of dimension {mesh.dim}"
        )
    if cut is not None and cut not in _AXES:
        raise ValueError(f"plot: expected cut to be x, y or z, got {cut!r}")
    if levels and mesh.dim == 1:
        raise ValueError("plot: levels are for surfaces and volumes; an interval is drawn as curve")
    low, high = mesh.points.min(axis=0), mesh.points.max(axis=0)
    middle = dict(zip(_AXES, (low + high) / 2, strict=False))
    wanted = slices or {}
    if isinstance(wanted, str):
        wanted = {axis: middle.get(axis, np.nan) for axis in wanted}
    planes = [(axis, float(at)) for axis, places in wanted.items() for at in np.atleast_1d(places)]
    for axis, at in planes:
        k = _AXES.find(axis)
        if k < 0 or len(axis) != 1 or not low[k] <= at <= high[k]:
            box = ", ".join(
                f"{a} {one:.3g} to {other:.3g}"
                for a, one, other in zip(_AXES, low, high, strict=False)
            )
            raise ValueError(f"plot: no slice at {axis} = {at:.3g}; the mesh has {box}")
    chosen = levels if isinstance(levels, int) else tuple(float(value) for value in levels)
    return Look(cut, tuple(planes), chosen)


def body(mesh: Mesh, panel: Panel, look: Look) -> Any:
    """What is coloured, as a PyVista data set with an array "values"; it may be empty."""
    whole = _filled(mesh, panel)
    if look.cut is not None:
        # The eye is at large x, small y and large z (`View`): what is left shows its cut to it.
        whole = whole.clip(normal=look.cut, invert=look.cut != "y")
    if not look.opened or mesh.dim < 3:
        return whole
    parts = []
    for axis, at in look.slices:
        origin = np.zeros(3)
        origin[_AXES.index(axis)] = at
        parts.append(whole.slice(normal=axis, origin=origin))
    if look.levels:
        parts.append(_contour(whole, panel, look))
    return pyvista().merge(parts) if len(parts) > 1 else parts[0]


def lines(mesh: Mesh, panel: Panel, look: Look) -> Any | None:
    """Contour lines on a surface, or None."""
    if not look.levels or mesh.dim == 3:
        return None
    return _contour(_filled(mesh, panel), panel, look)


def _filled(mesh: Mesh, panel: Panel) -> Any:
    whole = grid(placed(mesh, panel))
    at_nodes = len(panel.values) == mesh.num_nodes
    (whole.point_data if at_nodes else whole.cell_data)["values"] = panel.values
    return whole


def _contour(whole: Any, panel: Panel, look: Look) -> Any:
    if "values" not in whole.point_data:
        raise ValueError("plot: levels need values at the nodes, got values on the cells")
    return whole.contour(look.at(panel.limits), scalars="values")

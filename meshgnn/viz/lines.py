"""Line plots (matplotlib): fields on an interval, and the history of a training run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from meshgnn.mesh import Mesh
from meshgnn.viz.picture import (
    Picture,
    check_path,
    figure_image,
    matplotlib_figure,
    window_wanted,
)
from meshgnn.viz.scene import Panel

# Okabe and Ito (2008); dashes as well, so that curves differ without colour.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES = ("-", "--", "-.", ":")


def draw_lines(mesh: Mesh, panels: Sequence[Panel]) -> UInt8[np.ndarray, "H W 3"]:
    """Values over x: panels with one scale share the first axes, the error has its own below."""
    scales = list(dict.fromkeys(panel.colours for panel in panels))
    figure = matplotlib_figure((7.0, 3.0 + 1.6 * (len(scales) - 1)))
    rows = figure.subplots(len(scales), 1, sharex=True, squeeze=False)[:, 0]
    for place, panel in enumerate(panels):
        axes = rows[scales.index(panel.colours)]
        style = {"color": _COLOURS[place], "linestyle": _DASHES[place], "linewidth": 1.8}
        axes.plot(*_broken_curve(mesh, panel.values), label=panel.title, **style)
        low, high = panel.limits
        room = 0.05 * (high - low) or 0.5
        axes.set_ylim(low - room, high + room)
    for axes in rows:
        _finish(axes)
    rows[-1].set_xlabel("x")
    return figure_image(figure)


def _broken_curve(mesh: Mesh, values: Float[np.ndarray, " N"]) -> tuple[np.ndarray, np.ndarray]:
    """x and value along the cells, in any order of the nodes, NaN where the mesh has a gap."""
    cells = mesh.cells["line"]
    along = np.argsort(mesh.points[:, 0][cells], axis=1)
    cells = np.take_along_axis(cells, along, axis=1)
    cells = cells[np.argsort(mesh.points[cells[:, 0], 0])]
    gaps = np.flatnonzero(cells[1:, 0] != cells[:-1, 1]) + 1
    x, y = (np.insert(a[cells].ravel(), 2 * gaps, np.nan) for a in (mesh.points[:, 0], values))
    return x, y


def plot_history(losses: Mapping[str, Sequence[float]], path: str | Path | None = None) -> Picture:
    """Loss over epochs, one curve per name, on a logarithmic scale.

    Args:
        losses: {name: one value per epoch}, such as {"train": …, "validation": …}; NaN is a gap.
        path: a .png or .jpg to write as well.

    Raises:
        ValueError: nothing to draw.
        ImportError: matplotlib is missing.
    """
    curves = {name: np.asarray(values, float) for name, values in losses.items() if len(values)}
    if not curves:
        raise ValueError("plot_history: expected at least one epoch, got an empty history")
    if path is not None:
        check_path(path)
    figure = matplotlib_figure((7.0, 3.6))
    axes = figure.subplots()
    for place, (name, values) in enumerate(curves.items()):
        style = {"color": _COLOURS[place % 6], "linestyle": _DASHES[place % 4], "linewidth": 1.8}
        axes.plot(np.arange(1, len(values) + 1), values, label=name, **style)
    if all(np.nanmin(values) > 0 for values in curves.values()):
        axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.xaxis.get_major_locator().set_params(integer=True)
    _finish(axes)
    picture = Picture(figure_image(figure)[None])
    if path is not None:
        picture.save(path)
    elif window_wanted(path):
        picture.show()
    return picture


def _finish(axes: Any) -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3)

"""Line plots (matplotlib): fields on an interval, and the history of a training run."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from meshgnn.mesh import Mesh
from meshgnn.viz.panel import FIELD, SPREAD, Panel, marked_place, placed
from meshgnn.viz.picture import (
    figure_image,
    matplotlib_figure,
)

# Okabe and Ito (2008); dashes as well, so that curves differ without colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", "--", "-.", ":")


def draw_lines(mesh: Mesh, rows: Sequence[Sequence[Panel]]) -> UInt8[np.ndarray, "H W 3"]:
    """Values over x: panels of a row with one scale share axes, differences have their own below.

    A standard deviation is a band ± 1.96 around its curve and has no axes.
    """
    charts = charts_of(rows)
    figure = matplotlib_figure((7.0, 1.4 + 1.6 * len(charts)))
    axes = figure.subplots(len(charts), 1, sharex=True, squeeze=False)[:, 0]
    for one, panels in zip(axes, charts, strict=True):
        for place, panel in enumerate(panels):
            _draw_curve(one, mesh, panel, place + (panel.colours != FIELD) * 2)
        finish(one)
    axes[-1].set_xlabel("x")
    return figure_image(figure)


def charts_of(rows: Sequence[Sequence[Panel]]) -> list[list[Panel]]:
    """The panels that share axes."""
    charts: dict[object, list[Panel]] = {}
    for row, panels in enumerate(rows):
        for panel in panels:
            if panel.colours != SPREAD:
                charts.setdefault((row, panel.colours, panel.limits), []).append(panel)
    return list(charts.values())


def _draw_curve(axes: Any, mesh: Mesh, panel: Panel, place: int) -> None:
    mesh = placed(mesh, panel)
    colour = COLOURS[place % 6]
    style = {"color": colour, "linestyle": DASHES[place % 4], "linewidth": 1.8}
    x, y = broken_curve(mesh, panel.values)
    axes.plot(x, y, label=panel.title, **style)
    low, high = panel.limits
    if panel.spread is not None:
        half = 1.96 * broken_curve(mesh, panel.spread)[1]
        band = {"color": colour, "alpha": 0.25, "linewidth": 0, "label": "± 1.96 std"}
        axes.fill_between(x, y - half, y + half, **band)
        low, high = min(low, np.nanmin(y - half)), max(high, np.nanmax(y + half))
    room = 0.08 * (high - low) or 0.5
    bottom, top = (low - room, high + room)
    if axes.has_data() and len(axes.lines) > 1:  # what was drawn before stays in sight
        bottom, top = min(bottom, axes.get_ylim()[0]), max(top, axes.get_ylim()[1])
    axes.set_ylim(bottom, top)
    if panel.mark is not None:
        at = float(marked_place(mesh, replace(panel, points=None))[0])
        axes.plot(at, panel.values[panel.mark], "o", ms=9, mfc="none", mec="black", mew=1.6)
        side = {"xytext": (8, 0), "textcoords": "offset points", "va": "center"}
        if at > np.median(mesh.points):
            side |= {"xytext": (-8, 0), "ha": "right"}
        axes.annotate(panel.marked, (at, panel.values[panel.mark]), **side)


def broken_curve(mesh: Mesh, values: Float[np.ndarray, " V"]) -> tuple[np.ndarray, np.ndarray]:
    """x and value along the cells, in any order of the nodes, NaN where the mesh has a gap.

    Values on the cells are steps.
    """
    cells = mesh.cells["line"]
    along = np.argsort(mesh.points[:, 0][cells], axis=1)
    cells = np.take_along_axis(cells, along, axis=1)
    order = np.argsort(mesh.points[cells[:, 0], 0])
    cells = cells[order]
    gaps = np.flatnonzero(cells[1:, 0] != cells[:-1, 1]) + 1
    nodal = len(values) == mesh.num_nodes
    y = values[cells] if nodal else np.repeat(values[order], 2).reshape(-1, 2)
    pair = (mesh.points[:, 0][cells], y)
    x, y = (np.insert(a.ravel(), 2 * gaps, np.nan) for a in pair)
    return x, y


def finish(axes: Any) -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3)

"""What an interactive page of curves holds: fields on an interval, the history of a training run.

The curves are drawn as SVG by a small program (web/curves.js): zoom and move along x, values under
the pointer, a slider through time.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from meshgnn.mesh import Mesh
from meshgnn.viz.lines import COLOURS, DASHES, broken_curve, charts_of
from meshgnn.viz.panel import FIELD, Panel, marked_place, placed, wide

Json = dict[str, Any]

_BAND = 1.96


def of_intervals(
    mesh: Mesh, frames: Sequence[Sequence[Sequence[Panel]]], times: Sequence[float], step: int
) -> Json:
    """Fields over x: the charts of `lines.draw_lines`, at every time.

    Args:
        mesh: of lines.
        frames: the rows of panels at every time.
        times: one for each frame; unused where there is one.
        step: the time that is shown first.
    """
    films = [charts_of(rows) for rows in frames]
    charts = []
    for k, first in enumerate(films[0]):
        curves = [_curve(mesh, [film[k][c] for film in films], c) for c in range(len(first))]
        charts.append({"curves": curves, "log": False, "unit": first[0].unit} | _limits(curves))
    x = [
        value
        for chart in charts
        for curve in chart["curves"]
        for row in curve["x"]
        for value in row
    ]
    several = len(frames) > 1
    out = {"charts": charts, "low": min(x), "high": max(x), "label": "x"}
    return out | {"times": list(times) if several else [], "step": step % len(frames)}


def of_history(curves: Mapping[str, Float[np.ndarray, " E"]], log: bool) -> Json:
    """Losses over epochs."""
    found = []
    for place, (name, values) in enumerate(curves.items()):
        y = np.log10(values) if log else values
        one = {"titles": [name], "x": [list(range(1, len(y) + 1))], "y": [_listed(y)]}
        found.append(one | _style(place) | {"band": None, "marks": [None]})
    most = max(len(values) for values in curves.values())
    charts = [{"curves": found, "log": log, "unit": ""} | _limits(found)]
    return {
        "charts": charts,
        "low": 1 - 0.02 * most,
        "high": 1.02 * most + 0.1,
        "label": "epoch",
        "times": [],
        "step": 0,
    }


def _curve(mesh: Mesh, panels: Sequence[Panel], place: int) -> Json:
    """One curve at all times."""
    moving = panels[0].points is not None
    homes = [placed(mesh, panel) for panel in panels]
    rows = [broken_curve(home, panel.values) for home, panel in zip(homes, panels, strict=True)]
    bands = [
        _listed(_BAND * broken_curve(home, panel.spread)[1])
        for home, panel in zip(homes, panels, strict=True)
        if panel.spread is not None
    ]
    marks = [
        None
        if panel.mark is None
        else {
            "x": float(marked_place(mesh, panel)[0]),
            "y": float(panel.values[panel.mark]),
            "text": panel.marked,
        }
        for panel in panels
    ]
    return {
        "titles": [panel.title for panel in panels],
        "x": [x.tolist() for x, _ in (rows if moving else rows[:1])],
        "y": [_listed(y) for _, y in rows],
        "band": bands or None,
        "marks": marks,
    } | _style(place + 2 * (panels[0].colours != FIELD))


def _style(place: int) -> Json:
    return {"colour": COLOURS[place % len(COLOURS)], "dash": DASHES[place % len(DASHES)]}


def _limits(curves: Sequence[Json]) -> Json:
    """The least and largest value that is drawn, with room."""
    values = []
    for curve in curves:
        for k, row in enumerate(curve["y"]):
            half = curve["band"][k] if curve["band"] else [0.0] * len(row)
            for v, h in zip(row, half, strict=True):
                values += [] if v is None else [v - (h or 0.0), v + (h or 0.0)]
    low, high = wide((min(values), max(values)))
    return {"low": low - 0.06 * (high - low), "high": high + 0.06 * (high - low)}


def _listed(values: Float[np.ndarray, " K"]) -> list[float | None]:
    """Seven digits of each; None where there is no number."""
    return [float(f"{v:.7g}") if np.isfinite(v) else None for v in values]

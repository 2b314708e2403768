"""An interactive page: the panels of a picture in one .html file that needs no server.

It turns, moves and zooms by the mouse, all panels together; it reads values under the pointer and
scrubs through time. The file holds meshes, fields and a small program for WebGL 2 (web/), and
the still picture for where there is none. trame's export was tried in its place: it keeps neither
titles nor the view nor time, and takes ten packages and a megabyte a page.
"""

import base64
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np

from meshgnn.atomic import replacing
from meshgnn.frames import in_space
from meshgnn.mesh import Mesh
from meshgnn.sample import Sample
from meshgnn.viz.bodies import Look
from meshgnn.viz.panel import Panel, placed
from meshgnn.viz.picture import Picture
from meshgnn.viz.pieces import Json, groups_of, packed, panel_of
from meshgnn.viz.view import View

_WEB = ("page.html", "body.js", "panels.js")
_CURVES = ("curves.html", "curves.js")
_STILL = 1400  # largest width of the still picture


def of_fields(
    sample: Sample, frames: Sequence[Sequence[Sequence[Panel]]], look: Look, step: int
) -> Json:
    """What a page of fields holds: the same rows of panels at every time.

    Args:
        sample: for its mesh and times.
        frames: the rows of panels at every time.
        look: what of a volume is shown.
        step: the time that is shown first.

    What has another shape at other times (levels, or a cut of a mesh that moves) is held anew for
    every time.

    Raises:
        ValueError: curves in the plane or in space.
    """
    if sample.mesh.dim == 1:
        raise ValueError(
            "plot: an .html page of fields is for intervals, surfaces and volumes, the mesh has "
            f"lines in {sample.mesh.points.shape[1]} dimensions; write a .png or .gif"
        )
    mesh, moving = sample.mesh, frames[0][0][0].points is not None
    rows = [
        [panel_of(mesh, [f[r][c] for f in frames], look) for c in range(len(frames[0][r]))]
        for r in range(len(frames[0]))
    ]
    first = [frame[0][0] for frame in frames]
    meshes = [placed(mesh, panel) for panel in (first if moving else first[:1])]
    times = sample.times.tolist() if len(frames) > 1 else []
    return _scene(meshes, rows) | {"times": times, "step": step % len(frames)}


def of_groups(mesh: Mesh) -> Json:
    """What a page of a mesh with its named groups holds."""
    return _scene(
        [mesh], [[groups_of(mesh, f"{mesh.num_nodes} nodes, {mesh.num_cells} cells", True)]]
    )


def of_gallery(
    meshes: Sequence[Mesh],
    panels: Sequence[Panel],
    looks: Sequence[Look],
    label: str,
    columns: int,
) -> Json:
    """What a page of many shapes holds: a tile each, all turned and zoomed together.

    Args:
        meshes: each is seen about its own middle; lengths compare between tiles.
        panels: of fields, on one colour scale; none for meshes with their groups.
        looks: what of each volume is shown.
        label: of the one colour bar.
        columns: of tiles.
    """
    if panels:
        each = zip(meshes, panels, looks, strict=True)
        tiles = [panel_of(mesh, [panel], look) for mesh, panel, look in each]
    else:
        tiles = [
            groups_of(m, f"{k}: {m.num_nodes} nodes", legend=False) for k, m in enumerate(meshes)
        ]
    boxes = [_scene([mesh], []) for mesh in meshes]
    for tile, box in zip(tiles, boxes, strict=True):
        tile["centre"] = box["centre"]
    half = np.max([box["high"] for box in boxes], axis=0)
    rows = [tiles[k : k + columns] for k in range(0, len(tiles), columns)]
    return boxes[0] | {
        "rows": rows,
        "low": (-half).tolist(),
        "high": half.tolist(),
        "radius": max(box["radius"] for box in boxes),
        "label": label,
    }


def write(path: Path, content: Json, picture: Picture) -> None:
    """Write the page, whole or not at all. Raises: OSError."""
    from matplotlib import colormaps

    panels = [panel for row in content["rows"] for panel in row]
    names = {panel["colours"] for panel in panels if "colours" in panel}
    tables = {n: colormaps[n](np.linspace(0, 1, 256), bytes=True)[:, :3] for n in names}
    content = content | {"maps": {n: packed(table, np.uint8) for n, table in tables.items()}}
    _write(path, _WEB, content, picture, title=panels[0]["titles"][0])


def write_curves(path: Path, content: Json, picture: Picture) -> None:
    """Write a page of curves. Raises: OSError."""
    _write(path, _CURVES, content, picture, title=content["charts"][0]["curves"][0]["titles"][0])


def _write(path: Path, web: Sequence[str], content: Json, picture: Picture, title: str) -> None:
    """The first file of `web` with the programs in the others, the data and the still picture."""
    page, *programs = (files("meshgnn.viz").joinpath("web", one).read_text("utf-8") for one in web)
    text = Template(page).substitute(
        {Path(name).stem: text for name, text in zip(web[1:], programs, strict=True)},
        title=escape(title),
        still=base64.b64encode(picture.shrunk(_STILL).encoded(".jpg")).decode(),
        data=json.dumps(content, allow_nan=False).replace("<", "\\u003c"),
    )
    with replacing(path) as aside:
        aside.write_text(text, "utf-8")


def _scene(meshes: Sequence[Mesh], rows: list[list[Json]]) -> Json:
    """The rows, and the box that the first view of them fills."""
    view = View.of(meshes, 500)
    points = np.concatenate([in_space(mesh.points) for mesh in meshes])
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    shift = np.array([centre @ view.right, centre @ view.up])
    half = np.maximum(view.high - shift, shift - view.low)
    for panel in (panel for row in rows for panel in row):
        panel["centre"] = centre.tolist()
    return {
        "rows": rows,
        "times": [],
        "step": 0,
        "label": "",
        "flat": meshes[0].points.shape[1] < 3,
        "dimension": meshes[0].points.shape[1],
        "right": view.right.tolist(),
        "up": view.up.tolist(),
        "low": (-half).tolist(),
        "high": half.tolist(),
        "centre": centre.tolist(),
        "radius": float(np.linalg.norm(points - centre, axis=1).max()) or 1.0,
    }

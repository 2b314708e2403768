"""A gallery: many meshes or samples in one picture, on one colour scale."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, sqrt
from typing import Any

import numpy as np

from meshgnn.mesh import Mesh
from meshgnn.sample import Sample
from meshgnn.viz import page, scene
from meshgnn.viz.bodies import Look
from meshgnn.viz.compare import Comparison, values_of
from meshgnn.viz.groups import add_groups
from meshgnn.viz.panel import Panel
from meshgnn.viz.picture import Picture, pyvista
from meshgnn.viz.view import BAR, FONT, View

# Side of a tile's drawing in pixels, for few tiles and for many; at least so wide for its title.
_PIXELS = (380, 200)
_FEW, _WIDTH = 6, 200
_LEAST = 480  # width of a picture, for its colour bar
_BAR = BAR + 2 * FONT


def draw_gallery(
    what: Sequence[Sample | Mesh],
    truths: Sample | Sequence[Sample] | None,
    name: str | Sequence[str] | None,
    time: int | Sequence[int],
    looks: Sequence[Look],
    mark: bool,
    window: bool,
    paged: bool = False,
) -> tuple[Picture, page.Json | None]:
    """One tile each, all on the scale of length of the largest, in reading order; and its page.

    Raises:
        ValueError: nothing to draw, meshes mixed with samples, intervals, or another number of
            truths.
    """
    meshes = [one.mesh if isinstance(one, Sample) else one for one in what]
    samples = [one for one in what if isinstance(one, Sample) and (one.u is not None or name)]
    if not meshes or len(samples) not in (0, len(what)) or min(_dimension(m) for m in meshes) < 2:
        raise ValueError(
            "plot: expected a list of meshes or of samples with fields, in 2D or 3D, got "
            f"{len(meshes)} of which {len(samples)} have fields"
        )
    if isinstance(truths, Sample) or (truths is not None and len(truths) != len(samples)):
        raise ValueError(f"plot: expected a list of a truth for each of {len(samples)} fields")
    if not (name is None or isinstance(name, str)) or not isinstance(time, int):
        raise ValueError("plot: a list of shapes is drawn with one field (name) at one time")
    views = _views(meshes)
    plotter, columns = _plotter(views[0], len(meshes), bar=bool(samples), window=window)
    tiles = [
        replace(tile, title=f"{k}{tile.title}")
        for k, tile in enumerate(_tiles(samples, truths, name, time, mark))
    ]
    label = _label(samples[0], truths, name, time) if tiles else ""
    for k, (mesh, view) in enumerate(zip(meshes, views, strict=True)):
        if tiles:
            one = scene.Drawn(plotter, divmod(k, columns), mesh, view, looks[k])
            one.show(tiles[k])
        else:
            plotter.subplot(*divmod(k, columns))
            add_groups(plotter, mesh)
            scene.add_title(plotter, view, f"{k}: {mesh.num_nodes} nodes")
            view.look(plotter)
    if tiles:
        _shared_bar(plotter, label)
    picture = Picture(scene.shown(plotter, window)[None])
    plotter.close()
    return picture, page.of_gallery(meshes, tiles, looks, label, columns) if paged else None


def _dimension(mesh: Mesh) -> int:
    return mesh.points.shape[1]


def _tiles(
    samples: Sequence[Sample],
    truths: Sequence[Sample] | None,
    name: str | None,
    time: int,
    mark: bool,
) -> list[Panel]:
    """The field of every sample, or its difference from its truth, on one scale for all."""
    pairs = zip(samples, truths or [None] * len(samples), strict=True)
    kind = 0 if truths is None else 2
    panels = [Comparison(*pair, [time], mark=mark).panels(name)[0][kind] for pair in pairs]
    if not panels:
        return []
    low, high = min(p.limits[0] for p in panels), max(p.limits[1] for p in panels)
    titles = [p.title.replace("difference,", ":") if kind else "" for p in panels]
    return [replace(p, limits=(low, high), title=t) for p, t in zip(panels, titles, strict=True)]


def _label(sample: Sample, truths: Sequence[Sample] | None, name: str | None, time: int) -> str:
    label = values_of(sample, name, [time]).label
    return label if truths is None else f"difference of {label}"


def _views(meshes: Sequence[Mesh]) -> list[View]:
    """A view each, of boxes of one size: lengths can be compared between tiles."""
    pixels = _PIXELS[len(meshes) > _FEW]
    own = [View.of([mesh], pixels, bar=0) for mesh in meshes]
    half = np.max([view.high - view.low for view in own], axis=0) / 2
    middles = [(view.low + view.high) / 2 for view in own]
    aspect = float(np.clip(half[0] / max(half[1], 1e-12), 0.3, 5.0))
    size = (round(pixels * aspect**0.5), round(pixels * aspect**-0.5))
    return [
        replace(view, low=at - half, high=at + half, size=size, least=_WIDTH)
        for view, at in zip(own, middles, strict=True)
    ]


def _plotter(view: View, tiles: int, bar: bool, window: bool) -> tuple[Any, int]:
    """A plotter with a place for every tile and one row across for the colour bar; its columns.

    The picture is about 1.6 times as wide as high, with few empty places.
    """
    width, height = view.panel
    wish = min(tiles, max(1, round(sqrt(1.6 * tiles * height / width))))
    near = range(max(1, wish - 1), min(tiles, wish + 1) + 1)
    columns = min(near, key=lambda one: (ceil(tiles / one) * one - tiles, abs(one - wish)))
    rows = ceil(tiles / columns)
    layout: dict[str, Any] = {"shape": (rows, columns)}
    if bar:
        weights = [height] * rows + [_BAR]
        across = [(rows, np.s_[:])]
        layout = {"shape": (rows + 1, columns), "row_weights": weights, "groups": across}
    plotter = pyvista().Plotter(
        window_size=[max(width * columns, _LEAST), height * rows + bar * _BAR],
        off_screen=not window,
        border=False,
        **layout,
    )
    plotter.set_background("white")
    return plotter, columns


def _shared_bar(plotter: Any, label: str) -> None:
    """The one scale, with what it is a scale of, in the last row."""
    plotter.subplot(0, 0)
    mapper = plotter.renderer.actors["body"].mapper
    plotter.subplot(plotter.shape[0] - 1, 0)
    width = plotter.window_size[0]
    scene.colour_bar(plotter, (width, _BAR), " ", mapper)
    text = plotter.add_text(label, position=(0.5, 0.72), viewport=True, color="black")
    text.prop.font_size = scene.fitting(label, width)
    text.prop.justification_horizontal = "center"

"""`plot`: fields beside their truth, several fields, shapes or times, as picture, film or page."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from meshgnn.mesh import Mesh
from meshgnn.sample import Boundary, Sample
from meshgnn.viz import page, scene
from meshgnn.viz.bodies import Look, look_at
from meshgnn.viz.compare import Comparison, means
from meshgnn.viz.curves import of_intervals
from meshgnn.viz.gallery import draw_gallery
from meshgnn.viz.groups import draw_groups
from meshgnn.viz.lines import draw_lines
from meshgnn.viz.panel import Panel, placed
from meshgnn.viz.picture import Picture, check_path, window_wanted
from meshgnn.viz.view import View

# Side of a drawing in pixels, alone and in several rows; frames of an animation are smaller, for
# the sake of its file.
_PIXELS, _ROW_PIXELS, _FRAME_PIXELS = 620, 440, 400
_COLUMNS = 3

Rows = list[list[Panel]]


def plot(
    what: Sample | Mesh | Sequence[Sample | Mesh],
    truth: Sample | Sequence[Sample] | None = None,
    *,
    name: str | Sequence[str] | None = None,
    time: int | Sequence[int] = -1,
    fields: Mapping[str, np.ndarray] | None = None,
    cut: str | None = None,
    slices: str | Mapping[str, float | Sequence[float]] | None = None,
    levels: int | Sequence[float] = 0,
    mark: bool = True,
    points: Float[np.ndarray, "T N d"] | None = None,
    path: str | Path | None = None,
) -> Picture:
    """A picture of fields u(x), of prediction | truth | difference, of a mesh, or of many shapes.

    Prediction and truth share one colour scale. The difference u − u_truth is white at 0, its scale
    is the same on both sides, its title says the relative L2 norm ‖u − u_truth‖ / ‖u_truth‖
    weighted by the lumped mass, and a ring marks its largest value. A prediction with components
    `<name>_std` (`mg.predict(..., uncertainty=True)`) has a panel of them as well, dots where the
    truth is outside ± 1.96 of them, and the share of nodes inside. A mesh, or a sample without
    solution, is drawn with its named groups. A list of samples or meshes is a gallery: one tile
    each, one colour scale, differences where there are truths. On an interval fields are curves.

    In a notebook the result is shown inline; in plain Python with a display and no `path` a window
    opens (PYVISTA_OFF_SCREEN=1 prevents it); without a display nothing is needed but EGL.

    Args:
        what: a sample or a mesh, or a list of samples or of meshes.
        truth: a sample on the same mesh with the field to compare with; for a list one for each.
        name: of a component of u, of an input or of `fields`, or several of them, a row each; None
            takes all `fields` if there are any, else the only component, the magnitude of a vector
            (C = d), else the first component.
        time: index into `times`, or several, a row each; .gif and .html show all of them.
        fields: further arrays by name, at the nodes or on the cells, such as
            `mg.certify(...).fields()`; the largest value of each is marked.
        cut: "x", "y" or "z": take away the half of a volume that is nearer to the eye along it.
        slices: planes through a volume: "xyz" through its centre, or {"z": [0.1, 0.3]} in m.
        levels: how many values, or which, have isosurfaces in a volume, contour lines on a surface.
        mark: mark the worst value of differences and of `fields`.
        points: [T, N, d] positions of the nodes at each time, m, where the mesh moves.
        path: .png, .jpg, .gif, or .html (a page to turn, zoom, read values from and scrub through
            time, in one file without a server) to write as well.

    Raises:
        ValueError: neither samples nor meshes; unknown name, time or suffix; a truth of another
            mesh or without solution; points that are not those of the nodes at each time,
            or of a picture of groups; a cut, slice or level that the mesh cannot have; a film of
            a gallery.
        OSError: the picture cannot be written.
        ImportError: PyVista or its system library is missing.
    """
    target = None if path is None else check_path(path)
    suffix, window = "" if target is None else target.suffix.lower(), window_wanted(path)
    if isinstance(what, Sequence):
        _check_gallery(suffix, time, fields, points)
        looks = [look_at(_mesh_of(one), cut, slices, levels) for one in what]
        paged = suffix == ".html"
        picture, content = draw_gallery(what, truth, name, time, looks, mark, window, paged)
    elif _groups_wanted(what, name) and fields is None:
        if points is not None:
            raise ValueError("plot: points are for fields; draw the groups of mesh.moved(points)")
        picture = _groups_picture(_mesh_of(what), window)
        content = page.of_groups(_mesh_of(what)) if suffix == ".html" else None
    else:
        sample = what if isinstance(what, Sample) else _bare(what)
        times = [time] if isinstance(time, int) else list(time)
        truth = _checked(sample, truth, times)
        _check_points(sample, points)
        steps = list(range(len(sample.times))) if suffix in (".gif", ".html") else times
        whole = Comparison(sample, truth, steps, points, fields, mark)
        panels = [whole.panels(one) for one in _names(name, fields)]
        look = look_at(sample.mesh, cut, slices, levels)
        picture, content = _fields_picture(sample, panels, look, times, suffix, window)
    if target is not None and content is not None:
        (page.write_curves if "charts" in content else page.write)(target, content, picture)
    elif target is not None:
        picture.save(target)
    return picture


def _fields_picture(
    sample: Sample,
    panels: list[list[list[Panel]]],
    look: Look,
    times: list[int],
    suffix: str,
    window: bool,
) -> tuple[Picture, page.Json | None]:
    """Picture and content of the page from the panels of every name at every step."""
    content = None
    if suffix == ".html":  # the steps are all times; the picture shows the ones asked for
        content = _page(sample, _films(panels, sample.mesh), look, times[-1])
        panels = [[rows[k] for k in times] for rows in panels]
    mesh = sample.mesh
    frames = _films(panels, mesh) if suffix == ".gif" else [_arranged(sum(panels, []), mesh)]
    return _drawn(sample.mesh, frames, look, window), content


def _page(sample: Sample, frames: list[Rows], look: Look, step: int) -> page.Json:
    """What the page holds: curves on an interval, else surfaces."""
    if sample.mesh.points.shape[1] == 1:
        return of_intervals(sample.mesh, frames, sample.times.tolist(), step)
    return page.of_fields(sample, frames, look, step)


def _mesh_of(one: object) -> Mesh:
    if not isinstance(one, Sample | Mesh):
        raise ValueError(
            f"plot: expected a sample or a mesh, got {type(one).__name__}; the history of a "
            "training run is drawn by viz.plot_history"
        )
    return one if isinstance(one, Mesh) else one.mesh


def _groups_wanted(what: object, name: object) -> bool:
    unsolved = isinstance(what, Sample) and what.u is None and name is None
    return what is _mesh_of(what) or unsolved


def _bare(mesh: Mesh) -> Sample:
    """A mesh as a sample without anything, for fields on it."""
    return Sample(mesh, Boundary.none(mesh.num_nodes, 1), np.zeros((mesh.num_nodes, 0)))


def _names(
    name: str | Sequence[str] | None, fields: Mapping[str, np.ndarray] | None
) -> list[str | None]:
    if name is None or isinstance(name, str):
        return list(fields) if fields and name is None else [name]
    return list(name)


def _films(panels: Sequence[Sequence[list[Panel]]], mesh: Mesh) -> list[Rows]:
    """The rows of every time, from the panels of every name at every time."""
    return [_arranged(list(rows), mesh) for rows in zip(*panels, strict=True)]


def _arranged(rows: Rows, mesh: Mesh) -> Rows:
    """Single panels side by side; curves of one scale share one chart, however many."""
    if all(len(row) == 1 for row in rows):
        panels = [row[0] for row in rows]
        columns = _COLUMNS if mesh.points.shape[1] > 1 else len(panels)
        return [panels[k : k + columns] for k in range(0, len(panels), columns)]
    return rows


def _groups_picture(mesh: Mesh, window: bool) -> Picture:
    plotter = draw_groups(mesh, _PIXELS, window)
    picture = Picture(scene.shown(plotter, window)[None])
    plotter.close()
    return picture


def _drawn(mesh: Mesh, frames: list[Rows], look: Look, window: bool) -> Picture:
    if mesh.points.shape[1] == 1:
        picture = Picture(np.stack([draw_lines(mesh, rows) for rows in frames]))
        if window:
            picture.show()
        return picture
    pixels = _PIXELS if len(frames[0]) == 1 else _ROW_PIXELS
    flat = [panel for rows in frames for panels in rows for panel in panels]
    moving = flat[0].points is not None
    view = View.of(
        [placed(mesh, panel) for panel in (flat if moving else flat[:1])],
        pixels if len(frames) == 1 else _FRAME_PIXELS,
    )
    columns = max(len(panels) for panels in frames[0])
    plotter = scene.plotter_for(view, len(frames[0]), columns, window)
    drawn = scene.draw(plotter, mesh, view, frames[0], look)
    images = [scene.shown(plotter, window)]
    for rows in frames[1:]:
        for one, panel in zip(drawn, [panel for panels in rows for panel in panels], strict=True):
            one.show(panel)
        images.append(scene.shown(plotter, False))
    plotter.close()
    return Picture(np.stack(images))


def _check_gallery(suffix: str, time: object, fields: object, points: object) -> None:
    one_time = isinstance(time, int)
    if suffix == ".gif" or fields is not None or points is not None or not one_time:
        raise ValueError(
            "plot: a list of shapes is drawn as one picture or page of one time without fields and "
            "points; draw one of them alone for a film or more"
        )


def _checked(
    sample: Sample, truth: Sample | Sequence[Sample] | None, times: Sequence[int]
) -> Sample | None:
    """The truth, when it belongs to the sample and the times are there."""
    count = len(sample.times)
    wrong = [time for time in times if not -count <= time < count]
    if wrong or not times:
        asked = f"time index {wrong[0]} is out of range" if wrong else "no time is asked for"
        raise ValueError(f"plot: {asked}, there are {count} times")
    if truth is None:
        return None
    if not isinstance(truth, Sample):
        raise ValueError("plot: several truths are for a list of as many samples")
    if truth.u is None:
        raise ValueError("plot: the truth has no solution; pass a solved sample")
    if sample.u is None:
        raise ValueError("plot: a truth was given, but the sample has no solution to compare")
    shapes = [(*one.u.shape[:2], len(means(one))) for one in (sample, truth) if one.u is not None]
    if truth.mesh.points.shape != sample.mesh.points.shape or shapes[0] != shapes[1]:
        raise ValueError(
            f"plot: the truth does not fit: its points and u are {truth.mesh.points.shape} and "
            f"{shapes[1]}, the sample's {sample.mesh.points.shape} and {shapes[0]}; "
            "solve on the same mesh at the same times"
        )
    return truth


def _check_points(sample: Sample, points: Float[np.ndarray, "T N d"] | None) -> None:
    expected = (len(sample.times), *sample.mesh.points.shape)
    if points is not None and points.shape != expected:
        raise ValueError(
            f"plot: expected points {expected}, of the nodes at each time, got {points.shape}"
        )

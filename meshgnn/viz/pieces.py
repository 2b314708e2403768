"""The pieces of an interactive page: panels, their bodies of triangles, lines and points."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from meshgnn.frames import in_space
from meshgnn.mesh import KINDS, Mesh
from meshgnn.viz.bodies import Look, body, lines
from meshgnn.viz.groups import PLAIN, coloured, covered
from meshgnn.viz.panel import Panel, marked_place, placed, wide
from meshgnn.viz.view import edges_visible, grid

Json = dict[str, Any]


def panel_of(mesh: Mesh, panels: Sequence[Panel], look: Look) -> Json:
    """One panel at all times."""
    first = panels[0]
    anew = look.levels or (first.points is not None and (look.cut or look.slices))
    films = [[panel] for panel in panels] if anew else [panels]
    marks = [
        None
        if panel.mark is None
        else {"at": in_space(marked_place(mesh, panel)[None])[0].tolist(), "text": panel.marked}
        for panel in panels
    ]
    return {
        "titles": [panel.title for panel in panels],
        "frames": [_bodies(mesh, film, look) for film in films],
        "marks": marks,
        "limits": list(wide(first.limits)),
        "colours": first.colours,
        "unit": first.unit,
    }


def _bodies(mesh: Mesh, panels: Sequence[Panel], look: Look) -> list[Json]:
    """What is drawn of panels that have one surface, with their values and places."""
    first = panels[0]
    surfaces = [_surface(body(mesh, panel, look)) for panel in panels]
    bodies = [_coloured(surfaces, lit=mesh.points.shape[1] == 3 and not look.slices)]
    if edges_visible(mesh) and not look.opened and "values" in surfaces[0].point_data:
        bodies.append(_edges(surfaces))
    contours = [lines(mesh, panel, look) for panel in panels]
    if contours[0] is not None:
        bodies.append(_lines(contours[0], [0.0, 0.0, 0.0, 1.0], 1.5))
    if look.opened and mesh.dim == 3:
        hull = grid(placed(mesh, first)).extract_surface(algorithm=None)
        bodies.append(_lines(hull.extract_feature_edges(30), [0.5, 0.5, 0.5, 1.0], 1.5))
    if first.outside is not None and len(panels) == 1:
        points = [in_space(placed(mesh, first).points)]
        look_of_dots = {"colour": [0, 0, 0, 1], "width": 4, "bias": 3e-4}
        bodies.append(_body("points", points, first.outside) | look_of_dots)
    return bodies


def _surface(data: Any) -> Any:
    return data.extract_surface(algorithm=None)


def _coloured(surfaces: Sequence[Any], lit: bool) -> Json:
    """The triangles of a surface with the values of all times, at its points or on its cells."""
    if not surfaces[0].n_points:  # no such level at this time
        empty = {"values": packed(np.zeros(0)), "lit": False}
        return _body("triangles", [np.zeros((0, 3))], np.zeros(0)) | empty
    meshed = [surface.triangulate() for surface in surfaces]
    index = meshed[0].faces.reshape(-1, 4)[:, 1:] if meshed[0].n_cells else np.zeros((0, 3), int)
    places = [np.asarray(surface.points) for surface in meshed]
    if "values" in meshed[0].point_data:
        values = [np.asarray(surface.point_data["values"]) for surface in meshed]
    else:  # every triangle has corners of its own, of one value
        values = [np.repeat(np.asarray(surface.cell_data["values"]), 3) for surface in meshed]
        places = [place[index.ravel()] for place in places]
        index = np.arange(index.size)
    return _body("triangles", places, index) | {"values": packed(np.stack(values)), "lit": lit}


def _edges(surfaces: Sequence[Any]) -> Json:
    """The edges of the cells of a surface, at all times."""
    edges = surfaces[0].extract_all_edges()
    places = [np.asarray(surface.points) for surface in surfaces]
    look = {"colour": [0, 0, 0, 0.25], "width": 1, "bias": 1e-4}
    return _body("lines", places, edges.lines.reshape(-1, 3)[:, 1:]) | look


def _lines(data: Any, colour: list[float], width: float) -> Json:
    """Lines of one colour."""
    index = data.lines.reshape(-1, 3)[:, 1:] if data.n_lines else np.zeros((0, 2), int)
    look = {"colour": colour, "width": width, "bias": 2e-4}
    return _body("lines", [np.asarray(data.points)], index) | look


def _group_body(
    mesh: Mesh, cells: dict[str, np.ndarray], dim: int, colour: str, depth: int
) -> Json:
    """The entities of a group in one colour; later ones lie before earlier ones."""
    shade = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)] + [1.0]
    look = {"colour": shade, "bias": 1e-5 * depth + 2e-4 * (dim < 2), "width": 4 if dim else 9}
    points = [in_space(mesh.points)]
    if dim == 0:
        return _body("points", points, cells["vertex"]) | look
    if dim == 1:
        return _body("lines", points, cells["line"]) | look
    surface = _surface(grid(mesh, cells)).triangulate()
    index = surface.faces.reshape(-1, 4)[:, 1:]
    look |= {"lit": mesh.points.shape[1] == 3}
    return _body("triangles", [np.asarray(surface.points)], index) | look


def _body(kind: str, places: Sequence[np.ndarray], index: np.ndarray) -> Json:
    moving = len(places) > 1 and any(not np.array_equal(places[0], place) for place in places)
    points = np.stack(places) if moving else places[0]
    arrays = {"points": packed(points), "index": packed(index, np.uint32)}
    return {"kind": kind, "moving": moving, "bias": 0.0, "width": 1} | arrays


def packed(array: np.ndarray, kind: type = np.float32) -> str:
    return base64.b64encode(np.ascontiguousarray(array, kind).tobytes()).decode()


def groups_of(mesh: Mesh, title: str, legend: bool) -> Json:
    """One panel of a mesh with its named groups."""
    named = coloured(mesh)
    bodies = [] if covered(mesh) else [_group_body(mesh, mesh.cells, mesh.dim, PLAIN, 0)]
    for depth, (_, group, colour) in enumerate(named, start=1):
        bodies.append(_group_body(mesh, group.cells, group.dim, colour, depth))
    if edges_visible(mesh):
        surface = _surface(grid(mesh))
        bodies.append(_edges([surface]))
    names = [[f"{name} ({KINDS[group.dim]})", colour] for name, group, colour in named]
    return {
        "titles": [title],
        "frames": [bodies],
        "marks": [None],
        "legend": names if legend else [],
    }

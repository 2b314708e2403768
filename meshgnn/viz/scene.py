"""Panels in rows in PyVista: one field each, seen from above (2D) or at an angle (3D)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from meshgnn.frames import in_space
from meshgnn.mesh import Mesh
from meshgnn.viz import bodies
from meshgnn.viz.panel import Panel, marked_place, placed, wide
from meshgnn.viz.picture import pyvista
from meshgnn.viz.view import FONT, MARGIN, TITLE, View, edges_visible, grid

_RING = 13  # outer radius of the ring around a marked value, in pixels


def plotter_for(view: View, rows: int, columns: int, window: bool) -> Any:
    """A PyVista plotter with room for the panels; a single row of long panels becomes a column."""
    width, height = view.panel
    if rows == 1 and width > 2.2 * height:
        rows, columns = columns, 1
    plotter = pyvista().Plotter(
        shape=(rows, columns),
        window_size=[width * columns, height * rows],
        off_screen=not window,
        border=False,
    )
    plotter.set_background("white")
    return plotter


@dataclass(frozen=True, eq=False)
class Drawn:
    """The place of one panel in a plotter; `show` draws it, again for every frame."""

    plotter: Any
    place: tuple[int, int]
    mesh: Mesh
    view: View
    look: bodies.Look

    def show(self, panel: Panel) -> None:
        """Draw the panel in the place of what is there: actors are replaced by their names."""
        self.plotter.subplot(*self.place)
        colour = {
            "scalars": "values",
            "cmap": panel.colours,
            "clim": wide(panel.limits),
            "show_scalar_bar": False,
        }
        coloured = bodies.body(self.mesh, panel, self.look)
        hollow = self.look.opened and self.mesh.dim == 3
        if hollow:
            self._hull(panel)
        style = {
            "show_edges": edges_visible(self.mesh) and not self.look.opened,
            "edge_opacity": 0.25,
            "lighting": self.mesh.points.shape[1] == 3 and not self.look.slices,
        }
        self._add("body", coloured, **style, **colour)
        contours = bodies.lines(self.mesh, panel, self.look)
        if contours is not None:
            self._add("lines", contours, color="black", line_width=2, lighting=False)
        add_title(self.plotter, self.view, panel.title)
        self._dots(panel)
        if panel.mark is not None:
            ring(self.plotter, self.view, marked_place(self.mesh, panel), panel.marked)
        self.view.look(self.plotter)

    def _add(self, name: str, data: Any, **style: Any) -> None:
        """Under a name, so that the next frame takes its place; nothing where it is empty."""
        if not data.n_points:
            self.plotter.remove_actor(name, render=False)
            return
        # The width of the cells of a curve in the plane; edges of cells are lines as well.
        style.setdefault("line_width", 4 if self.mesh.dim == 1 else 1)
        style = {"ambient": 0.5, "diffuse": 0.5, "reset_camera": False, "name": name} | style
        self.plotter.add_mesh(data, **style)

    def _hull(self, panel: Panel) -> None:
        surface = grid(placed(self.mesh, panel)).extract_surface(algorithm=None)
        creases = surface.extract_feature_edges(30)
        self._add("hull", surface, color="#808080", opacity=0.08, lighting=False)
        self._add("creases", creases, color="#808080", line_width=1, lighting=False)

    def _dots(self, panel: Panel) -> None:
        if panel.outside is None:
            return
        points = in_space(placed(self.mesh, panel).points)[panel.outside]
        dots = pyvista().PolyData(points + 1e-3 * self.view.per_pixel * self.view.towards)
        self._add("dots", dots, color="black", point_size=5, lighting=False)


def draw(
    plotter: Any, mesh: Mesh, view: View, rows: Sequence[Sequence[Panel]], look: bodies.Look
) -> list[Drawn]:
    """Draw every panel into its place of the plotter, and its colour bar."""
    drawn = []
    for row, panels in enumerate(rows):
        for column, panel in enumerate(panels):
            place = (column, 0) if plotter.shape[1] == 1 else (row, column)
            one = Drawn(plotter, place, mesh, view, look)
            one.show(panel)
            drawn.append(one)
            if "body" in plotter.renderer.actors:  # where isosurfaces have the values asked for
                # PyVista keys colour bars by their title: equal ones would share one scale.
                mapper = plotter.renderer.actors["body"].mapper
                colour_bar(plotter, view.panel, " " * len(drawn), mapper)
    return drawn


def add_title(plotter: Any, view: View, title: str) -> None:
    """One line of text above the drawing of the active panel, smaller where it would not fit."""
    width, height = view.panel
    room = width - view.side - MARGIN
    text = add_label(plotter, view, title, ((width - view.side) / 2, height - 0.9 * TITLE), "title")
    text.prop.justification_horizontal = "center"
    text.prop.font_size = fitting(title, room)


def fitting(text: str, room: int) -> int:
    """The size of letters with which a line fits into this many pixels."""
    return int(min(FONT, room / (0.58 * max(len(text), 1))))


def add_label(
    plotter: Any, view: View, text: str, at: tuple[float, float], name: str | None = None
) -> Any:
    """Black text with its lower left corner at these pixels of the active panel."""
    place = (at[0] / view.panel[0], at[1] / view.panel[1])
    label = plotter.add_text(text, position=place, viewport=True, color="black", name=name)
    label.prop.font_size = FONT
    return label


def ring(plotter: Any, view: View, place: Float[np.ndarray, " d"], text: str) -> None:
    """A ring around a point, in front of everything, and a line of text beside it."""
    # Along the line of sight it stays on its pixel; so far out that nothing is before it.
    centre = in_space(place[None])[0]
    centre = centre + view.towards * 4 * (view.high - view.low).max()
    for name, colour, inner, outer in (
        ("halo", "white", _RING - 6, _RING + 2),
        ("ring", "black", _RING - 4, _RING),
    ):
        disc = pyvista().Disc(
            center=centre + (name == "ring") * view.towards * view.per_pixel,
            inner=inner * view.per_pixel,
            outer=outer * view.per_pixel,
            normal=view.towards,
            c_res=32,
        )
        plotter.add_mesh(disc, color=colour, lighting=False, name=name, reset_camera=False)
    x, y = view.pixel(place)
    left = x > 0.6 * view.panel[0]
    at = (x - 1.5 * _RING if left else x + 1.5 * _RING, y - FONT / 2)
    label = add_label(plotter, view, text, at, "mark")
    label.prop.justification_horizontal = "right" if left else "left"
    label.prop.font_size = round(0.85 * FONT)
    label.prop.background_color, label.prop.background_opacity = "white", 0.7


def colour_bar(plotter: Any, size: tuple[int, int], title: str, mapper: Any) -> None:
    """The scale of the body at the lower end of the active part of the plotter, of this size."""
    width, height = size
    part = min(0.85, 520 / width)
    plotter.add_scalar_bar(
        title=title,
        mapper=mapper,
        n_labels=5,
        fmt="%.3g",
        color="black",
        vertical=False,
        label_font_size=FONT - 2,
        width=part,
        height=64 / height,
        position_x=(1 - part) / 2,
        position_y=16 / height,
    )


def shown(plotter: Any, window: bool) -> UInt8[np.ndarray, "H W 3"]:
    """The pixels of what was drawn; shown in a window first where one is wanted."""
    if window:
        plotter.show(auto_close=False)
    plotter.render()
    return np.asarray(plotter.screenshot(return_img=True), dtype=np.uint8)[..., :3].copy()

"""Panels side by side in PyVista: one field each, seen from above (2D) or at an angle (3D)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from meshgnn.frames import VTK_TYPES, in_space
from meshgnn.mesh import Mesh
from meshgnn.viz.picture import pyvista

# Height of the title line and of the colour bar below the drawing, and the space around, in pixels.
_TITLE, _BAR, _MARGIN = 48, 90, 24
FONT = 26
# Above so many cells their edges would hide the colours.
_EDGES_UP_TO = 4000


@dataclass(frozen=True, eq=False)
class Panel:
    """One drawing: a mesh coloured by one value per node.

    Args:
        title: the line above the drawing.
        values: [N].
        limits: smallest and largest value of the colour scale.
        colours: name of a colour map.
        points: [N, d] where the nodes are; None for where the mesh has them.
    """

    title: str
    values: Float[np.ndarray, " N"]
    limits: tuple[float, float]
    colours: str = "viridis"
    points: Float[np.ndarray, "N d"] | None = None


def placed(mesh: Mesh, panel: Panel) -> Mesh:
    """The mesh with its nodes where the panel has them."""
    return mesh if panel.points is None else mesh.moved(panel.points)


def grid(mesh: Mesh, cells: dict[str, np.ndarray] | None = None) -> Any:
    """The cells of a mesh (or others on its points) as a PyVista unstructured grid."""
    blocks = {VTK_TYPES[name]: block for name, block in (cells or mesh.cells).items()}
    return pyvista().UnstructuredGrid(blocks, in_space(mesh.points))


@dataclass(frozen=True)
class View:
    """Parallel projection of a mesh: the box it fills on the picture plane, and the panel's size.

    Args:
        right, up: unit vectors that span the picture plane.
        low, high: corners of the mesh on it.
        size: width and height of the drawing in pixels.
        bar: height of the room for a colour bar below.
        side: width of the room for a legend on the right.
    """

    right: Float[np.ndarray, "3"]
    up: Float[np.ndarray, "3"]
    low: Float[np.ndarray, "2"]
    high: Float[np.ndarray, "2"]
    size: tuple[int, int]
    bar: int = _BAR
    side: int = 0

    @classmethod
    def of(cls, meshes: Sequence[Mesh], pixels: int, *, bar: int = _BAR, side: int = 0) -> "View":
        """Of all places of a mesh: from above where it is flat, along a diagonal in space.

        The drawing is about `pixels`² large.
        """
        right, up = np.eye(3)[0], np.eye(3)[1]
        if meshes[0].points.shape[1] == 3:
            right = np.array([0.8, 0.6, 0.0])
            towards = np.array([0.6 * 0.87, -0.8 * 0.87, np.sqrt(1 - 0.87**2)])
            up = np.cross(towards, right)
        plane = np.stack([right, up], axis=1)
        places = [in_space(mesh.points) @ plane for mesh in meshes]
        low = np.min([place.min(axis=0) for place in places], axis=0)
        high = np.max([place.max(axis=0) for place in places], axis=0)
        width, height = np.maximum(high - low, 1e-12)
        aspect = float(np.clip(width / height, 0.3, 5.0))
        size = (round(pixels * aspect**0.5), round(pixels * aspect**-0.5))
        return cls(right, up, low, high, size, bar, side)

    @property
    def panel(self) -> tuple[int, int]:
        """Width and height of one panel in pixels, with its title and colour bar."""
        width = max(self.size[0], 420) + self.side + 2 * _MARGIN
        return width, self.size[1] + _TITLE + self.bar + 2 * _MARGIN

    def look(self, plotter: Any) -> None:
        """Point the active camera so that the mesh fills the room between title and colour bar."""
        extent = np.maximum(self.high - self.low, 1e-12)
        per_pixel = max(extent[0] / self.size[0], extent[1] / self.size[1])
        middle = (self.low + self.high) / 2
        middle += per_pixel * np.array([self.side, _TITLE - self.bar]) / 2
        towards = np.cross(self.right, self.up)
        centre = middle[0] * self.right + middle[1] * self.up
        camera = plotter.camera
        camera.focal_point = centre
        camera.position = centre + towards * 10 * extent.max()
        camera.up = self.up
        camera.parallel_projection = True
        camera.parallel_scale = per_pixel * self.panel[1] / 2
        plotter.reset_camera_clipping_range()


def plotter_for(view: View, panels: int, window: bool) -> Any:
    """A PyVista plotter with room for the panels: in a row, or in a column when they are long."""
    width, height = view.panel
    shape = (panels, 1) if width > 2.2 * height and panels > 1 else (1, panels)
    plotter = pyvista().Plotter(
        shape=shape,
        window_size=[width * shape[1], height * shape[0]],
        off_screen=not window,
        border=False,
    )
    plotter.set_background("white")
    return plotter


@dataclass(frozen=True, eq=False)
class Drawn:
    """What stands in a plotter for one panel; its values and title can be replaced."""

    mesh: Mesh
    body: Any
    title: Any
    cut: str | None

    def show(self, panel: Panel) -> None:
        """Replace values and title, for the next frame of an animation."""
        body = _coloured(self.mesh, panel, self.cut)
        if panel.points is not None:
            self.body.copy_from(body)
        self.body.point_data["values"] = body["values"]
        self.title.input = panel.title


def _coloured(mesh: Mesh, panel: Panel, cut: str | None) -> Any:
    body = grid(placed(mesh, panel))
    body.point_data["values"] = panel.values
    return body if cut is None else body.clip(normal=cut)


def draw(
    plotter: Any, mesh: Mesh, view: View, panels: Sequence[Panel], cut: str | None = None
) -> list[Drawn]:
    """Draw every panel into its place of the plotter."""
    columns = plotter.shape[1]
    drawn = []
    for position, panel in enumerate(panels):
        plotter.subplot(position // columns, position % columns)
        body = _coloured(mesh, panel, cut)
        plotter.add_mesh(
            body,
            scalars="values",
            cmap=panel.colours,
            clim=_wide(panel.limits),
            show_scalar_bar=False,
            show_edges=edges_visible(mesh),
            edge_opacity=0.25,
            line_width=4 if mesh.dim == 1 else 1,
            lighting=mesh.points.shape[1] == 3,
            ambient=0.5,
            diffuse=0.5,
        )
        drawn.append(Drawn(mesh, body, add_title(plotter, view, panel.title), cut))
        # PyVista keys colour bars by their title, and equal titles would share one scale.
        _colour_bar(plotter, view, " " * (position + 1))
        view.look(plotter)
    return drawn


def add_title(plotter: Any, view: View, title: str) -> Any:
    """One line of text above the drawing of the active panel."""
    width, height = view.panel
    text = add_label(plotter, view, title, ((width - view.side) / 2, height - 0.9 * _TITLE))
    text.prop.justification_horizontal = "center"
    return text


def add_label(plotter: Any, view: View, text: str, at: tuple[float, float]) -> Any:
    """Black text with its lower left corner at these pixels of the active panel."""
    place = (at[0] / view.panel[0], at[1] / view.panel[1])
    label = plotter.add_text(text, position=place, viewport=True, color="black")
    label.prop.font_size = FONT
    return label


def _colour_bar(plotter: Any, view: View, title: str) -> None:
    width, height = view.panel
    part = min(0.85, 520 / width)
    plotter.add_scalar_bar(
        title=title,
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


def edges_visible(mesh: Mesh) -> bool:
    """Whether the edges of the cells are drawn: not so many that they hide the colours."""
    return mesh.dim > 1 and mesh.num_cells <= _EDGES_UP_TO


def _wide(limits: tuple[float, float]) -> tuple[float, float]:
    """A colour scale needs a positive width, also for a constant field."""
    low, high = limits
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def shown(plotter: Any, window: bool) -> UInt8[np.ndarray, "H W 3"]:
    """The pixels of what was drawn; shown in a window first where one is wanted."""
    if window:
        plotter.show(auto_close=False)
    plotter.render()
    return np.asarray(plotter.screenshot(return_img=True), dtype=np.uint8)[..., :3].copy()

"""`View`: a mesh on the picture plane, and the room for title, legend and colour bar around it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from meshgnn.frames import VTK_TYPES, in_space
from meshgnn.mesh import Mesh
from meshgnn.viz.picture import pyvista

# Height of the title line and of the colour bar below the drawing, and the space around, in pixels.
TITLE, BAR, MARGIN = 48, 90, 24
FONT = 26
# Above so many cells their edges would hide the colours.
_EDGES_UP_TO = 4000


def grid(mesh: Mesh, cells: dict[str, np.ndarray] | None = None) -> Any:
    """The cells of a mesh (or others on its points) as a PyVista unstructured grid."""
    blocks = {VTK_TYPES[name]: block for name, block in (cells or mesh.cells).items()}
    return pyvista().UnstructuredGrid(blocks, in_space(mesh.points))


def edges_visible(mesh: Mesh) -> bool:
    """Whether the edges of the cells are drawn: not so many that they hide the colours."""
    return mesh.dim > 1 and mesh.num_cells <= _EDGES_UP_TO


@dataclass(frozen=True)
class View:
    """Parallel projection of a mesh: the box it fills on the picture plane, and the panel's size.

    Args:
        right, up: unit vectors that span the picture plane.
        low, high: corners of the mesh on it.
        size: width and height of the drawing in pixels.
        bar: height of the room for a colour bar below.
        side: width of the room for a legend on the right.
        least: least width of the drawing in pixels, for its title.
    """

    right: Float[np.ndarray, "3"]
    up: Float[np.ndarray, "3"]
    low: Float[np.ndarray, "2"]
    high: Float[np.ndarray, "2"]
    size: tuple[int, int]
    bar: int = BAR
    side: int = 0
    least: int = 420

    @classmethod
    def of(cls, meshes: Sequence[Mesh], pixels: int, *, bar: int = BAR, side: int = 0) -> "View":
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
        width = max(self.size[0], self.least) + self.side + 2 * MARGIN
        return width, self.size[1] + TITLE + self.bar + 2 * MARGIN

    @property
    def towards(self) -> Float[np.ndarray, "3"]:
        """The unit vector from the picture plane to the eye."""
        return np.cross(self.right, self.up)

    @property
    def per_pixel(self) -> float:
        """Length of a pixel."""
        extent = np.maximum(self.high - self.low, 1e-12)
        return float(max(extent[0] / self.size[0], extent[1] / self.size[1]))

    @property
    def middle(self) -> Float[np.ndarray, "2"]:
        """What is in the middle of the panel, on the picture plane."""
        shift = np.array([self.side, TITLE - self.bar]) / 2
        return (self.low + self.high) / 2 + self.per_pixel * shift

    def pixel(self, point: Float[np.ndarray, " d"]) -> tuple[float, float]:
        """Where a point in space is in the panel, in pixels from its lower left corner."""
        place = in_space(point[None])[0] @ np.stack([self.right, self.up], axis=1)
        x, y = np.array(self.panel) / 2 + (place - self.middle) / self.per_pixel
        return float(x), float(y)

    def look(self, plotter: Any) -> None:
        """Point the active camera so that the mesh fills the room between title and colour bar."""
        extent = np.maximum(self.high - self.low, 1e-12)
        centre = self.middle[0] * self.right + self.middle[1] * self.up
        camera = plotter.camera
        camera.focal_point = centre
        camera.position = centre + self.towards * 10 * extent.max()
        camera.up = self.up
        camera.parallel_projection = True
        camera.parallel_scale = self.per_pixel * self.panel[1] / 2
        plotter.reset_camera_clipping_range()

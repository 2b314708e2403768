"""Random solids, meshed with tetrahedra: edges h, a tenth of a turn where the surface is curved."""

from collections.abc import Callable
from types import ModuleType

import numpy as np

from meshgnn.mesh import Mesh
from meshgnn.mesher import current_mesh, generate, session

_NEAR = 1e-4  # bounding boxes of curved faces are only so exact
# A face's name from the corners of its bounding box.
Naming = Callable[[np.ndarray, np.ndarray], str]


def box_with_hole(rng: np.random.Generator, size: float | None = None) -> Mesh:
    """A box 1 × [0.5, 1] × [0.3, 0.6] with a circular hole through its last direction.

    Groups: left, right, front, back, bottom, top, hole.
    """
    box = np.array([1, rng.uniform(0.5, 1), rng.uniform(0.3, 0.6)])
    radius = rng.uniform(0.1, 0.17)
    x, y = (rng.uniform(radius + 0.06, length - radius - 0.06) for length in box[:2])
    default = rng.uniform(0.08, 0.11)

    def name(low: np.ndarray, high: np.ndarray) -> str:
        sides = (("left", "right"), ("front", "back"), ("bottom", "top"))
        for axis, (first, last) in enumerate(sides):
            if high[axis] < _NEAR:
                return first
            if low[axis] > box[axis] - _NEAR:
                return last
        return "hole"

    with session() as gmsh:
        body = gmsh.model.occ.addBox(0, 0, 0, *box)
        hole = gmsh.model.occ.addCylinder(x, y, 0, 0, 0, box[2], radius)
        gmsh.model.occ.cut([(3, body)], [(3, hole)])
        return _tetrahedra(gmsh, name, size or default)


def bracket(rng: np.random.Generator, size: float | None = None) -> Mesh:
    """An angle bracket: a base and an upright of one thickness, two holes in each.

    Groups: base (underside), back (far side of the upright), bolts (holes of the base), pins
    (holes of the upright), surface (the rest).
    """
    length, width, height = rng.uniform((0.7, 0.6, 0.7), 1)
    thickness, radii = rng.uniform(0.12, 0.2), rng.uniform(0.06, 0.1, 2)
    places = rng.uniform(0.4, 0.6, 2)
    default = rng.uniform(0.08, 0.11)

    def name(low: np.ndarray, high: np.ndarray) -> str:
        if high[2] < _NEAR:
            return "base"
        if high[0] < _NEAR:
            return "back"
        if low[1] < _NEAR or high[1] > width - _NEAR:
            return "surface"
        return "bolts" if low[2] < _NEAR else "pins"

    with session() as gmsh:
        occ = gmsh.model.occ
        base = occ.addBox(0, 0, 0, length, width, thickness)
        upright = occ.addBox(0, 0, 0, thickness, width, height)
        holes = []
        for y in (0.25 * width, 0.75 * width):
            x = thickness + places[0] * (length - thickness)
            z = thickness + places[1] * (height - thickness)
            holes.append((3, occ.addCylinder(x, y, 0, 0, 0, thickness, radii[0])))
            holes.append((3, occ.addCylinder(0, y, z, thickness, 0, 0, radii[1])))
        body, _ = occ.fuse([(3, base)], [(3, upright)])
        occ.cut(body, holes)
        return _tetrahedra(gmsh, name, size or default)


def pipe_bend(rng: np.random.Generator, size: float | None = None) -> Mesh:
    """A round pipe of radius 0.15 to 0.25, straight, bent by 45 to 120 degrees, straight.

    Groups: inlet, outlet, wall.
    """
    radius, bend = rng.uniform(0.15, 0.25), rng.uniform(0.5, 0.8)
    angle, lengths = rng.uniform(np.pi / 4, 2 * np.pi / 3), rng.uniform(0.3, 0.8, 2)
    default = rng.uniform(0.08, 0.11)
    along = np.array([np.sin(angle), 0, np.cos(angle)])
    start = np.array([bend, 0, lengths[0]])
    start += bend * np.array([-np.cos(angle), 0, np.sin(angle)])
    end = start + lengths[1] * along

    def name(low: np.ndarray, high: np.ndarray) -> str:
        if high[2] < _NEAR:
            return "inlet"
        # The end disc: its box is centred at the end and has the disc's extent.
        half = radius * np.sqrt(1 - along**2)
        outlet = np.allclose(low, end - half, atol=_NEAR) and np.allclose(
            high, end + half, atol=_NEAR
        )
        return "outlet" if outlet else "wall"

    with session() as gmsh:
        occ = gmsh.model.occ
        disc = (2, occ.addDisk(0, 0, 0, radius, radius))
        first = occ.extrude([disc], 0, 0, lengths[0])
        second = occ.revolve([first[0]], bend, 0, lengths[0], 0, 1, 0, angle)
        occ.extrude([second[0]], *(lengths[1] * along))
        return _tetrahedra(gmsh, name, size or default)


def _tetrahedra(gmsh: ModuleType, name: Naming, size: float) -> Mesh:
    """Mesh the volumes of the model; their outer faces are named by their bounding boxes."""
    gmsh.model.occ.synchronize()
    volumes = gmsh.model.getEntities(3)
    parts: dict[str, list[int]] = {}
    for _, face in gmsh.model.getBoundary(volumes, combined=True, oriented=False):
        box = np.array(gmsh.model.getBoundingBox(2, face))
        parts.setdefault(name(box[:3], box[3:]), []).append(face)
    for part, faces in parts.items():
        gmsh.model.addPhysicalGroup(2, faces, name=part)
    gmsh.model.addPhysicalGroup(3, [volume for _, volume in volumes], name="domain")
    gmsh.option.setNumber("Mesh.MeshSizeMax", size)
    gmsh.option.setNumber("Mesh.MeshSizeFromCurvature", 10)
    generate(3)
    return current_mesh(3)

"""Polygons with holes to triangles: the one way by which plane shapes are meshed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from meshgnn.mesh import Mesh
from meshgnn.mesher import current_mesh, session


@dataclass(frozen=True, eq=False)
class Loop:
    """A closed polygon x_0, x_1, …, x_{P−1}, x_0 in the plane, in either direction.

    Args:
        points: [P, 2] corners, the first one not repeated.
        names: the boundary group of all sides, or of each: side p runs from x_p to x_{p+1}.
        size: target edge length h at the corners, [P] or one number; between the loops the size
            field is interpolated. None takes the size of the mesh.
    """

    points: Float[np.ndarray, "P 2"]
    names: str | Sequence[str]
    size: float | Float[np.ndarray, " P"] | None = None

    def __post_init__(self) -> None:
        if len(self.points) < 3:
            raise ValueError(f"Loop: expected at least 3 corners, got {len(self.points)}")
        if not isinstance(self.names, str) and len(self.names) != len(self.points):
            raise ValueError(
                f"Loop: expected one name or one for each of {len(self.points)} sides, "
                f"got {len(self.names)}"
            )

    @property
    def area(self) -> float:
        """Enclosed area |½ Σ_p x_p × x_{p+1}|."""
        x, y = self.points.T
        return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2

    @property
    def length(self) -> float:
        """Σ_p |x_{p+1} − x_p|."""
        return float(np.linalg.norm(np.roll(self.points, -1, 0) - self.points, axis=1).sum())


def curve(
    at: Callable[[Float[np.ndarray, " T"]], Float[np.ndarray, "T 2"]],
    name: str,
    size: float,
    density: Callable[[Float[np.ndarray, "T 2"]], Float[np.ndarray, " T"]] | None = None,
) -> Loop:
    """A smooth closed curve x(t), t in [0, 1), as a polygon whose corners lie on it.

    Corners are equally spaced in ∫ ρ ds, so that their distance is h / ρ.

    Args:
        at: x(t); x(0) is a corner.
        name: the boundary group.
        size: h, the edge length where ρ = 1.
        density: ρ(x), 1 when absent.
    """
    t = np.linspace(0, 1, 1025)
    x = at(t)
    steps = np.linalg.norm(np.diff(x, axis=0), axis=1)
    if density is not None:
        steps *= density((x[1:] + x[:-1]) / 2)
    arc = np.concatenate([[0], np.cumsum(steps)])
    count = max(8, round(arc[-1] / size))
    points = at(np.interp(np.arange(count) * arc[-1] / count, arc, t))
    # gmsh rounds the number of edges of a side up: a little more than its length keeps it whole.
    spacing = np.full(count, 1.02 * arc[-1] / count)
    return Loop(points, name, spacing if density is None else spacing / density(points))


def circle(centre: Sequence[float], radius: float, name: str, size: float) -> Loop:
    """A circle of edge length `size` as a polygon inscribed in it."""
    return ellipse(centre, (radius, radius), 0.0, name, size)


def ellipse(
    centre: Sequence[float], axes: Sequence[float], angle: float, name: str, size: float
) -> Loop:
    """An ellipse with two half axes, the first turned by `angle` (rad), as an inscribed polygon."""
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])

    def at(t: Float[np.ndarray, " T"]) -> Float[np.ndarray, "T 2"]:
        phase = 2 * np.pi * t
        return np.stack([axes[0] * np.cos(phase), axes[1] * np.sin(phase)], 1) @ turn + centre

    return curve(at, name, size)


def mesh_polygon(loops: Sequence[Loop], size: float, region: str = "domain") -> Mesh:
    """Triangles inside the first loop and outside all others, which are its holes.

    Every side of a loop becomes a whole number of edges, so that the corners are nodes and the
    area of the mesh is that of the polygon.

    Args:
        loops: outer boundary, then the holes; they must not touch or cross.
        size: target edge length h where a loop does not give its own.
        region: the group of all triangles.

    Raises:
        ValueError: loops that touch, cross or leave the outer one.
    """
    with session() as gmsh:
        lines = [_add_loop(gmsh.model.geo, loop, size) for loop in loops]
        curves = [gmsh.model.geo.addCurveLoop(part) for part in lines]
        surface = gmsh.model.geo.addPlaneSurface(curves)
        gmsh.model.geo.synchronize()
        sides: dict[str, list[int]] = {}
        for loop, part in zip(loops, lines, strict=True):
            names = [loop.names] * len(part) if isinstance(loop.names, str) else loop.names
            for name, line in zip(names, part, strict=True):
                sides.setdefault(name, []).append(line)
        for name, part in sides.items():
            gmsh.model.addPhysicalGroup(1, part, name=name)
        gmsh.model.addPhysicalGroup(2, [surface], name=region)
        remedy = "the loops must not touch, cross or lie outside the first"
        try:
            gmsh.model.mesh.generate(2)
        except Exception as error:  # gmsh raises nothing more specific
            raise ValueError(f"gmsh could not mesh the polygon: {error}; {remedy}") from error
        mesh = current_mesh(2)
    expected = loops[0].area - sum(loop.area for loop in loops[1:])
    area = float(mesh.volumes.sum())
    if abs(area - expected) > 1e-9 * loops[0].area:
        raise ValueError(f"the mesh has area {area:.9g}, the polygon {expected:.9g}; {remedy}")
    return mesh


def _add_loop(geo: type, loop: Loop, size: float) -> list[int]:
    sizes = np.broadcast_to(size if loop.size is None else loop.size, len(loop.points))
    points = [geo.addPoint(x, y, 0, h) for (x, y), h in zip(loop.points, sizes, strict=True)]
    return [geo.addLine(a, b) for a, b in zip(points, points[1:] + points[:1], strict=True)]

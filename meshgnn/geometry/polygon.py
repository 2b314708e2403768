"""Polygons with holes to triangles: the one way by which plane shapes are meshed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from meshgnn.mesh import Mesh
from meshgnn.mesher import current_mesh, generate, session

Pair = tuple[float, float] | Float[np.ndarray, " 2"]


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

    def contains(self, point: Float[np.ndarray, " 2"]) -> bool:
        """Whether a ray from the point to the right crosses the loop an odd number of times."""
        (x, y), a, b = point, self.points, np.roll(self.points, -1, 0)
        sides = (a[:, 1] > y) != (b[:, 1] > y)
        a, b = a[sides], b[sides]
        crossing = a[:, 0] + (y - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0])
        return bool((crossing > x).sum() % 2)

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


def circle(centre: Pair, radius: float, name: str, size: float) -> Loop:
    """A circle of edge length `size` as a polygon inscribed in it."""
    return ellipse(centre, (radius, radius), 0.0, name, size)


def ellipse(centre: Pair, axes: Pair, angle: float, name: str, size: float) -> Loop:
    """An ellipse with two half axes, the first turned by `angle` (rad), as an inscribed polygon."""
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])

    def at(t: Float[np.ndarray, " T"]) -> Float[np.ndarray, "T 2"]:
        phase = 2 * np.pi * t
        return np.stack([axes[0] * np.cos(phase), axes[1] * np.sin(phase)], 1) @ turn + centre

    return curve(at, name, size)


def mesh_polygon(
    loops: Sequence[Loop],
    size: float,
    region: str = "domain",
    matched: Sequence[tuple[int, int]] = (),
    within: Callable[[float, float], float] | None = None,
) -> Mesh:
    """Triangles inside the first loop and outside all others, which are its holes.

    Every side of a loop becomes a whole number of edges, so that the corners are nodes and the
    area of the mesh is that of the polygon.

    Args:
        loops: outer boundary, then the holes; they must not touch or cross.
        size: target edge length h where a loop does not give its own.
        region: the group of all triangles.
        within: (x, y) -> longest edge there, where the loops by themselves ask for a longer one.
        matched: pairs (p, q) of sides of the first loop, run through in opposite directions, of
            which q is meshed as p is, moved (for periodic conditions).

    Raises:
        ValueError: loops that touch or cross, a hole that is not inside the first loop or is
            inside another hole, or gmsh's own message.
    """
    _check_apart(loops)
    with session() as gmsh:
        lines = [_add_loop(gmsh.model.geo, loop, size) for loop in loops]
        curves = [gmsh.model.geo.addCurveLoop(part) for part in lines]
        surface = gmsh.model.geo.addPlaneSurface(curves)
        gmsh.model.geo.synchronize()
        for p, q in matched:
            outline = loops[0].points
            move = np.eye(4)
            move[:2, 3] = outline[(q + 1) % len(outline)] - outline[p]
            gmsh.model.mesh.setPeriodic(1, [lines[0][q]], [lines[0][p]], move.ravel().tolist())
        sides: dict[str, list[int]] = {}
        for loop, part in zip(loops, lines, strict=True):
            names = [loop.names] * len(part) if isinstance(loop.names, str) else loop.names
            for name, line in zip(names, part, strict=True):
                sides.setdefault(name, []).append(line)
        for name, part in sides.items():
            gmsh.model.addPhysicalGroup(1, part, name=name)
        gmsh.model.addPhysicalGroup(2, [surface], name=region)
        if within is not None:
            gmsh.model.mesh.setSizeCallback(lambda _d, _t, x, y, _z, lc: min(lc, within(x, y)))
        try:
            generate(2)
        finally:
            gmsh.model.mesh.removeSizeCallback()  # it would outlive the model
        return current_mesh(2)


def _check_apart(loops: Sequence[Loop]) -> None:
    """gmsh never returns when sides cross, and meshes a hole that is outside as a second part."""
    start = np.concatenate([loop.points for loop in loops])
    end = np.concatenate([np.roll(loop.points, -1, 0) for loop in loops])
    follower = np.concatenate([np.roll(place, -1) for place in _places(loops)])
    one, other = np.triu_indices(len(start), 1)
    low, high = np.minimum(start, end), np.maximum(start, end)
    near = ((low[one] <= high[other]) & (low[other] <= high[one])).all(1)
    near &= (follower[one] != other) & (follower[other] != one)
    one, other = one[near], other[near]

    def side(line: Int[np.ndarray, " K"], x: Float[np.ndarray, "K 2"]) -> Float[np.ndarray, " K"]:
        along, to = end[line] - start[line], x - start[line]
        return along[:, 0] * to[:, 1] - along[:, 1] * to[:, 0]

    meet = side(one, start[other]) * side(one, end[other]) <= 0
    meet &= side(other, start[one]) * side(other, end[one]) <= 0
    if meet.any():
        places = [
            f"side {k - place[0]} of loop {number}"
            for k in (one[meet][0], other[meet][0])
            for number, place in enumerate(_places(loops))
            if place[0] <= k <= place[-1]
        ]
        raise ValueError(f"{' and '.join(places)} touch or cross; loops must keep apart")
    for number, hole in enumerate(loops[1:], 1):
        if not loops[0].contains(hole.points[0]):
            raise ValueError(f"loop {number} is not inside loop 0; holes are inside the first loop")
        for second, around in enumerate(loops[1:], 1):
            if second != number and around.contains(hole.points[0]):
                raise ValueError(f"loop {number} is inside loop {second}; holes cannot be nested")


def _places(loops: Sequence[Loop]) -> list[Int[np.ndarray, " P"]]:
    """Numbers of the sides of each loop when all are counted through."""
    starts = np.cumsum([0, *(len(loop.points) for loop in loops)])
    return [np.arange(a, b) for a, b in zip(starts, starts[1:], strict=False)]


def _add_loop(geo: type, loop: Loop, size: float) -> list[int]:
    sizes = np.broadcast_to(size if loop.size is None else loop.size, len(loop.points))
    points = [geo.addPoint(x, y, 0, h) for (x, y), h in zip(loop.points, sizes, strict=True)]
    return [geo.addLine(a, b) for a, b in zip(points, points[1:] + points[:1], strict=True)]

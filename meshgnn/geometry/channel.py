"""A channel past one obstacle, fine at the obstacle and in its wake."""

import numpy as np

from meshgnn.geometry.polygon import Loop, Pair, circle, ellipse, mesh_polygon
from meshgnn.mesh import Mesh

OBSTACLES = ("circle", "ellipse", "square", "triangle")
_GROWTH = 0.25  # of the edge length, per length away from where it is prescribed
_SIDES = ["walls", "outlet", "walls", "inlet"]


def channel(
    obstacle: str = "circle",
    centre: Pair = (0.2, 0.2),
    size: float = 0.1,
    length: float = 2.2,
    height: float = 0.41,
    h: float = 0.05,
    h_obstacle: float | None = None,
    h_wake: float | None = None,
    angle: float = 0.0,
) -> Mesh:
    """[0, L] × [0, H] less an obstacle; triangles. Groups inlet, outlet, walls, obstacle, domain.

    Edges are h_obstacle at the obstacle, h_wake in a band behind it as wide as itself, growing to h
    by a quarter of the distance.

    Args:
        obstacle: "circle" of diameter D, "ellipse" with axes D and D / 2, "square" of side D or
            equilateral "triangle" of side D.
        centre: of it.
        size: D.
        length: L.
        height: H.
        h: longest edge.
        h_obstacle: None is the smaller of h / 5 and D / 10.
        h_wake: None is twice h_obstacle; h leaves the wake as it is elsewhere.
        angle: by which the obstacle is turned, rad; at 0 the first axis of the ellipse, a side of
            the square and a corner of the triangle point along the channel.

    Raises:
        ValueError: an unknown shape; edge lengths that are not positive; an obstacle that touches
            the walls.
    """
    if obstacle not in OBSTACLES:
        raise ValueError(f"obstacle: expected one of {', '.join(OBSTACLES)}, got {obstacle!r}")
    at = min(h / 5, size / 10) if h_obstacle is None else h_obstacle
    wake = min(h, 2 * at) if h_wake is None else h_wake
    if min(h, at, wake, size) <= 0:
        raise ValueError(
            f"channel: expected positive lengths, got size {size:g}, h {h:g}, h_obstacle {at:g}, "
            f"h_wake {wake:g}"
        )
    middle = np.asarray(centre, float)

    def within(x: float, y: float) -> float:
        """The size asked for at the obstacle and in its wake, growing with the distance."""
        aside = abs(y - middle[1])
        away = float(np.hypot(x - middle[0], aside)) - size / 2
        behind = max(aside - size, middle[0] - x, 0.0)
        # sides of the obstacle are whole: a little slack, or each is halved
        return min(1.05 * at + _GROWTH * max(away, 0.0), wake + _GROWTH * behind)

    corners = np.array([[0.0, 0.0], [length, 0.0], [length, height], [0.0, height]])
    loops = [Loop(corners, _SIDES, h), _outline(obstacle, middle, size, angle, at)]
    return mesh_polygon(loops, h, within=within)


def schaefer_turek(h: float = 0.05, h_obstacle: float | None = None) -> Mesh:
    """The channel 2.2 × 0.41 with a cylinder of diameter 0.1 at (0.2, 0.2); see `channel`.

    Source: Schäfer & Turek, Benchmark computations of laminar flow around a cylinder, 1996,
    figure 1.
    """
    return channel(h=h, h_obstacle=h_obstacle)


def _outline(obstacle: str, centre: np.ndarray, size: float, angle: float, h: float) -> Loop:
    if obstacle == "circle":
        return circle(centre, size / 2, "obstacle", h)
    if obstacle == "ellipse":
        return ellipse(centre, (size / 2, size / 4), angle, "obstacle", h)
    sides = 4 if obstacle == "square" else 3
    turns = angle + 2 * np.pi * (np.arange(sides) + (0.5 if sides == 4 else 0.0)) / sides
    radius = size / (2 * np.sin(np.pi / sides))
    return Loop(centre + radius * np.stack([np.cos(turns), np.sin(turns)], 1), "obstacle", h)

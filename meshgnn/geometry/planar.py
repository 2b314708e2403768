"""Random plane shapes: each draws its parameters and returns its loops as a function of the size.

A shape's random numbers do not depend on the size, so that one seed at two sizes is one shape.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from meshgnn.geometry.polygon import Loop, circle, curve, ellipse

Loops = Callable[[float], list[Loop]]
_SIDES = ["bottom", "right", "top", "left"]
_GAP = 0.07  # least distance between holes, and from a hole to the outer boundary


def cut_square(rng: np.random.Generator) -> Loops:
    """The unit square less rectangles at 0 to 4 corners, sides uniform in [0.125, 0.45].

    Groups: left, right, bottom, top, cut. Source: data of Wang et al. 2024 (BENO), section 4.
    """
    corners = set(rng.permutation(4)[: rng.integers(0, 5)].tolist())
    sides = rng.uniform(0.125, 0.45, (4, 2))
    square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    points, names = [], []
    for k in range(4):
        before, after = square[k - 1], square[(k + 1) % 4]
        if k not in corners:
            points.append(square[k])
            names.append(_SIDES[k])
            continue
        back = sides[k, 0] * (before - square[k])
        on = sides[k, 1] * (after - square[k])
        points += [square[k] + back, square[k] + back + on, square[k] + on]
        names += ["cut", "cut", _SIDES[k]]
    return _fixed(np.array(points), names)


def l_shape(rng: np.random.Generator) -> Loops:
    """An L in the unit square, legs 0.25 to 0.65 wide. Groups: left, right, bottom, top, notch."""
    w, h = rng.uniform(0.25, 0.65, 2)
    points = [[0, 0], [1, 0], [1, h], [w, h], [w, 1], [0, 1]]
    return _fixed(np.array(points, float), ["bottom", "right", "notch", "notch", "top", "left"])


def u_shape(rng: np.random.Generator) -> Loops:
    """A U: the unit square less a slot from the top. Groups: left, right, bottom, top, notch."""
    width, depth = rng.uniform(0.2, 0.5), rng.uniform(0.3, 0.75)
    a = rng.uniform(0.2, 0.8 - width)
    b, floor = a + width, 1 - depth
    points = [[0, 0], [1, 0], [1, 1], [b, 1], [b, floor], [a, floor], [a, 1], [0, 1]]
    names = ["bottom", "right", "top", "notch", "notch", "notch", "top", "left"]
    return _fixed(np.array(points, float), names)


def polygon(rng: np.random.Generator) -> Loops:
    """A star-shaped polygon of 5 to 10 corners, radii uniform in [0.4, 1]. Group: wall."""
    n = int(rng.integers(5, 11))
    angles = (np.arange(n) + rng.uniform(-0.35, 0.35, n)) * 2 * np.pi / n
    radii = rng.uniform(0.4, 1, n)
    return _fixed(radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1), "wall")


def disc_with_holes(rng: np.random.Generator) -> Loops:
    """The unit disc less 1 to 4 discs of radius 0.1 to 0.25. Groups: outer, hole."""
    holes = _holes(
        rng,
        int(rng.integers(1, 5)),
        (0.9, 0.9),
        (0.1, 0.25),
        lambda x, y, r: np.hypot(x, y) + r < 1,
    )
    return lambda h: [
        circle((0.0, 0.0), 1.0, "outer", h),
        *(circle((x, y), r, "hole", h) for x, y, r in holes),
    ]


def annulus(rng: np.random.Generator) -> Loops:
    """The unit disc less one of radius 0.2 to 0.6, off centre. Groups: outer, inner."""
    radius, angle = rng.uniform(0.2, 0.6), rng.uniform(0, 2 * np.pi)
    shift = rng.uniform(0, 0.7 * (0.9 - radius))
    centre = (shift * np.cos(angle), shift * np.sin(angle))
    return lambda h: [circle((0.0, 0.0), 1.0, "outer", h), circle(centre, radius, "inner", h)]


def plate_with_holes(rng: np.random.Generator) -> Loops:
    """A plate 1 to 2 wide, 1 high, with 1 to 5 circular holes of radius 0.06 to 0.18.

    Groups: left, right, bottom, top, hole.
    """
    half = rng.uniform(0.5, 1)
    holes = _holes(
        rng,
        int(rng.integers(1, 6)),
        (half, 0.5),
        (0.06, 0.18),
        lambda x, y, r: abs(x) + r < half and abs(y) + r < 0.5,
    )
    return lambda h: [
        _rectangle(-half, -0.5, half, 0.5),
        *(circle((x, y), r, "hole", h) for x, y, r in holes),
    ]


def channel_with_obstacle(rng: np.random.Generator) -> Loops:
    """A channel 2.2 × 0.41 with an ellipse or a regular polygon of 3 to 5 sides in the flow.

    Groups: inlet, outlet, wall, obstacle. Edges are h far from the obstacle and h/4 at it.
    Source: channel of Schäfer and Turek 1996, figure 1.
    """
    radius = rng.uniform(0.04, 0.08)
    centre = np.array([rng.uniform(0.2, 0.7), rng.uniform(0.15, 0.26)])
    sides, angle, aspect = int(rng.integers(2, 6)), rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1)
    turns = angle + 2 * np.pi * np.arange(sides) / sides
    corners = centre + radius * np.stack([np.cos(turns), np.sin(turns)], 1)

    def loops(h: float) -> list[Loop]:
        if sides == 2:
            obstacle = ellipse(centre, (radius, aspect * radius), angle, "obstacle", h / 4)
        else:
            obstacle = Loop(corners, "obstacle", h / 4)
        return [_rectangle(0.0, 0.0, 2.2, 0.41, ["wall", "outlet", "wall", "inlet"]), obstacle]

    return loops


def naca_aerofoil(rng: np.random.Generator) -> Loops:
    """A NACA four-digit section of chord 1 in the box [−1.5, 3] × [−1.5, 1.5].

    y = y_c ± y_t, y_t = 5τ (0.2969 √x − 0.1260 x − 0.3516 x² + 0.2843 x³ − 0.1036 x⁴), y_c two
    parabolas with crest m at x = p; thickness τ in [0.08, 0.2], m in [0, 0.06], p in [0.3, 0.6],
    turned nose up by −5 to 15 degrees. Groups: inlet, outlet, wall, aerofoil. Edges are h far from
    the section, h/8 at it and h/24 at its nose. Source: Jacobs, Ward and Pinkerton 1933, NACA
    report 460, with the closed trailing edge (−0.1036 for −0.1015).
    """
    thickness, camber = rng.uniform(0.08, 0.2), rng.uniform(0, 0.06)
    crest, attack = rng.uniform(0.3, 0.6), np.radians(rng.uniform(-5, 15))
    turn = np.array([[np.cos(attack), -np.sin(attack)], [np.sin(attack), np.cos(attack)]])

    def at(t: Float[np.ndarray, " T"]) -> Float[np.ndarray, "T 2"]:
        # From the trailing edge over the upper side to the nose and back below.
        x = (1 + np.cos(2 * np.pi * t)) / 2
        series = x * (-0.1260 + x * (-0.3516 + x * (0.2843 - 0.1036 * x)))
        half = 5 * thickness * (0.2969 * np.sqrt(x) + series)
        u, scale = np.where(x < crest, x, 1 - x), np.where(x < crest, crest, 1 - crest)
        line, slope = camber * u * (2 * scale - u) / scale**2, 2 * camber * (scale - u) / scale**2
        tilt = np.arctan(np.where(x < crest, slope, -slope))
        side = np.where(t < 0.5, half, -half)
        return np.stack([x - side * np.sin(tilt), line + side * np.cos(tilt)], 1) @ turn

    def density(x: Float[np.ndarray, "T 2"]) -> Float[np.ndarray, " T"]:
        return 1 + 2 * np.exp(-np.linalg.norm(x, axis=1) / 0.05)

    box = _rectangle(-1.5, -1.5, 3.0, 1.5, ["wall", "outlet", "wall", "inlet"])
    return lambda h: [box, curve(at, "aerofoil", h / 8, density)]


def _fixed(points: Float[np.ndarray, "P 2"], names: str | list[str]) -> Loops:
    return lambda h: [Loop(points, names)]


def _rectangle(x0: float, y0: float, x1: float, y1: float, names: list[str] = _SIDES) -> Loop:
    return Loop(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float), names)


def _holes(
    rng: np.random.Generator,
    count: int,
    corner: tuple[float, float],
    radii: tuple[float, float],
    fits: Callable[[float, float, float], bool],
) -> list[tuple[float, float, float]]:
    """1 to `count` discs (x, y, r) apart, centred in |x|, |y| < corner, where fits(x, y, r)."""
    holes: list[tuple[float, float, float]] = []
    while not holes:
        for _ in range(30 * count):
            x, y, r = *(rng.uniform(-1, 1, 2) * corner), rng.uniform(*radii)
            apart = all(np.hypot(x - a, y - b) > r + c + _GAP for a, b, c in holes)
            if len(holes) < count and apart and fits(x, y, r + _GAP):
                holes.append((float(x), float(y), float(r)))
    return holes

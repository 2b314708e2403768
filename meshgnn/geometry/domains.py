"""Random families of shapes, meshed: 1D, 2D and 3D, with named boundaries and a size field.

    FAMILIES["l_shape"](rng)  or  draw("l_shape", seed=7)

One seed is one mesh, bit for bit, in any process; one seed at two sizes is one shape at two
resolutions. Every boundary part has a name, the cells are the group "domain".
"""

from collections.abc import Callable
from functools import wraps
from typing import Protocol, runtime_checkable

import numpy as np

from meshgnn.geometry import periodic, planar, solid
from meshgnn.geometry.polygon import mesh_polygon
from meshgnn.mesh import Group, Mesh

_NODES = (330, 650)  # of plane meshes at the default size
_ATTEMPTS = 20


@runtime_checkable
class Family(Protocol):
    """Draws a shape from a generator and meshes it; `size` is the target edge length h."""

    def __call__(self, rng: np.random.Generator, size: float | None = None) -> Mesh: ...


def interval(rng: np.random.Generator, size: float | None = None) -> Mesh:
    """[0, L], L in [1, 2], edges h(x) = h · exp(a cos(2π(x/L + b))), a in [0, 1].

    Groups: left, right.
    """
    length, contrast, phase = rng.uniform(1, 2), rng.uniform(0, 1), rng.uniform(0, 1)
    default = rng.uniform(0.01, 0.03)
    x = np.linspace(0, length, 4097)
    density = np.exp(-contrast * np.cos(2 * np.pi * (x / length + phase)))
    # Edges are equal in ∫ dx / h(x).
    steps = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    steps *= x[1] / (size or default)
    count = max(2, round(steps[-1]))
    points = np.interp(np.arange(count + 1) * steps[-1] / count, steps, x)
    cells = np.stack([np.arange(count), np.arange(1, count + 1)], 1)
    groups = {
        "left": Group(0, {"vertex": np.array([[0]])}),
        "right": Group(0, {"vertex": np.array([[count]])}),
        "domain": Group(1, {"line": cells}),
    }
    return Mesh(points[:, None], {"line": cells}, groups)


def periodic_square(rng: np.random.Generator, size: float | None = None) -> Mesh:
    """[0, 1]², right meshed as left is and top as bottom; what is drawn is the number of nodes.

    With a size every seed gives the same mesh. Groups: left, right, bottom, top.
    """
    nodes = rng.uniform(*_NODES)
    return periodic.periodic_square(_edge(nodes, 1.0, 2.0) if size is None else size)


def _edge(nodes: float, area: float, half: float) -> float:
    """h such that A and half the perimeter P take so many nodes: N ≈ 2A / (√3 h²) + P / (2h)."""
    return float((half + np.sqrt(half**2 + 8 / np.sqrt(3) * area * nodes)) / (2 * nodes))


def _plane(shape: Callable[[np.random.Generator], planar.Loops], crowding: float) -> Family:
    """A plane shape meshed, under its name; by default at the size for a drawn number of nodes.

    `crowding` is what local refinement multiplies the number of nodes by.
    """

    @wraps(shape)
    def build(rng: np.random.Generator, size: float | None = None) -> Mesh:
        loops = shape(rng)
        nodes = rng.uniform(*_NODES) / crowding
        outline = loops(0.05)
        area = outline[0].area - sum(loop.area for loop in outline[1:])
        half = sum(loop.length for loop in outline) / 2
        h = _edge(nodes, area, half) if size is None else size
        return mesh_polygon(loops(h), h)

    return build


def redrawn(build: Family) -> Family:
    """A family that draws again, from the same generator, until the mesh passes `Mesh.check`.

    It has the name of the one that it is made of.

    Raises:
        ValueError: no valid mesh in 20 draws, with the reason of the last one.
    """

    @wraps(build)
    def family(rng: np.random.Generator, size: float | None = None) -> Mesh:
        if size is not None and not 0 < size < np.inf:
            raise ValueError(f"size: expected a positive edge length or None, got {size}")
        reason = None
        for _ in range(_ATTEMPTS):
            try:
                mesh = build(rng, size)
                mesh.check()
                return mesh
            except ValueError as error:
                reason = error
        raise ValueError(
            f"{_ATTEMPTS} shapes in a row gave no valid mesh at size {size}, a smaller one may; "
            f"the last one: {reason}"
        ) from reason

    return family


FAMILIES: dict[str, Family] = {
    "interval": redrawn(interval),
    **{
        shape.__name__: redrawn(_plane(shape, crowding))
        for shape, crowding in (
            (planar.cut_square, 1.0),
            (planar.l_shape, 1.0),
            (planar.u_shape, 1.0),
            (planar.polygon, 1.0),
            (planar.disc_with_holes, 1.0),
            (planar.annulus, 1.0),
            (planar.plate_with_holes, 1.0),
            (planar.channel_with_obstacle, 1.5),
            (planar.naca_aerofoil, 3.8),
        )
    },
    "periodic_square": redrawn(periodic_square),
    "box_with_hole": redrawn(solid.box_with_hole),
    "bracket": redrawn(solid.bracket),
    "pipe_bend": redrawn(solid.pipe_bend),
}


def draw(name: str, seed: int, size: float | None = None) -> Mesh:
    """The mesh of a family for a seed.

    Args:
        name: a key of `FAMILIES`.
        seed: any non-negative integer.
        size: target edge length h; None takes one that suits the family: 300 to 800 nodes in
            2D, 50 to 200 in 1D, 300 to 3000 in 3D.

    Raises:
        ValueError: an unknown family, a size that is not positive or too large for the shape.
        ImportError: gmsh is missing (all families but `interval` need it).
    """
    if name not in FAMILIES:
        raise ValueError(f"unknown family '{name}'; the families are {', '.join(FAMILIES)}")
    return FAMILIES[name](np.random.default_rng(seed), size)

"""The electrostatics benchmark of Lötzsch, Ohler and Otterbach, drawn anew.

    sample = draw("disc", seed=0, index=3)                        # a random mesh, 1 to 3 discs
    train = list(samples("train", seed=0, per_shape=100))         # square, disc, hole, l
    test = list(samples("shape", seed=0, per_shape=100))          # u, which is in no training set

-∇²u = ρ, u = 0 on the whole boundary, ρ = 1 in a few discs of r² < 0.005.

Source: Lötzsch, Ohler and Otterbach, Learning the Solution Operator of Boundary Value Problems
using Graph Neural Networks, ICML workshop 2022.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from meshgnn.geometry.polygon import Loop, circle, mesh_polygon
from meshgnn.mesh import Mesh
from meshgnn.problems.poisson import Poisson
from meshgnn.sample import Sample

SHAPES = ("square", "disc", "hole", "l", "u")
_RADIUS2 = 0.005
_RESOLUTION = 15


@dataclass(frozen=True)
class Split:
    """A part of the benchmark.

    Args:
        shapes: kinds of mesh.
        sources: least and largest number of discs.
        per_shape: published number of samples for each kind.
    """

    shapes: tuple[str, ...]
    sources: tuple[int, int]
    per_shape: int


SPLITS = {
    "train": Split(SHAPES[:4], (1, 3), 2000),
    "validation": Split(SHAPES[:4], (1, 3), 500),
    "superposition": Split(SHAPES[:4], (4, 5), 625),
    "shape": Split(SHAPES[4:], (1, 3), 2500),
}


def samples(
    split: str,
    seed: int = 0,
    per_shape: int | None = None,
    *,
    fixed: bool = False,
    order: int = 2,
) -> Iterator[Sample]:
    """The samples of a part of the benchmark, one shape after the other.

    Parts with the same seed have different samples.

    Args:
        split: a key of `SPLITS`.
        seed: non-negative.
        per_shape: samples of each shape; None is the published number.
        fixed: see `mesh`.
        order: see `draw`.

    Raises:
        ValueError: an unknown part.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; there are {', '.join(SPLITS)}")
    part, number = SPLITS[split], list(SPLITS).index(split)
    count = part.per_shape if per_shape is None else per_shape
    return (
        draw(kind, seed, index, split=number, fixed=fixed, sources=part.sources, order=order)
        for kind in part.shapes
        for index in range(count)
    )


def draw(
    kind: str,
    seed: int,
    index: int,
    *,
    split: int = 0,
    fixed: bool = False,
    sources: tuple[int, int] = (1, 3),
    order: int = 2,
) -> Sample:
    """One sample, solved; it depends on (kind, seed, index, split) and the options only.

    ρ is the P1 function with nodal values 1 in the discs, whose centres are random nodes of the
    mesh; where discs overlap it stays 1.

    Args:
        kind: one of `SHAPES`.
        seed: non-negative.
        index: number of the sample.
        split: another stream of random numbers for the same seed.
        fixed: see `mesh`.
        sources: least and largest number of discs.
        order: 2 for a P2 solution of which the vertex values are kept, as published; 1 for P1.

    Raises:
        ValueError: see `mesh`; fewer nodes than discs.
        ImportError: gmsh is missing (all shapes but the square need it).
    """
    shape = SHAPES.index(_known(kind))
    for_mesh, for_source = np.random.default_rng([seed, split, shape, index]).spawn(2)
    domain = mesh(kind, None if fixed else for_mesh)
    count = int(for_source.integers(sources[0], sources[1], endpoint=True))
    if count > domain.num_nodes:
        raise ValueError(f"expected at most one disc per node, {domain.num_nodes}, got {count}")
    centres = domain.points[for_source.choice(domain.num_nodes, count, replace=False)]
    solved = Poisson(discs(domain, centres), dirichlet={"*": 0.0}).solve(domain, order)
    meta = {"shape": kind, "sources": count, "seed": seed, "index": index, "order": order}
    return replace(solved, meta=solved.meta | meta | {"fixed": fixed, "split": split})


def discs(mesh: Mesh, centres: Float[np.ndarray, "S 2"]) -> Float[np.ndarray, " N"]:
    """1 at the nodes with |x - c|² < 0.005 for some centre c, 0 at the others."""
    gaps = ((mesh.points[:, None] - centres) ** 2).sum(axis=2)
    return (gaps < _RADIUS2).any(axis=1).astype(np.float64)


def mesh(kind: str, rng: np.random.Generator | None = None) -> Mesh:
    """A mesh of a shape in the unit square, the fixed one of its kind where there is no `rng`.

    "square": n x n squares cut into triangles; "disc": radius 1/2, edges 1/n; both with n = 15, or
    7 to 19. The others have edges 1/15: "hole": the disc less one of radius 0.12 in its middle, or
    0.05 to 0.25 about a point in [0.35, 0.65]²; "l": the square less a rectangle with sides 0.5 at
    (0, 0), or 0.2 to 0.8 at any corner; "u": less a slot in the middle of the top, 0.5 wide and
    0.75 deep, or 0.2 to 0.6 by 0.2 to 0.8.

    Args:
        kind: one of `SHAPES`.
        rng: random numbers for resolution or geometry.

    Raises:
        ValueError: an unknown kind.
        ImportError: gmsh is missing (all shapes but the square need it).
    """
    return _fixed(_known(kind)) if rng is None else _build(_known(kind), rng)


@lru_cache
def _fixed(kind: str) -> Mesh:
    return _build(kind, None)


def _build(kind: str, rng: np.random.Generator | None) -> Mesh:
    size = 1 / _RESOLUTION
    if kind in ("square", "disc"):
        n = _RESOLUTION if rng is None else int(rng.integers(7, 19, endpoint=True))
        if kind == "square":
            return _square(n)
        return mesh_polygon([circle((0.5, 0.5), 0.5, "wall", 1 / n)], 1 / n)
    if kind == "hole":
        x, y, radius = (0.5, 0.5, 0.12) if rng is None else _uniform(rng, *_HOLE)
        loops = [circle((0.5, 0.5), 0.5, "wall", size), circle((x, y), radius, "hole", size)]
        return mesh_polygon(loops, size)
    if kind == "l":
        width, height = (0.5, 0.5) if rng is None else _uniform(rng, (0.2, 0.8), (0.2, 0.8))
        corner = 0 if rng is None else int(rng.integers(4))
        points = np.array([[width, 0], [1, 0], [1, 1], [0, 1], [0, height], [width, height]])
        flip = [bool(corner % 2), corner >= 2]
        return mesh_polygon([Loop(np.where(flip, 1 - points, points), "wall")], size)
    width, depth = (0.5, 0.75) if rng is None else _uniform(rng, (0.2, 0.6), (0.2, 0.8))
    a, b, floor = (1 - width) / 2, (1 + width) / 2, 1 - depth
    slot = [[b, 1], [b, floor], [a, floor], [a, 1]]
    return mesh_polygon([Loop(np.array([[0, 0], [1, 0], [1, 1], *slot, [0, 1]]), "wall")], size)


_HOLE = ((0.35, 0.65), (0.35, 0.65), (0.05, 0.25))


def _uniform(rng: np.random.Generator, *ranges: tuple[float, float]) -> list[float]:
    return [float(rng.uniform(*limits)) for limits in ranges]


def _square(n: int) -> Mesh:
    """n x n squares, each cut along its diagonal from the lower left."""
    grid = np.stack(np.meshgrid(*[np.arange(n + 1) / n] * 2, indexing="ij"), axis=-1)
    x, y = np.divmod(np.arange(n * n), n)
    a, b = x * (n + 1) + y, (x + 1) * (n + 1) + y
    lower, upper = np.stack([a, b, b + 1], axis=1), np.stack([a, b + 1, a + 1], axis=1)
    return Mesh(grid.reshape(-1, 2), {"triangle": np.concatenate([lower, upper])})


def _known(kind: str) -> str:
    if kind not in SHAPES:
        raise ValueError(f"unknown shape {kind!r}; there are {', '.join(SHAPES)}")
    return kind

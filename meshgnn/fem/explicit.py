"""Explicit dynamics of large elastic deformations: central differences, walls, held parts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from meshgnn.fem import elastic_kernels as kernels
from meshgnn.fem.elastic_solid import Solid
from meshgnn.sample import Sample

Field = Float[np.ndarray, "N d"]
_LIMIT = 3.2  # of (ω Δt)², which is 4 where central differences lose their stability
_LEAST = 1024  # the longest step over the shortest
_CHUNK = 256  # steps whose prescribed values are held in memory at once


class BlowUp(RuntimeError):
    """A cell of an elastic body turned inside out or was torn apart.

    Attributes:
        time: s.
        node: of that cell the one that moves fastest.
        cell: its simplex, a row of `Mesh.simplices`.
        sample: the frames before, where a problem keeps them; else None.
    """

    def __init__(self, time: float, node: int, cell: int, message: str) -> None:
        super().__init__(message)
        self.time, self.node, self.cell = time, node, cell
        self.sample: Sample | None = None


class State(NamedTuple):
    """Displacement and velocity [N, d] at a time, the strain energy, and the steps it took."""

    time: float
    u: Field
    v: Field
    strain: float
    steps: int


@dataclass(frozen=True, eq=False)
class Scene:
    """What acts on a body from outside.

    Args:
        gravity: [d] m/s².
        lo: [d] walls below, -inf where there are none.
        hi: [d] walls above, inf where there are none.
        friction: Coulomb's coefficient.
        damping: rate of the force -α ρ v, 1/s.
    """

    gravity: Float[np.ndarray, " d"]
    lo: Float[np.ndarray, " d"]
    hi: Float[np.ndarray, " d"]
    friction: float = 0.0
    damping: float = 0.0


@dataclass(frozen=True, eq=False)
class Held:
    """Components of nodes whose displacement is prescribed.

    Args:
        mask: [N, d].
        values: times [n] -> [n, H], H in the order of np.nonzero(mask); one row is for all times.
    """

    mask: Bool[np.ndarray, "N d"]
    values: Callable[[Float[np.ndarray, " n"]], Float[np.ndarray, "_ H"]]

    @cached_property
    def rows(self) -> Int[np.ndarray, "H 2"]:
        """(node, component)."""
        return np.stack(np.nonzero(self.mask), axis=1)


def march(
    solid: Solid,
    scene: Scene,
    start: tuple[Field, Field],
    times: Float[np.ndarray, " T"],
    step: float,
    held: Held,
) -> Iterator[State]:
    """The states at the times, by central differences in equal steps of at most `step`.

        v+ = (v + Δt/2 a) / (1 + α Δt/2),  u' = u + Δt v+,  v' = (1 - α Δt/2) v+ + Δt/2 a'

    with a = f(u) / m + g. Of order 2; momentum and angular momentum are kept to rounding, the
    energy within bounds. Where v+ would carry a node through a wall, an impulse gives it the speed
    that ends at the wall and takes at most μ times itself off the speed along it: such impulses
    only take energy. At prescribed components u' is given; their v is the mean of the last step.

    What is compressed grows stiffer: a step after which an estimate of ω is too high for it is not
    taken, and the step is halved until the next of the times.

    Args:
        solid: the body.
        scene: forces and walls.
        start: u and v at times[0].
        times: increasing.
        step: Δt at most, s.
        held: prescribed components.

    Raises:
        ValueError: see `Solid.forces`, at the start.
        BlowUp: a cell turns inside out, or wants steps of less than 1/1000.
    """
    run = _Run(solid, scene, held, start[0].copy(), start[1].copy())
    yield State(float(times[0]), run.u.copy(), run.v.copy(), run.strain, 0)
    for begin, end in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
        taken = run.advance(begin, end, step)
        yield State(end, run.u.copy(), run.v.copy(), run.strain, taken)


@dataclass
class _Run:
    solid: Solid
    scene: Scene
    held: Held
    u: np.ndarray
    v: np.ndarray
    force: np.ndarray = field(init=False)
    strain: float = field(init=False)
    peak: float = field(init=False)

    def __post_init__(self) -> None:
        self.force, self.strain, self.peak = self.solid.forces(self.u)

    def advance(self, begin: float, end: float, step: float) -> int:
        """From time to time; the number of steps. Raises: BlowUp."""
        solid, scene, held, total, done = self.solid, self.scene, self.held, 0, 0
        count = max(1, ceil((end - begin) / step * (1 - 1e-9)))
        dt, worst = (end - begin) / count, -1
        while done < count:
            while worst >= 0 or self.peak * dt**2 > _LIMIT:
                dt, done, count = dt / 2, 2 * done, 2 * count
                if dt < step / _LEAST:
                    cell = worst if worst >= 0 else self._stiffest()
                    raise _blow_up(solid, self.v, begin + dt * done, cell)
                worst = -1
            steps = min(_CHUNK, count - done)
            path = held.values(begin + dt * np.arange(done + 1, done + steps + 1))
            self.strain, self.peak, worst, taken = kernels.advance(
                *solid.kind, solid.mesh.points, self.u, self.v, self.force, *solid.arrays,
                solid.mass, scene.gravity, scene.damping, scene.lo, scene.hi, scene.friction,
                held.mask, held.rows, np.ascontiguousarray(path), dt, steps, _LIMIT,
                self.strain, self.peak,
            )  # fmt: skip
            done, total = done + taken, total + taken
        return total

    def _stiffest(self) -> int:
        """The cell whose ω is the highest now."""
        solid, unused = self.solid, np.empty_like(self.force)
        return int(kernels.forces(*solid.kind, self.u, *solid.arrays, unused)[2])


def _blow_up(solid: Solid, v: Field, time: float, cell: int) -> BlowUp:
    nodes = solid.mesh.simplices[cell]
    speed = np.nan_to_num(np.abs(v[nodes]), nan=np.inf).max(axis=1)
    node = int(nodes[speed.argmax()])
    place = ", ".join(f"{x:.4g}" for x in solid.mesh.points[node])
    return BlowUp(
        time, node, cell,
        f"the elastic body blew up at t = {time:.6g} s: simplex {cell} at node {node}, X = "
        f"({place}), is turned inside out, torn apart or pressed flat; take a finer mesh, a lower "
        "courant, less speed, or the fixed-corotated law",
    )  # fmt: skip

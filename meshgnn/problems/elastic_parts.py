"""What elastodynamics makes of its data: walls, prescribed parts over time, energy and momentum."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float

from meshgnn.fem import Space, values
from meshgnn.fem.elastic_solid import Solid
from meshgnn.fem.explicit import Held, State
from meshgnn.problems.conditions import Conditions
from meshgnn.problems.transient import frozen, varies
from meshgnn.sample import Sample


def wall_arrays(
    walls: Sequence[Sequence[float | int | None] | np.ndarray | None], dim: int
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
    """lo and hi [d], infinite where they are open.

    Raises:
        ValueError: not a pair, not d bounds, NaN, or a lower bound that is not below the upper.
    """
    if len(walls) != 2:
        raise ValueError(f"walls: expected a pair (lo, hi), got {len(walls)} entries")
    sides = []
    for name, bounds, open_at in zip(("lo", "hi"), walls, (-np.inf, np.inf), strict=True):
        given = [None] * dim if bounds is None else list(bounds)
        given = values.per_channel(given, dim, f"walls: {name}")
        sides.append(np.array([open_at if w is None else float(w) for w in given]))
    lo, hi = sides
    if not (lo < hi).all():
        raise ValueError(
            f"walls: expected lo below hi on every axis, got {lo.tolist()} and {hi.tolist()}"
        )
    return lo, hi


def held_parts(
    conditions: Callable[[float], Conditions],
    dirichlet: Mapping[str, Any],
    times: Float[np.ndarray, " T"],
) -> Held:
    """The prescribed components; of parts that move only the values are computed again.

    Args:
        conditions: t -> the conditions of these parts.
        dirichlet: {part: u}, the later winning where two meet.
        times: the first is where `conditions` is asked.
    """
    first = conditions(float(times[0]))
    space = Space(first.mesh)
    mask, known = first.prescribed(space)
    if not varies(dirichlet):
        return Held(mask, lambda times: known[mask][None])
    marks = {name: _marked(spec, i) for i, (name, spec) in enumerate(dirichlet.items())}
    owner = np.where(mask, replace(first, dirichlet=marks).prescribed(space)[1], -1)
    moving = []
    for i, (name, spec) in enumerate(dirichlet.items()):
        nodes = np.flatnonzero((owner == i).any(axis=1))
        if varies(spec) and len(nodes):
            moving.append((name, spec, nodes, owner[nodes] == i))

    def at(time: float) -> Float[np.ndarray, " H"]:
        now = known.copy()
        for name, spec, nodes, own in moving:
            spec = [0.0 if v is None else v for v in spec] if isinstance(spec, Sequence) else spec
            what = f"Dirichlet value on {name!r}"
            given = space.interpolate(frozen(spec, time), what, nodes, first.channels)
            now[nodes] = np.where(own, given, now[nodes])
        return now[mask]

    return Held(mask, lambda times: np.stack([at(time) for time in times.tolist()]))


def _marked(spec: Any, number: int) -> Any:
    if isinstance(spec, Sequence):
        return [None if part is None else float(number) for part in spec]
    return float(number)


def balance(
    solid: Solid, gravity: Float[np.ndarray, " d"], states: Sequence[State]
) -> dict[str, Any]:
    """Energies, J, and momenta of the states (in 2D both per depth), and the steps between them.

    Kinetic Σ m |v|² / 2, strain ∫ W dx, potential -Σ m g·u; linear Σ m v and angular
    Σ m (x_a v_b - x_b v_a) for a < b, about x = 0.
    """
    mass, x = solid.mass, solid.mesh.points
    kinetic, potential, linear, angular = [], [], [], []
    for _, u, v, *_ in states:
        kinetic.append(float(mass @ (v**2).sum(axis=1) / 2))
        potential.append(float(-mass @ (u @ gravity)))
        linear.append((mass @ v).tolist())
        turn = [
            float(mass @ ((x + u)[:, a] * v[:, b] - (x + u)[:, b] * v[:, a]))
            for a, b in combinations(range(x.shape[1]), 2)
        ]
        angular.append(turn)
    strain = [state.strain for state in states]
    return {
        "energy": {"kinetic": kinetic, "strain": strain, "potential": potential},
        "momentum": {"linear": linear, "angular": angular},
        "steps": [state.steps for state in states[1:]],
    }


def shortened(sample: Sample, count: int) -> Sample:
    """The sample at its first `count` times."""
    boundary = sample.boundary
    if boundary.dirichlet_values.ndim == 3:
        boundary = replace(boundary, dirichlet_values=boundary.dirichlet_values[:count])
    return replace(sample, times=sample.times[:count], boundary=boundary)

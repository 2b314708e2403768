"""Which piece of the boundary of one shape is which piece of another's."""

from collections import Counter

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment


def features(
    centres: Float[np.ndarray, "P d"],
    directions: Float[np.ndarray, "P d"],
    points: Float[np.ndarray, "N d"],
) -> Float[np.ndarray, "P f"]:
    """Where each piece is in the bounding box of its shape, from 0 to 1, and half its direction."""
    low, high = points.min(axis=0), points.max(axis=0)
    return np.hstack([(centres - low) / (high - low), directions / 2])


def matched(
    names: list[str],
    found: Float[np.ndarray, "P f"],
    wanted_names: list[str],
    wanted: Float[np.ndarray, "W f"],
    kind: str,
) -> Int[np.ndarray, " W"]:
    """For each wanted piece the one of the same name, so that Σ |difference of features|² is least.

    Raises:
        ValueError: names that do not occur equally often: how often each does, here and there.
    """
    have, want = Counter(names), Counter(wanted_names)
    if have != want:
        rows = [
            f"{name!r} {want[name]} in the reference, {have[name]} here"
            for name in sorted(have | want)
            if have[name] != want[name]
        ]
        raise ValueError(
            f"correspondence: this shape has other {kind} than the reference ({'; '.join(rows)}). "
            "Shapes of one family have the same named parts, holes and sharp corners; name the "
            "parts apart, or leave the shape out"
        )
    order = np.zeros(len(wanted_names), dtype=np.int64)
    for name in want:
        here = np.array([i for i, other in enumerate(names) if other == name])
        there = np.array([i for i, other in enumerate(wanted_names) if other == name])
        cost = ((wanted[there, None] - found[None, here]) ** 2).sum(axis=2)
        row, column = linear_sum_assignment(cost)
        order[there[row]] = here[column]
    return order

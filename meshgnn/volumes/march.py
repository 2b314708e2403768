"""Time stepping of finite volumes: what is stiff and linear exactly, the rest by Runge–Kutta."""

from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

_MOST = 100_000_000  # steps between two times, which no solution needs that is not about to burst
_CACHE = 4800  # values in an array: the work space of a step then stays in a core's cache


@runtime_checkable
class Scheme(Protocol):
    """∂u/∂t = L u + N(u, t), discretised in space; u[:, b] are trajectories on their own."""

    def rate(self, u: Float[np.ndarray, "n B"], time: float) -> Float[np.ndarray, "n B"]:
        """N(u, t)."""
        ...

    def limit(self, u: Float[np.ndarray, "n B"], time: float) -> float:
        """The longest step from u at this time that N allows."""
        ...

    def propagator(self, dt: float, cells: int) -> Callable[[np.ndarray], np.ndarray] | None:
        """u -> exp(L dt) u, or None where L = 0."""
        ...


def columns(cells: int) -> int:
    """How many trajectories to march at once: as many as stay in the cache."""
    return max(1, _CACHE // cells)


def march(
    scheme: Scheme, u: Float[np.ndarray, "n B"], times: Float[np.ndarray, " T"]
) -> Iterator[Float[np.ndarray, "n B"]]:
    """u at each of the times, the first being that of the initial value.

    Lawson's form of the strong-stability-preserving Runge–Kutta method of order 3 whose stages are
    at 0, 2/3, 2/3 of the step: the exponentials go forward in time only. Steps are equal from one
    time to the next where `scheme.limit` allows; one that ends where a quarter more than the limit
    was taken (a front that comes in, a source that sets fluid at rest in motion) is done again.

    Raises:
        FloatingPointError: the solution is not finite any more, or needs more than 1e8 steps to the
            next of the times (the time and the step).

    Source: Isherwood, Grant & Gottlieb, Strong stability preserving integrating factor Runge–Kutta
    methods, 2018, eSSPRK+(3,3).
    """
    yield u
    spread: tuple[float, list] = (0.0, [])
    for start, end in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
        time, left = start, 1
        while left:
            left = max(left, _count(end - time, scheme.limit(u, time)))
            dt = (end - time) / left
            if abs(dt - spread[0]) > 1e-9 * dt:
                spread = dt, [scheme.propagator(part * dt, len(u)) for part in (2 / 3, 1 / 3)]
            ahead = _step(scheme, u, time, dt, *spread[1])
            if not np.isfinite(ahead).all() or left > _MOST:
                raise FloatingPointError(
                    f"finite volumes: the solution blows up at t = {time:g} s, where dt = {dt:.3g} "
                    "s; give a smaller cfl, or data that are bounded"
                )
            if dt > 1.25 * scheme.limit(ahead, time + dt):
                left *= 2
                continue
            u, time, left = ahead, time + dt, left - 1
        yield u


def _count(span: float, limit: float) -> int:
    """Steps of at most this length over a span."""
    return max(1, int(np.ceil(span / limit - 1e-9)))


def _step(
    scheme: Scheme,
    u: Float[np.ndarray, "n B"],
    time: float,
    dt: float,
    most: Callable[[np.ndarray], np.ndarray] | None,
    rest: Callable[[np.ndarray], np.ndarray] | None,
) -> Float[np.ndarray, "n B"]:
    first = scheme.rate(u, time)
    if most is not None:
        u, first = most(u), most(first)
    second = scheme.rate(u + (2 / 3 * dt) * first, time + 2 / 3 * dt)
    between = (2 / 9 * dt) * first + (4 / 9 * dt) * second
    third = scheme.rate(u + between, time + 2 / 3 * dt)
    u = u + dt * (first / 4 + 3 / 16 * second + 9 / 16 * third)
    return u if rest is None else rest(u)

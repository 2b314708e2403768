"""An engine without processes, some of which die, for the tests of those who call workers."""

from collections.abc import Callable
from typing import Any


class Died(Exception):
    """A process has ended before its answer."""


class InlineEngine:
    """Computes where it is asked to; call number i (from 0) dies when i is in `dying`.

    The last calls are answered first, as processes of unequal speed would.
    """

    DEAD = (Died,)
    dying: frozenset[int] = frozenset()
    all_die = False

    def __init__(self, function: Callable[..., Any], jobs: int) -> None:
        self.function, self.jobs, self.closed = function, jobs, False
        self.calls: list[tuple] = []

    def submit(self, arguments: tuple) -> Any:
        self.calls.append(arguments)
        return len(self.calls) - 1

    def done(self, futures: list[Any], wait: bool) -> list[Any]:
        return futures[-1:]

    def result(self, future: Any) -> Any:
        if future in self.dying:
            raise Died("no answer")
        return self.function(*self.calls[future])

    def restart(self) -> bool:
        return self.all_die

    def close(self) -> None:
        self.closed = True

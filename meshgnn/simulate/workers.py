"""Calls of a function in other processes, here or on a Ray cluster, each answered once."""

from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

from meshgnn.simulate.ray_engine import RayEngine

Key = TypeVar("Key", bound=Hashable)
ENGINES = ("joblib", "ray")
_DEATHS = 4  # of its worker, the last of them while it was alone, after which a call is given up
# One thread in each process: small systems gain nothing from more, and processes would fight.
_LIBRARIES = ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMBA", "VECLIB_MAXIMUM", "NUMEXPR")
_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in _LIBRARIES}


class Engine(Protocol):
    """Where calls are computed; `DEAD` are the errors of a call whose process has ended."""

    @property
    def DEAD(self) -> tuple[type[BaseException], ...]: ...

    @property
    def jobs(self) -> int: ...

    def submit(self, arguments: tuple) -> Any:
        """Begin a call; its future."""
        ...

    def done(self, futures: list[Any], wait: bool) -> list[Any]:
        """Those that have ended; with `wait` at least one."""
        ...

    def result(self, future: Any) -> Any:
        """What it gave, or the error it raised."""
        ...

    def restart(self) -> bool:
        """After a process has died; True when that takes all other calls along."""
        ...

    def close(self) -> None:
        """End the processes, and what they are at."""
        ...


class LokyEngine:
    """Processes of this machine, those of joblib."""

    def __init__(self, function: Callable[..., Any], jobs: int) -> None:
        from joblib.externals import loky

        self._loky, self._function, self.jobs = loky, function, jobs
        self.DEAD = (loky.BrokenProcessPool,)
        self._start()

    def _start(self) -> None:
        self._pool = self._loky.ProcessPoolExecutor(self.jobs, env=_ONE_THREAD)

    def submit(self, arguments: tuple) -> Any:
        """Begin a call."""
        with suppress(*self.DEAD):
            return self._pool.submit(self._function, *arguments)
        # a process died since the last answer: this call has died with it, and begins with them
        future = self._loky.Future()
        future.set_exception(self.DEAD[0]("the processes have ended"))
        return future

    def done(self, futures: list[Any], wait: bool) -> list[Any]:
        """Those that have ended."""
        timeout = None if wait else 0
        return list(self._loky.wait(futures, timeout, self._loky.FIRST_COMPLETED).done)

    def result(self, future: Any) -> Any:
        """What it gave."""
        return future.result()

    def restart(self) -> bool:
        """All processes end with one of them, so all are started again."""
        self.close()
        self._start()
        return True

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(wait=True, kill_workers=True)


class Workers(Generic[Key]):
    """Calls of one function in other processes.

    A process that is killed is replaced, and what it was at is computed again; every call is
    answered once, whatever happens on the way. Where all calls are lost with one process, nobody
    knows whose it was: those that were lost again and again are then computed one by one.

    Args:
        function: what is called; sent to the processes by cloudpickle.
        jobs: processes; of a Ray cluster all there are.
        engine: "joblib" (this machine) or "ray" (`RAY_ADDRESS`, else a cluster of this machine).

    Raises:
        ValueError: an unknown engine, or fewer jobs than one.
        ImportError: Ray is asked for and not installed.
    """

    def __init__(self, function: Callable[..., Any], jobs: int, engine: str = "joblib") -> None:
        if engine not in ENGINES:
            raise ValueError(f"unknown engine {engine!r}; choose one of {', '.join(ENGINES)}")
        if jobs < 1:
            raise ValueError(f"expected jobs of at least 1, got {jobs}")
        made = (LokyEngine if engine == "joblib" else RayEngine)(function, jobs)
        self._engine: Engine = made
        self._calls: dict[Key, tuple] = {}
        self._deaths: dict[Key, int] = {}
        self._futures: dict[Any, Key] = {}
        self._held: list[Key] = []  # while a suspect is computed alone
        self._together = False  # whether one death ends all calls

    def __enter__(self) -> "Workers[Key]":
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.close()

    @property
    def jobs(self) -> int:
        """How many calls are computed at a time."""
        return self._engine.jobs

    @property
    def pending(self) -> int:
        """Calls that were not answered yet."""
        return len(self._calls)

    def submit(self, key: Key, *arguments: Any) -> None:
        """Begin a call; its answer comes under this key.

        Raises:
            ValueError: a key that is pending.
        """
        if key in self._calls:
            raise ValueError(f"a call with the key {key!r} is pending; give every call its own")
        self._calls[key] = arguments
        if self._held or any(map(self._suspected, self._futures.values())):
            self._held.append(key)
        else:
            self._begin(key)

    def collect(self, wait: bool = True) -> list[tuple[Key, Any]]:
        """Answers that have come since the last time, in any order; with `wait` at least one.

        Raises:
            RuntimeError: a call whose process died again and again.
            Exception: whatever the function raised.
        """
        answers: list[tuple[Key, Any]] = []
        while self._futures and not answers:
            dead: dict[Key, BaseException] = {}
            for future in self._engine.done(list(self._futures), wait):
                key = self._futures.pop(future)
                try:
                    answers.append((key, self._engine.result(future)))
                    del self._calls[key]
                    self._deaths.pop(key, None)
                except self._engine.DEAD as error:
                    dead[key] = error
            if dead:
                self._again(dead)
            if not self._futures:
                self._go_on()
            if not wait:
                break
        return answers

    def _again(self, dead: dict[Key, BaseException]) -> None:
        """Count the death for all that were lost by it, and begin with them once more."""
        lost = [*dead]
        self._together = self._engine.restart()
        if self._together:
            lost += self._futures.values()
            self._futures.clear()
        for key in lost:
            self._deaths[key] = self._deaths.get(key, 0) + 1
            if self._deaths[key] == _DEATHS:
                raise RuntimeError(
                    f"the process that computed sample {key} was killed {_DEATHS} times; it may "
                    "need more memory than there is: take fewer jobs, or smaller meshes. What is "
                    "written is whole, and the same call goes on from there"
                ) from dead[key]
        self._held = lost + self._held
        if not self._together:
            self._go_on()

    def _go_on(self) -> None:
        """Begin with what was held back: a suspect alone, or all when there is none."""
        self._held.sort(key=self._suspected, reverse=True)
        count = 1 if self._held and self._suspected(self._held[0]) else len(self._held)
        begun, self._held = self._held[:count], self._held[count:]
        for key in begun:
            self._begin(key)

    def _suspected(self, key: Key) -> bool:
        """Whether one more death would end the run."""
        return self._together and self._deaths.get(key, 0) >= _DEATHS - 1

    def _begin(self, key: Key) -> None:
        self._futures[self._engine.submit(self._calls[key])] = key


def answers(
    function: Callable[..., Any], calls: Iterable[tuple[Key, tuple]], jobs: int, engine: str
) -> Iterator[tuple[Key, Any]]:
    """(key, answer) of every (key, arguments), as they come; a few calls are ahead of the last."""
    workers: Workers[Key] = Workers(function, jobs, engine)
    with workers:
        for key, arguments in calls:
            while workers.pending >= 4 * workers.jobs:
                yield from workers.collect()
            workers.submit(key, *arguments)
        while workers.pending:
            yield from workers.collect()

"""Samples simulated by other processes, as a stream of graphs."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from torch_geometric.data import Data

from meshgnn.graph import MeshDataset
from meshgnn.online.reservoir import Reservoir
from meshgnn.sample import Sample
from meshgnn.simulate import MeshFamily, draw_task, name_of, tell_redrawn, text_of
from meshgnn.simulate.workers import Workers


@dataclass(frozen=True)
class Rules:
    """How a stream is consumed.

    Args:
        batch_size: graphs in a step, over all devices together.
        steps: in an epoch.
        capacity: graphs in the reservoir.
        threshold: graphs in it before the first step.
        repeats: how often a graph is trained on at most.
        fresh: new samples that come in for every step; None takes those there are, as they come.

    Raises:
        ValueError: numbers that do not go together.
    """

    batch_size: int
    steps: int
    capacity: int
    threshold: int
    repeats: int
    fresh: float | None = None

    def __post_init__(self) -> None:
        if min(self.batch_size, self.steps, self.repeats) < 1:
            raise ValueError(
                f"online: expected batch_size, steps and repeats of at least 1, got "
                f"{self.batch_size}, {self.steps} and {self.repeats}"
            )
        if not self.batch_size <= self.threshold <= self.capacity:
            raise ValueError(
                f"online: expected batch_size <= threshold <= capacity, got {self.batch_size}, "
                f"{self.threshold}, {self.capacity}"
            )
        if self.fresh is not None and not self.fresh > 0:
            raise ValueError(
                f"online: expected fresh > 0 samples a step, or None, got {self.fresh}"
            )


@dataclass(frozen=True)
class Source:
    """What is simulated; sample i depends on (seed, i) only. Arguments as in `simulate`."""

    problem: str | type | Callable[..., Any]
    families: Sequence[MeshFamily]
    seed: int = 0
    size: float | None = None
    order: int = 1
    options: dict[str, Any] = field(default_factory=dict)

    def task(self, index: int) -> tuple:
        """What `draw_task` of `meshgnn.simulate` takes for this sample."""
        family = self.families[index % len(self.families)]
        return (self.problem, family, self.seed, index, self.size, False, self.order, self.options)

    def identity(self) -> dict[str, Any]:
        """What a run must share with one that it continues."""
        return {
            "problem": name_of(self.problem),
            "families": [name_of(family) for family in self.families],
            "data_seed": self.seed,
            "size": self.size,
            "order": self.order,
            "options": {key: text_of(value) for key, value in sorted(self.options.items())},
        }


class Simulations:
    """A stream for `fit`: workers simulate, a reservoir keeps what came, training draws from it.

    With `fresh` samples come in by their number and by the step, so that the same run gives the
    same weights however fast the workers are; without, as they come. Either way training waits
    where no sample may be trained on once more, and the workers wait where all that the reservoir
    holds is new. A worker that is killed is replaced, and its sample is computed again.

    Args:
        source: what is simulated.
        rules: how it is consumed.
        windows: history, bundle, stride of the graphs, as of `MeshDataset`.
        jobs: processes for each of the processes that train.
        engine: "joblib" or "ray", see `simulate`.
    """

    def __init__(
        self,
        source: Source,
        rules: Rules,
        windows: dict[str, int] | None = None,
        jobs: int = 2,
        engine: str = "joblib",
    ) -> None:
        self.source, self.rules, self.windows = source, rules, windows or {}
        self._workers: Workers[int] = Workers(draw_task, jobs, engine)
        self._reservoir: Reservoir | None = None
        self._waiting: dict[int, Sample] = {}
        self._redrawn: list[int] = []
        self._asked = self._next = self._step = 0
        self._stride = self._windows_of_one = 1

    def __enter__(self) -> "Simulations":
        return self

    def __exit__(self, *problem: object) -> None:
        self._workers.__exit__(*problem)
        tell_redrawn("online", self._redrawn)

    def __len__(self) -> int:
        return self.rules.steps * self.rules.batch_size

    @property
    def taken(self) -> int:
        """Samples that came in."""
        return len(self._redrawn)

    @property
    def evicted(self) -> int:
        """Graphs that gave way to new ones before their last use."""
        return 0 if self._reservoir is None else self._reservoir.evicted

    def identity(self) -> dict[str, Any]:
        """What a run must share with one that it continues."""
        return self.source.identity() | {"rules": asdict(self.rules), "windows": self.windows}

    def position(self) -> int:
        """All samples from this number on are new to this process."""
        return self._asked

    def begin(self, rank: int, world: int, start: int) -> MeshDataset:
        """Fill the reservoir to the threshold with samples start + rank, + world, ...; these."""
        rng = np.random.default_rng([self.source.seed, rank, start])
        self._reservoir = Reservoir(self.rules.capacity, self.rules.repeats, rng)
        self._stride, self._asked, self._next = world, start + rank, start + rank
        first: list[Sample] = []
        while len(self._reservoir) < self.rules.threshold:
            first.append(self._arrival())
            self._put(first[-1])
        return MeshDataset(first, **self.windows)

    def draw(self, count: int) -> list[Data]:
        """Graphs of one step."""
        reservoir = self._opened()
        self._step += 1
        if self.rules.fresh is None:
            self._collect(wait=False)
            while self._waiting and self._fits():
                self._put(self._arrival())
        else:
            before, after = (int(self.rules.fresh * s) for s in (self._step - 1, self._step))
            for _ in range(before, after):
                if self._fits():
                    self._put(self._arrival())
        while len(reservoir) < count:
            self._put(self._arrival())
        return [dataset[place] for dataset, place in reservoir.draw(count)]

    def _opened(self) -> Reservoir:
        if self._reservoir is None:
            raise ValueError("Simulations: call begin before draw; `fit` does")
        return self._reservoir

    def _fits(self) -> bool:
        """Whether the next sample has room without loss of any that was not drawn."""
        return self._opened().room >= self._windows_of_one

    def _put(self, sample: Sample) -> None:
        dataset, reservoir = MeshDataset([sample], **self.windows), self._opened()
        self._windows_of_one = max(self._windows_of_one, len(dataset))
        if self.rules.threshold - 1 + len(dataset) > self.rules.capacity:
            raise ValueError(
                f"online: a sample gives {len(dataset)} graphs, which does not go into a reservoir "
                f"of capacity={self.rules.capacity} beside threshold={self.rules.threshold}; take "
                f"capacity >= {self.rules.threshold - 1 + len(dataset)}, or a larger stride"
            )
        self._redrawn.append(sample.meta["redrawn"])
        for place in range(len(dataset)):
            reservoir.put((sample.meta["index"], place), (dataset, place))

    def _arrival(self) -> Sample:
        """The next sample: by number, or, without `fresh`, any that has come."""
        ordered = self.rules.fresh is not None
        while not self._waiting or (ordered and self._next not in self._waiting):
            self._collect(wait=True)
        key = self._next if ordered else next(iter(self._waiting))
        self._next += self._stride
        sample = self._waiting.pop(key)
        self._ask()
        return sample

    def _collect(self, wait: bool) -> None:
        self._ask()
        self._waiting |= dict(self._workers.collect(wait))
        self._ask()

    def _ask(self) -> None:
        """Keep the workers busy, a few samples ahead."""
        ahead = 2 * self._workers.jobs
        while self._workers.pending < ahead and len(self._waiting) < 2 * ahead:
            self._workers.submit(self._asked, *self.source.task(self._asked))
            self._asked += self._stride

"""The settings of a run, and what follows from them alone: order of the graphs, learning rate."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch


def one_cycle(position: float, warm: float = 0.3) -> float:
    """Factor of the learning rate at a position from 0 to 1 of the run: 1/25 up to 1, down to 0.

    Half a cosine wave up over the first `warm`, and down over the rest.

    Source: Smith & Topin, Super-convergence, 2018, with cosines in place of straight lines.
    """
    if position < warm:
        return 1 / 25 + (1 - 1 / 25) * (1 - math.cos(math.pi * position / warm)) / 2
    return (1 + math.cos(math.pi * min((position - warm) / (1 - warm), 1.0))) / 2


SCHEDULES = {"one-cycle": one_cycle, "constant": lambda position: 1.0}


class Share(NamedTuple):
    """What one process does of a batch.

    Args:
        places: of its graphs in the data set, at least one.
        counts: whether they belong to it; False where there are fewer graphs than processes.
        size: graphs in the whole batch.
    """

    places: list[int]
    counts: bool
    size: int


@dataclass(frozen=True)
class Plan:
    """The settings that make a run what it is; arguments as in `fit`.

    Raises:
        ValueError: numbers out of range, an unknown schedule.
    """

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    schedule: str
    noise: float | Sequence[float]
    clip: float | None
    ema: float | None
    seed: int

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"fit: expected {name} >= {least}, got {getattr(self, name)}")
        if not self.lr > 0 or min(self.spread) < 0 or not (self.clip is None or self.clip > 0):
            raise ValueError(
                f"fit: expected lr > 0, noise >= 0 and clip > 0 (or None), got lr={self.lr}, "
                f"noise={self.noise}, clip={self.clip}"
            )
        if self.schedule not in SCHEDULES:
            raise ValueError(
                f"fit: unknown schedule {self.schedule!r}; expected one of {', '.join(SCHEDULES)}"
            )

    @property
    def spread(self) -> tuple[float, ...]:
        """Standard deviation of the noise, one number or one per component."""
        return (self.noise,) if isinstance(self.noise, int | float) else tuple(self.noise)

    def identity(self) -> dict[str, Any]:
        """What a run must share with one that it continues."""
        kept = asdict(self) | {"noise": list(self.spread)}
        if self.schedule == "constant":  # then nothing depends on how many epochs there will be
            del kept["epochs"]
        return kept

    def rate(self, position: float) -> float:
        """Learning rate at a position from 0 to 1 of the run."""
        return self.lr * SCHEDULES[self.schedule](position)

    def seed_of(self, *numbers: int) -> int:
        """A seed for one purpose, from the seed of the run and the numbers of the purpose."""
        sequence = np.random.SeedSequence([self.seed, *numbers])
        return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))

    def batches(self, count: int, epoch: int, rank: int, world: int) -> Iterator[Share]:
        """The share of one process in every batch; together they have every graph once."""
        generator = torch.Generator().manual_seed(self.seed_of(epoch))
        order = torch.randperm(count, generator=generator).tolist()
        for start in range(0, count, self.batch_size):
            batch = order[start : start + self.batch_size]
            own = batch[rank::world]
            yield Share(own or batch[:1], bool(own), len(batch))

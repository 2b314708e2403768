"""What a run shows on the way, and what it leaves behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class History:
    """One number an epoch. On a CPU equal, up to `seconds`, for equal seed, data and settings.

    Args:
        train: mean training loss.
        validation: mean validation loss; empty without a validation set.
        learning_rate: of the last step of the epoch.
        seconds: wall time of the epoch, validation included.
    """

    train: tuple[float, ...] = ()
    validation: tuple[float, ...] = ()
    learning_rate: tuple[float, ...] = ()
    seconds: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.train)

    def then(
        self, train: float, validation: float | None, learning_rate: float, seconds: float
    ) -> "History":
        """With one more epoch."""
        return History(
            (*self.train, train),
            self.validation if validation is None else (*self.validation, validation),
            (*self.learning_rate, learning_rate),
            (*self.seconds, seconds),
        )


class Report:
    """Where a run stands: a bar on a terminal, about twenty lines elsewhere."""

    def __init__(self, epochs: int, bar: Any, silent: bool) -> None:
        self.epochs, self.bar, self.silent = epochs, bar, silent

    def part(self, done: float) -> None:
        """So many epochs are done, parts of one included."""
        if self.bar is not None:
            self.bar.update(0, completed=done)

    def epoch(self, history: History, planned: int) -> None:
        """An epoch is done."""
        done = len(history)
        text = f"epoch {done}/{planned}  train {history.train[-1]:.4g}"
        if history.validation:
            text += f"  validation {history.validation[-1]:.4g}"
        if self.bar is not None:
            self.bar.update(0, completed=done, total=planned, description=text)
        elif not self.silent and (done % -(-self.epochs // 20) == 0 or done == planned):
            print(f"{text}  {sum(history.seconds):.1f} s", flush=True)


@contextmanager
def reporting(epochs: int, show: bool, fabric: Any) -> Iterator[Report]:
    """A `Report` for the time of a run; silent in all processes but the first."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console, show = Console(), show and fabric.is_global_zero
    if not show or not (console.is_terminal or console.is_jupyter):
        yield Report(epochs, None, silent=not show)
        return
    columns = (TextColumn("{task.description}"), BarColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as bar:
        bar.add_task("training", total=epochs)
        yield Report(epochs, bar, silent=False)

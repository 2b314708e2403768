"""What training draws from while new graphs come in."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class _Entry:
    """An item, by its key, and how often it was drawn."""

    key: Hashable
    item: Any
    seen: int = 0


class Reservoir:
    """At most `capacity` items, each of which is drawn at most `repeats` times, then dropped.

    A new item takes the place of one, chosen at random, among those that were drawn before; what
    was never drawn is never dropped. A draw is uniform over what is there, without repetition.

    Source: Meyer et al. 2023, Training deep surrogate models with large scale online learning
    (the reservoir), here with a limit on how often an item is drawn.

    Args:
        capacity: number of items.
        repeats: how often an item may be drawn.
        rng: random numbers of draws and of evictions.

    Raises:
        ValueError: numbers below 1.
    """

    def __init__(self, capacity: int, repeats: int, rng: np.random.Generator) -> None:
        if min(capacity, repeats) < 1:
            raise ValueError(
                f"Reservoir: expected capacity and repeats of at least 1, got {capacity}, {repeats}"
            )
        self.capacity, self.repeats, self._rng = capacity, repeats, rng
        self._entries: list[_Entry] = []
        self._known: set[Hashable] = set()
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def room(self) -> int:
        """How many items can come in now."""
        return self.capacity - sum(entry.seen == 0 for entry in self._entries)

    def put(self, key: Hashable, item: Any) -> bool:
        """Take an item in; False, and nothing happens, when its key has come before.

        Raises:
            ValueError: there is no room.
        """
        if key in self._known:
            return False
        if len(self._entries) == self.capacity:
            seen = [i for i, entry in enumerate(self._entries) if entry.seen]
            if not seen:
                raise ValueError(
                    f"Reservoir: all {self.capacity} items wait to be drawn for the first time; "
                    "draw some before more come in (`room`)"
                )
            self._entries.pop(seen[self._rng.integers(len(seen))])
            self.evicted += 1
        self._known.add(key)
        self._entries.append(_Entry(key, item))
        return True

    def draw(self, count: int) -> list[Any]:
        """So many different items.

        Raises:
            ValueError: there are fewer.
        """
        if count > len(self._entries):
            raise ValueError(f"Reservoir: asked for {count} items, there are {len(self._entries)}")
        chosen = self._rng.choice(len(self._entries), count, replace=False)
        drawn = [self._entries[i] for i in chosen]
        for entry in drawn:
            entry.seen += 1
        self._entries = [entry for entry in self._entries if entry.seen < self.repeats]
        return [entry.item for entry in drawn]

"""The numbers of a section of a .msh file, ASCII and binary alike."""

import warnings

import numpy as np
from jaxtyping import Float, Int


class Numbers:
    """Numbers of one section, taken from front to back.

    Args:
        data: the whole file.
        start, end: the section's contents; where binary ones end is where the taking ends.
        order: "<" or ">" for binary, "" for ASCII.
        size: bytes of the format's size_t.
    """

    def __init__(self, data: bytes, start: int, end: int, order: str, size: int) -> None:
        self._data, self.at, self._order = data, start, order
        self._size = f"i{size}"
        self.binary = bool(order)
        if not self.binary:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # fromstring warns where it meets a word
                self._ascii, self.at = np.fromstring(data[start:end], sep=" "), 0

    def take(self, count: int, kind: str) -> np.ndarray:
        """The next numbers; kind is a dtype, or "size".

        Raises:
            ValueError: there are fewer.
        """
        kind = self._size if kind == "size" else kind
        if self.binary:
            found = np.frombuffer(self._data, self._order + kind, count, self.at)
            self.at += found.nbytes
        else:
            found = self._ascii[self.at : self.at + count]
            self.at += count
        if len(found) < count:
            raise ValueError("a section ends too early; the file was cut off")
        return found.astype(np.int64 if kind[0] == "i" else np.float64)

    def sizes(self, count: int) -> list[int]:
        """The next numbers of type size_t."""
        return self.take(count, "size").tolist()

    def integers(self, count: int) -> list[int]:
        """The next numbers of type int."""
        return self.take(count, "i4").tolist()

    def line(self) -> int:
        """The next number, which in binary version 2 files is a line of text."""
        if not self.binary:
            return self.integers(1)[0]
        end = self._data.index(b"\n", self.at)
        text, self.at = self._data[self.at : end], end + 1
        return int(text)

    def records(
        self, count: int, width: int
    ) -> tuple[Int[np.ndarray, " count"], Float[np.ndarray, "count width"]]:
        """The next rows of one int and some doubles."""
        if not self.binary:
            rows = self.take(count * (1 + width), "f8").reshape(count, 1 + width)
            return rows[:, 0].astype(np.int64), rows[:, 1:]
        kind = [("tag", f"{self._order}i4"), ("value", f"{self._order}f8", (width,))]
        rows = np.frombuffer(self._data, kind, count, self.at)
        self.at += rows.nbytes
        return rows["tag"].astype(np.int64), rows["value"].astype(np.float64)

    def ahead(self) -> Int[np.ndarray, " _"]:
        """All that follows, as integers; of a binary file to its end."""
        if not self.binary:
            return self._ascii[self.at :].astype(np.int64)
        count = (len(self._data) - self.at) // 4
        return np.frombuffer(self._data, f"{self._order}i4", count, self.at)

    def skip(self, count: int) -> None:
        """Leave out integers that were looked at ahead."""
        self.at += 4 * count if self.binary else count

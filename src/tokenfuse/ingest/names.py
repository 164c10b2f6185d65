"""Scope values as small numbers: what a slice is grouped by is compared once, when it is first seen."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import numpy as np

from tokenfuse.contracts.axes import bounded

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from tokenfuse.ingest.columns import Ints

TABLE_ENTRIES_MAX: Final = 200_000
"""Bound of each table here and in `columns`; a full one is emptied, or replaced, and fills again."""

TABLE_CHARS_MAX: Final = 8 * 1024 * 1024
"""The same for the length of all its texts: a flood of long names must not fill hundreds of megabytes."""

REMEMBERED_CHARS_MAX: Final = 64
"""What is derived from longer values is derived each time: in a flood of them hardly one comes again."""

NONE: Final = 0
"""The number of no value."""


def int64s(values: Iterable[int], count: int) -> Ints:
    """`count` integers, or truths, as an array that is not to be written to; in half the time that `np.fromiter` takes.

    Raises:
        struct.error: one of them is beyond 64 bits.
    """
    return np.frombuffer(struct.pack(f"{count}q", *values), np.int64)


class Numbers(dict[str | None, int]):
    """A number for each value, by first sight; `known[number]` is the value. Number 0 is None."""

    def __init__(self) -> None:
        super().__init__({None: NONE})
        self.known: list[str | None] = [None]
        self._chars = 0

    @property
    def full(self) -> bool:
        """Whether the next slice should start with a new one."""
        return len(self) >= TABLE_ENTRIES_MAX or self._chars >= TABLE_CHARS_MAX

    def __missing__(self, value: str | None) -> int:
        number = self[value] = len(self.known)
        self.known.append(value)
        self._chars += len(value or "")
        return number

    def of(self, values: Collection[str | None]) -> Ints:
        """The number of each value, int64[n]."""
        return int64s(map(self.__getitem__, values), len(values))


class ScopeNumbers(Numbers):
    """Numbers of scope values: a long value has the number of its bounded form, which alone is kept."""

    def __missing__(self, value: str | None) -> int:
        short = value if value is None else bounded(value)
        if short == value:
            return super().__missing__(value)
        return self[short]


class Names:
    """Numbers of the values of every axis, for the calls of some slices.

    Args:
        axes: names of the axes, in the order of `CallTable.axes`.
    """

    def __init__(self, axes: Sequence[str]) -> None:
        self.axes = tuple(axes)
        self.numbers = [ScopeNumbers() for _ in axes]

    @property
    def full(self) -> bool:
        """Whether the next slice should start with new ones."""
        return any(numbers.full for numbers in self.numbers)

    def of(self, columns: Iterable[Collection[str | None]], count: int) -> Ints:
        """Values as numbers, int64[axes, count].

        Args:
            columns: of each axis, its `count` values.
        """
        found = np.zeros((len(self.axes), count), np.int64)
        for row, numbers, values in zip(found, self.numbers, columns, strict=True):
            row[:] = numbers.of(values)
        return found

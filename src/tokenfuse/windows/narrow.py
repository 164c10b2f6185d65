"""Rows of int64 sums in as few bytes as they need: each column is as wide as its largest number, an empty one takes none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Sums = npt.NDArray[np.int64]
Slots = npt.NDArray[Any]

WIDTHS: Final = (1, 2, 4, 8)
DTYPES: Final = {width: np.dtype(f"<i{width}") for width in WIDTHS}
_MAX: Final = {width: int(np.iinfo(dtype).max) for width, dtype in DTYPES.items()}
HEADROOM: Final = 8
"""A column starts wide enough for so many times its first numbers: it will be added to."""

WIDE_ROWS_MAX: Final = 512


@dataclass(slots=True)
class _Group:
    """Columns of one width, side by side: adding costs a few operations, not one per column.

    Attributes:
        array: [capacity, columns].
        bound: no number in it is further from zero; exact only when it was taken.
    """

    width: int
    columns: Slots
    array: npt.NDArray[Any]
    bound: int = 0

    def has_room(self, change: int, count: int) -> bool:
        """Whether every number can change by so much."""
        if self.width == WIDTHS[-1]:
            return True
        if self.bound + change > _MAX[self.width]:
            self.bound = _furthest(self.array[:count])
        return self.bound + change <= _MAX[self.width]

    def reserve(self, count: int) -> None:
        """Grow to so many rows; new ones are zero."""
        if count > len(self.array):
            size = max(len(self.array) + len(self.array) // 4, count)
            grown = np.zeros((size, len(self.columns)), self.array.dtype)
            grown[: len(self.array)] = self.array
            self.array = grown


class NarrowSums:
    """A growing table of rows; what is read is int64 and exact, however narrow it is kept.

    A small table stays wide until it is compacted: it takes little, and adding to it is one operation.

    Attributes:
        columns: how many columns a row has.
        count: rows in use.
    """

    __slots__ = ("_groups", "_wide", "_width_of", "_zero", "columns", "count")

    def __init__(self, columns: int) -> None:
        """Start without a row."""
        self.columns = columns
        self.count = 0
        self._wide = True
        self._width_of = np.full(columns, WIDTHS[-1], np.int8)
        self._zero: Slots = np.empty(0, np.intp)
        self._groups = [_Group(WIDTHS[-1], np.arange(columns), np.zeros((0, columns), np.int64))]

    def reserve(self, count: int) -> None:
        """Let there be so many rows; new ones are zero."""
        if self._wide and count > WIDE_ROWS_MAX:
            self._narrow(HEADROOM)
        self.count = max(self.count, count)
        for group in self._groups:
            group.reserve(count)

    def add(self, slots: Slots, sums: Sums) -> None:
        """Add sums[i] to row slots[i], below `count`; slots are distinct. int64[n, columns]."""
        if not len(slots):
            return
        if self._wide:
            self._groups[0].array[slots] += sums
            return
        while True:
            parts = [(group, sums.take(group.columns, axis=1)) for group in self._groups]
            if not self._widened(slots, sums, parts):
                break
        for group, part in parts:
            group.array[slots] = group.array.take(slots, axis=0) + part.astype(group.array.dtype)

    def _widened(self, slots: Slots, sums: Sums, parts: list[tuple[_Group, Sums]]) -> bool:
        """Whether columns had to be made wider before this can be added."""
        if len(self._zero):
            first = sums.take(self._zero, axis=1)
            if first.any():
                self._widen(self._zero, widths_of(first, HEADROOM))
                return True
        changes = [_furthest(part) for _, part in parts]
        for (group, part), change in zip(parts, changes, strict=True):
            if not group.has_room(change, self.count):
                after = group.array.take(slots, axis=0) + part
                wider = np.maximum(widths_of(after, HEADROOM), group.width)
                if (wider == group.width).all():  # only the bound was too careful
                    continue
                self._widen(group.columns, wider.astype(np.int8))
                return True
        for (group, _), change in zip(parts, changes, strict=True):
            group.bound += change
        return False

    def set_zero(self, slots: Slots) -> None:
        """Empty some rows."""
        for group in self._groups:
            group.array[slots] = 0

    def gather(self, slots: Slots) -> Sums:
        """Some rows, int64[n, columns]."""
        out = np.zeros((len(slots), self.columns), np.int64)
        for group in self._groups:
            out[:, group.columns] = group.array[slots]
        return out

    def all(self) -> Sums:
        """Every row, int64[count, columns]."""
        out = np.zeros((self.count, self.columns), np.int64)
        for group in self._groups:
            out[:, group.columns] = group.array[: self.count]
        return out

    def column(self, slots: Slots, column: int) -> Sums:
        """One column of some rows, int64[n]."""
        if self._wide:
            wide: Sums = self._groups[0].array[slots, column]
            return wide
        for group in self._groups:
            if (place := np.flatnonzero(group.columns == column)).size:
                found: Sums = group.array[slots, place[0]].astype(np.int64)
                return found
        return np.zeros(len(slots), np.int64)

    def all_of(self, column: int) -> Sums:
        """One column of every row, int64[count]; of a small table a view, which is read before anything is added."""
        if self._wide:
            view: Sums = self._groups[0].array[: self.count, column]
            return view
        return self.column(np.arange(self.count), column)

    def compact(self) -> None:
        """As few bytes as the numbers need now, and no room to grow."""
        self._narrow(1)

    def replace(self, rows: Sums) -> None:
        """Hold these rows and nothing else, in as few bytes as they need."""
        self.count, self._groups, self._wide = len(rows), [], False
        self._arrange(widths_of(rows, 1), self.count)
        for group in self._groups:
            group.array[:] = rows[:, group.columns]
            group.bound = _furthest(group.array)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(group.array.nbytes for group in self._groups)

    def _narrow(self, headroom: int) -> None:
        self._wide = False
        widths = np.zeros(self.columns, np.int8)
        for group in self._groups:
            widths[group.columns] = widths_of(group.array[: self.count], headroom)
        self._arrange(widths, self.count)

    def _widen(self, columns: Slots, widths: npt.NDArray[np.int8]) -> None:
        wider = self._width_of.copy()
        wider[columns] = widths
        self._arrange(wider, max([self.count, *(len(group.array) for group in self._groups)]))

    def _arrange(self, widths: npt.NDArray[np.int8], capacity: int) -> None:
        """Put every column where its new width says."""
        before, self._groups = self._groups, []
        self._width_of = widths
        self._zero = np.flatnonzero(widths == 0)
        for width in WIDTHS:
            columns = np.flatnonzero(widths == width)
            if not len(columns):
                continue
            group = _Group(width, columns, np.zeros((capacity, len(columns)), DTYPES[width]))
            for old in before:
                here, there = _common(columns, old.columns)
                if len(here):
                    group.array[: self.count, here] = old.array[: self.count, there]
            group.bound = _furthest(group.array[: self.count])
            self._groups.append(group)


def _common(columns: Slots, others: Slots) -> tuple[Slots, Slots]:
    """Places of the columns that both have."""
    there = np.minimum(np.searchsorted(others, columns), len(others) - 1)
    here = np.flatnonzero(others[there] == columns)
    return here, there[here]


def _furthest(sums: npt.NDArray[Any]) -> int:
    """The largest distance from zero."""
    return max(int(sums.max()), -int(sums.min())) if sums.size else 0


def widths_of(sums: npt.NDArray[Any], headroom: int) -> npt.NDArray[np.int8]:
    """Bytes that each column needs for so many times its largest number; 0 where all are zero."""
    if not len(sums):
        return np.zeros(sums.shape[1], np.int8)
    low, high = sums.min(axis=0).tolist(), sums.max(axis=0).tolist()
    most = (max(-a, b) * headroom for a, b in zip(low, high, strict=True))
    return np.array([_width(number) for number in most], np.int8)


def _width(number: int) -> int:
    if number == 0:
        return 0
    return next((width for width in WIDTHS if number <= _MAX[width]), WIDTHS[-1])

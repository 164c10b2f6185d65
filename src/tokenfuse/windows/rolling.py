"""A rolling window kept up to date by difference: one addition per pane entered, one subtraction per pane left."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from tokenfuse.windows.narrow import Sums
from tokenfuse.windows.pane import WIDTH, Ids, Pane


class RollingSum:
    """Sums of every scope over the `count` panes that end with pane `end_s`; derived, so never checkpointed.

    Attributes:
        end_s: start of the newest pane inside; None before the first.
        version: grows when a sum changes.
    """

    def __init__(
        self,
        panes: Mapping[int, Pane],
        size_s: int,
        count: int,
        measure: int | None = None,
        settle: Callable[[int, int], None] = lambda _first_s, _end_s: None,
    ) -> None:
        """Watch a table's panes of one granularity; `measure` None keeps all of them.

        Args:
            settle: makes the panes that begin within [first_s, end_s) whole before they are read.
        """
        self._settle = settle
        self._panes = panes
        self._size_s = size_s
        self._count = count
        self._measure = measure
        self.end_s: int | None = None
        self.version = 0
        self._sums = np.zeros(self._shape(16), np.int64)

    def _shape(self, scopes: int) -> tuple[int, ...]:
        return (scopes, WIDTH) if self._measure is None else (scopes,)

    def advance(self, end_s: int) -> None:
        """Move the window so that it ends with pane end_s; never backwards."""
        if self.end_s is not None and end_s <= self.end_s:
            return
        span = self._count * self._size_s
        if self.end_s is None or end_s - self.end_s >= span:
            self._sums[:] = 0
            self.version += 1
            entered, left = range(end_s - span + self._size_s, end_s + 1, self._size_s), range(0)
        else:
            entered = range(self.end_s + self._size_s, end_s + 1, self._size_s)
            left = range(self.end_s - span + self._size_s, end_s - span + 1, self._size_s)
        for starts in (left, entered):
            if starts:
                self._settle(starts[0], starts[-1] + self._size_s)
        self.end_s = end_s
        for start in left:
            self._change(start, -1)
        for start in entered:
            self._change(start, 1)

    def add(self, start_s: int, ids: Ids, sums: Sums) -> None:
        """Count rows that were just added to pane start_s, if it is inside. Distinct ids; int64[n, M]."""
        if self.end_s is None or not 0 <= self.end_s - start_s < self._count * self._size_s:
            return
        self._grow(ids)
        self.version += 1
        self._sums[ids] += sums if self._measure is None else sums[:, self._measure]

    def add_rows(self, times_s: Sums, ids: Ids, sums: Sums) -> None:
        """The same for rows of any panes, by the time of each; ids repeat. Shapes: [n], [n], [n, M]."""
        if self.end_s is None:
            return
        age = self.end_s - (times_s - times_s % self._size_s)
        inside = np.flatnonzero((age >= 0) & (age < self._count * self._size_s))
        if len(inside):
            self._grow(ids)
            self.version += 1
            part = sums[inside] if self._measure is None else sums[inside, self._measure]
            np.add.at(self._sums, ids[inside], part)

    def of(self, ids: Ids) -> npt.NDArray[np.int64]:
        """Window sums of the given scopes: int64[n], or int64[n, M] without a measure."""
        self._grow(ids)
        return self._sums[ids]

    def has(self, measure: int) -> bool:
        """Whether any scope has something of one of all measures."""
        return bool(self._sums[:, measure].any())

    @property
    def nbytes(self) -> int:
        """Bytes of the sums."""
        return self._sums.nbytes

    def _change(self, start_s: int, sign: int) -> None:
        pane = self._panes.get(start_s)
        if pane is None or not pane.count:
            return
        self._grow(pane.ids)
        self.version += 1
        self._sums[pane.ids] += sign * (pane.rows if self._measure is None else pane.all_of(self._measure))

    def _grow(self, ids: Ids) -> None:
        if len(ids) and (top := int(ids.max())) >= len(self._sums):
            grown = np.zeros(self._shape(max(2 * len(self._sums), top + 1)), np.int64)
            grown[: len(self._sums)] = self._sums
            self._sums = grown

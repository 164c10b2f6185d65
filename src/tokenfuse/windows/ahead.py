"""What a block will add to one axis, before it is added: how high a window can get meanwhile."""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np

from tokenfuse.windows.narrow import Sums
from tokenfuse.windows.pane import Ids
from tokenfuse.windows.rows import Rows, Times

TIME_BITS: Final = 36
"""Seconds since the epoch below 2**36, so that scope and time sort as one number."""


class Ahead:
    """Rows of one axis. What is taken out again is not subtracted: every figure is too large rather than too small.

    Attributes:
        ids: distinct scopes, ascending, int32[n].
    """

    def __init__(self, row_ids: Ids, rows: Rows) -> None:
        """Look at rows with the scope of each."""
        self.ids, self._of_row = np.unique(row_ids, return_inverse=True)
        self._rows = rows

    def added(self, measure: int) -> Sums:
        """Of every scope, int64[n]."""
        total = np.zeros(len(self.ids), np.int64)
        np.add.at(total, self._of_row, np.maximum(self._rows.sums[:, measure], 0))
        return total

    def peaks(self, measure: int, size_s: int, window_s: int, before: Sums, latest_s: int) -> Sums:
        """The largest sum of every scope over a rolling window at any moment while the rows are added, int64[n].

        Args:
            measure: what is summed.
            size_s, window_s: panes of the window, and its length.
            before: int64[n], sums of the window that ends with the pane of latest_s.
            latest_s: newest event time so far; older rows count in the first moment, when they are added.
        """
        order, times = self._order
        times = np.maximum(times, latest_s)
        times -= times % size_s
        inside = np.concatenate([[0], np.cumsum(np.maximum(self._rows.sums[order, measure], 0))])
        scope = self._of_row[order]
        keys = (scope.astype(np.int64) << TIME_BITS) + times
        first = np.searchsorted(
            keys, np.maximum(keys - window_s + size_s, scope.astype(np.int64) << TIME_BITS)
        )
        until = np.searchsorted(keys, keys, side="right")
        # What was there before counts whole until the window has left all of it.
        sums = inside[until] - inside[first]
        sums += np.where(times - (latest_s - latest_s % size_s) < window_s, before[scope], 0)
        peaks: Sums = before.copy()
        np.maximum.at(peaks, scope, sums)
        return peaks

    @cached_property
    def _order(self) -> tuple[np.ndarray[tuple[int], np.dtype[np.intp]], Times]:
        """Rows by scope, then pane; and their panes."""
        order = np.lexsort((self._rows.pane_s, self._of_row))
        return order, self._rows.pane_s[order]

"""What a block will add to one axis, before it is added: how high a window can get meanwhile."""

from __future__ import annotations

from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tokenfuse.windows.narrow import Sums
from tokenfuse.windows.pane import Ids
from tokenfuse.windows.rows import Rows, Times

TIME_BITS: Final = 36
"""Seconds since the epoch are below 2**36."""

Places = npt.NDArray[np.int64]


def sort_keys(place: Places, times_s: Times) -> Times:
    """One number for each pair of a place and a time, which sorts by place, then time; before 1970 counts as then."""
    keys: Times = (place.astype(np.int64) << TIME_BITS) + np.maximum(times_s, 0)
    return keys


class Moments(NamedTuple):
    """One for each row of a block: a scope, as its place in `Ahead.ids`, and the pane in which it is added. Shapes: [n]."""

    scope: Places
    times_s: Times


class Ahead:
    """Rows of one axis. But for `levels`, what is taken out again is not subtracted: figures are rather too large.

    Attributes:
        ids: distinct scopes, ascending, int32[n].
        rows: what will be added. of_row: the place of each row's scope in `ids`.
    """

    def __init__(self, row_ids: Ids, rows: Rows) -> None:
        """Look at rows with the scope of each."""
        self.ids, self.of_row = np.unique(row_ids, return_inverse=True)
        self.rows = rows

    def cells(self) -> list[tuple[int, str]]:
        """Cells that the block names as those of its scopes, each with its scope's place in `ids`."""
        scopes, first = np.unique(self.rows.scope, return_index=True)
        names = self.rows.cells
        places = self.of_row[first].tolist()
        return [(p, names[i]) for p, i in zip(places, scopes.tolist(), strict=True)] if names else []

    def added(self, measure: int) -> Sums:
        """Of every scope, int64[n]."""
        total = np.zeros(len(self.ids), np.int64)
        np.add.at(total, self.of_row, np.maximum(self.rows.sums[:, measure], 0))
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
        inside = np.concatenate([[0], np.cumsum(np.maximum(self.rows.sums[order, measure], 0))])
        scope = self.of_row[order]
        keys = sort_keys(scope, times)
        first = np.searchsorted(keys, sort_keys(scope, times - window_s + size_s))
        until = np.searchsorted(keys, keys, side="right")
        # What was there before counts whole until the window has left all of it.
        sums = inside[until] - inside[first]
        sums += np.where(times - (latest_s - latest_s % size_s) < window_s, before[scope], 0)
        peaks: Sums = before.copy()
        np.maximum.at(peaks, scope, sums)
        return peaks

    def levels(
        self,
        measures: tuple[int, int, int],
        past: tuple[Times, Sums],
        chosen: Places,
        span_s: tuple[int, int],
    ) -> tuple[Moments, Sums]:
        """Exact sums of some scopes over a rolling window, at the moment of each of their rows.

        Args:
            measures: what is summed, size of the window's panes and its length, seconds.
            past: int64[h] and int64[h, k], panes before the block and their sums by chosen scope: all inside the window.
            chosen: int64[k], places in `ids`, ascending.
            span_s: panes in which the block's first and last moment are; earlier rows come with the first, later
                ones with the last.
        """
        measure, size_s, window_s = measures
        scope, times, sums = self._rows_of(chosen, measure)
        times = np.where(times - times % size_s <= span_s[1], np.minimum(times, span_s[1]), times)
        moments = Moments(scope, np.clip(times, *span_s))
        starts, before = past
        old = np.repeat(chosen, len(starts)), np.tile(starts, len(chosen)), before.T.ravel()
        keys = np.concatenate([sort_keys(old[0], old[1]), sort_keys(scope, times)])
        order = np.argsort(keys, kind="stable")
        keys, inside = keys[order], np.concatenate([[0], np.cumsum(np.concatenate([old[2], sums])[order])])
        first_s = moments.times_s - moments.times_s % size_s - window_s + size_s
        until = np.searchsorted(keys, sort_keys(scope, moments.times_s), side="right")
        return moments, inside[until] - inside[np.searchsorted(keys, sort_keys(scope, first_s))]

    def _rows_of(self, chosen: Places, measure: int) -> tuple[Places, Times, Sums]:
        rows = np.flatnonzero(np.isin(self.of_row, chosen))
        return self.of_row[rows].astype(np.int64), self.rows.pane_s[rows], self.rows.sums[rows, measure]

    @cached_property
    def _order(self) -> tuple[np.ndarray[tuple[int], np.dtype[np.intp]], Times]:
        """Rows by scope, then pane; and their panes."""
        order = np.lexsort((self.rows.pane_s, self.of_row))
        return order, self.rows.pane_s[order]

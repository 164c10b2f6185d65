"""The recent side of drift: sums of every cell over windows that end with the last closed minute."""

from __future__ import annotations

from typing import Final

import numpy as np

from tokenfuse.contracts.measures import INDEX
from tokenfuse.detect.arrays import FloatArray, IntArray
from tokenfuse.windows.pane import WIDTH
from tokenfuse.windows.rolling import RollingSum
from tokenfuse.windows.table import AxisTable

MINUTE_S: Final = 60
HOUR_S: Final = 3600
BEFORE_HOURS: Final = 3
"""What was there before a surge: the rate of the three hours before it, or a little more."""


class Recent:
    """Windows over one table of cells, derived from its panes and never checkpointed.

    Up to an hour a window is made of closed minutes. A longer one is made of the closed hours, less one, and the closed
    minutes of the open hour, so that it ends now and not at the last full hour; it is up to an hour shorter than it is
    called.
    """

    def __init__(self, cells: AxisTable, windows_seconds: set[int]) -> None:
        """Keep these windows up to date; multiples of a minute up to an hour, then of an hour."""
        self._cells = cells
        self._rolling = {w: _rolling(cells, w) for w in sorted(windows_seconds)}
        self._calls = {w: cells.rolling("1h", _reach_s(w), INDEX["calls"]) for w in sorted(windows_seconds)}
        self._sums: dict[int, IntArray] = {}
        self._before: dict[int, FloatArray] = {}
        self._open: IntArray | None = None
        self._watermark_s = 0

    def advance(self, watermark_s: int) -> None:
        """Let every window end with the last closed minute."""
        self._watermark_s = watermark_s
        minute_s = watermark_s - watermark_s % MINUTE_S
        hour_s = watermark_s - watermark_s % HOUR_S
        for seconds, rolling in self._rolling.items():
            rolling.advance(minute_s - MINUTE_S if seconds <= HOUR_S else hour_s - HOUR_S)
        for calls in self._calls.values():
            calls.advance(hour_s - HOUR_S)

    def settle(self) -> None:
        """A moment to judge: what was summed for an earlier one is forgotten."""
        self._open = None
        self._sums.clear()
        self._before.clear()

    def of(self, window_seconds: int) -> IntArray:
        """Sums over a window: int64[M, c]; made once a moment."""
        if window_seconds not in self._sums:
            cells = np.arange(len(self._cells.scopes.values), dtype=np.int32)
            sums = self._rolling[window_seconds].of(cells)
            if window_seconds > HOUR_S:
                sums = sums + self._open_hour(len(cells))
            self._sums[window_seconds] = np.ascontiguousarray(sums.T)
        return self._sums[window_seconds]

    @property
    def ends_s(self) -> int:
        """Where every window ends."""
        return self._watermark_s // MINUTE_S * MINUTE_S

    def length_seconds(self, window_seconds: int) -> int:
        """How long a window is at this moment."""
        if window_seconds <= HOUR_S:
            return window_seconds
        return window_seconds - HOUR_S + self._watermark_s // MINUTE_S * MINUTE_S % HOUR_S

    def calls_per_hour_before(self, window_seconds: int) -> FloatArray:
        """Calls an hour of every cell in the hours before a window: float64[c]; made once a moment."""
        if window_seconds not in self._before:
            self._before[window_seconds] = self._rate_before(window_seconds)
        return self._before[window_seconds]

    def _rate_before(self, window_seconds: int) -> FloatArray:
        cells = np.arange(len(self._cells.scopes.values), dtype=np.int32)
        open_s = self._watermark_s // MINUTE_S * MINUTE_S % HOUR_S
        calls = self._calls[window_seconds].of(cells) + self._open_hour(len(cells))[:, INDEX["calls"]]
        inside = self.of(window_seconds)[INDEX["calls"]]
        span_s = _reach_s(window_seconds) + open_s - self.length_seconds(window_seconds)
        before: FloatArray = np.maximum(calls - inside, 0) * HOUR_S / span_s
        return before

    def _open_hour(self, cells: int) -> IntArray:
        """Sums over the closed minutes of the open hour, int64[c, M]; summed once a moment."""
        minute_s = self._watermark_s // MINUTE_S * MINUTE_S
        panes = self._cells.panes["1m"]
        if self._open is None or len(self._open) != cells:
            sums = np.zeros((cells, WIDTH), np.int64)
            for start in range(minute_s - minute_s % HOUR_S, minute_s, MINUTE_S):
                if (pane := panes.get(start)) is not None and pane.count:
                    sums[pane.ids] += pane.rows
            self._open = sums
        return self._open


def _rolling(cells: AxisTable, window_seconds: int) -> RollingSum:
    if window_seconds <= HOUR_S:
        return cells.rolling("1m", window_seconds, None)
    return cells.rolling("1h", window_seconds - HOUR_S, None)


def _reach_s(window_seconds: int) -> int:
    """Whole hours that hold a window and at least two hours before it."""
    return BEFORE_HOURS * HOUR_S + (window_seconds // HOUR_S * HOUR_S if window_seconds > HOUR_S else 0)

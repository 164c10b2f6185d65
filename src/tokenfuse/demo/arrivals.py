"""Arrival times shaped by a client's windows: how many calls fall into each, and how bursty they are within it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from tokenfuse.demo.traces import WINDOW_S, Window

DAY_S: Final = 86_400


def arrivals(windows: Sequence[Window], span_s: int, calls: int, rng: random.Random) -> Iterator[float]:
    """Times of exactly `calls` calls in [0, span_s), rising, in proportion to the windows' rates.

    A trace shorter than the span is repeated by whole days, so that the time of day stays what it was.
    """
    spread = list(_repeated(windows, span_s))
    total = sum(window.calls_per_s for _, window in spread)
    owed = 0.0
    given = 0
    for start_s, window in spread:
        owed += calls * window.calls_per_s / total
        count = min(round(owed), calls) - given
        given += count
        yield from _within(start_s, window.cv, count, rng)
    # Rounding may owe the last call or two: they come with the last window.
    yield from (spread[-1][0] + WINDOW_S - 1 for _ in range(calls - given))


def _repeated(windows: Sequence[Window], span_s: int) -> Iterator[tuple[int, Window]]:
    period_s = (windows[-1].start_s // DAY_S + 1) * DAY_S
    for base_s in range(0, span_s, period_s):
        for window in windows:
            if (start_s := base_s + window.start_s) < span_s:
                yield start_s, window


def _within(start_s: float, cv: float, count: int, rng: random.Random) -> list[float]:
    """Gamma-distributed gaps with the window's variation coefficient, scaled to the window."""
    shape = 1 / max(cv, 0.1) ** 2
    ends = list(accumulate(rng.gammavariate(shape, 1.0) + 1e-9 for _ in range(count + 1)))
    return [start_s + WINDOW_S * end / ends[-1] for end in ends[:-1]]

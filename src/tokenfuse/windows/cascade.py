"""Rows on their way into panes: each granularity is added up from the finer one, and no further than somebody reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tokenfuse.windows.granularity import PANE_SECONDS_OF
from tokenfuse.windows.narrow import Sums
from tokenfuse.windows.pane import Ids
from tokenfuse.windows.rows import Times, reduce_pairs


class Reduced(NamedTuple):
    """Rows of one pane size, one a pane and scope, ascending. Shapes: [n], [n], [n, M]."""

    times_s: Times
    ids: Ids
    sums: Sums


class _Level:
    """What waits to be added to the panes of one granularity."""

    def __init__(self, granularity: str) -> None:
        self.granularity = granularity
        self.count = 0
        self._size_s = PANE_SECONDS_OF[granularity]
        self._parts: list[tuple[Times, Ids, Sums]] = []
        self._first_s = 0
        self._end_s = 0

    def append(self, times_s: Times, ids: Ids, sums: Sums, span_s: tuple[int, int]) -> None:
        first, last = span_s
        self._first_s = min(self._first_s, first) if self.count else first
        self._end_s = max(self._end_s, last + 1) if self.count else last + 1
        self._parts.append((times_s, ids, sums))
        self.count += len(ids)

    def touches(self, first_s: int, end_s: int) -> bool:
        return bool(self.count) and self._first_s < end_s and first_s < self._end_s

    def take(self) -> Reduced:
        parts, self._parts, self.count = self._parts, [], 0
        times, ids, sums = parts[0] if len(parts) == 1 else map(np.concatenate, zip(*parts, strict=True))
        return Reduced(*reduce_pairs(times - times % self._size_s, ids, sums))


class Cascade:
    """Rows of one axis that were applied, by the granularity up to which they were added already."""

    def __init__(self, granularities: Sequence[str]) -> None:
        """Start empty; granularities from fine to coarse."""
        self._levels = [_Level(granularity) for granularity in granularities]
        self._depth = {granularity: depth for depth, granularity in enumerate(granularities, 1)}

    @property
    def count(self) -> int:
        """Rows that wait."""
        return sum(level.count for level in self._levels)

    def append(self, times_s: Times, ids: Ids, sums: Sums, span_s: tuple[int, int]) -> None:
        """Rows of any panes; span_s are the first and the last of them. Shapes: [n], [n], [n, M]."""
        self._levels[0].append(times_s, ids, sums, span_s)

    def touches(self, granularity: str, first_s: int, end_s: int) -> bool:
        """Whether a pane of this granularity that begins within [first_s, end_s) is not whole yet."""
        return any(level.touches(first_s, end_s) for level in self._levels[: self._depth[granularity]])

    def take(self, granularity: str) -> Iterator[tuple[str, Reduced]]:
        """What is to be added so that all panes of this granularity are whole: that of finer ones first."""
        depth = self._depth[granularity]
        for level, coarser in zip(self._levels[:depth], [*self._levels[1:], None], strict=False):
            if not level.count:
                continue
            reduced = level.take()
            if coarser is not None:
                coarser.append(*reduced, (int(reduced.times_s[0]), int(reduced.times_s[-1])))
            yield level.granularity, reduced

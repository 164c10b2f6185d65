"""Bare sums: decode, and three sums over five axes. No de-duplication, no prices, no panes, no cells.

The same arithmetic for both sides; what differs is the engine around it.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Final

import numpy as np
from benchmarks.speed.contenders.columns import Codes, Sums
from benchmarks.speed.contenders.common import AXES, decode

GETTERS: Final = [attrgetter(axis) for axis in AXES]


class BareSums:
    """Calls, input and output tokens by axis and value."""

    def __init__(self) -> None:
        """Nothing seen."""
        self.merged: dict[tuple[str, str, int], tuple[int, ...]] = {}
        self._codes = [Codes() for _ in AXES]
        self._sums = [Sums(3) for _ in AXES]

    def take(self, values: Iterable[bytes]) -> int:
        """One batch."""
        events = list(map(decode, values))
        count = len(events)
        if not count:
            return 0
        table = np.ones((count, 3), np.int64)
        table[:, 1] = np.fromiter([event.input_tokens for event in events], np.int64, count)
        table[:, 2] = np.fromiter([event.output_tokens for event in events], np.int64, count)
        for get, codes, sums in zip(GETTERS, self._codes, self._sums, strict=True):
            sums.add(np.fromiter(map(codes.__getitem__, map(get, events)), np.int64, count), table)
        return count

    def merge(self, block: dict[tuple[str, str, int], tuple[int, ...]]) -> None:
        """Add another's totals to `merged`: what a reader of blocks does."""
        for key, row in block.items():
            known = self.merged.get(key)
            self.merged[key] = row if known is None else tuple(map(sum, zip(known, row, strict=True)))

    def totals(self) -> dict[tuple[str, str, int], tuple[int, ...]]:
        """In the order of `truth.MEASURES`, zero where nothing is summed."""
        found = {}
        for axis, codes, sums in zip(AXES, self._codes, self._sums, strict=True):
            for value, code in codes.items():
                calls, inputs, outputs = sums.rows[code].tolist()
                found[axis, value, 0] = (calls, 0, inputs, outputs, 0, 0)
        return found

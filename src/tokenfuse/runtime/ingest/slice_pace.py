"""When the next slices are due: later the more records they bring, up to a bound.

A slice is a block for every deltas partition, and agents pay for a block nearly as much as for a hundred calls in it. With
slices as short as in a calm, some thousand calls a second made more blocks than a core applies, and agents fell behind without
end. What is full goes out at once, so a backlog is worked off at full speed.
"""

from __future__ import annotations

from typing import Final

CALM_RECORDS: Final = 8
"""Of one source partition in one slice: up to so many most blocks are empty, and cheap."""

STRETCH_MAX: Final = 4
"""Times as long at most: a second with the default of 250 ms."""

REST_SECONDS: Final = 0.05
FEW_RECORDS: Final = 1_000
"""Producers that linger for a millisecond make a thousand small batches a second. Each fetch of one costs as much as forty
calls, so under load records gather for a while; a fetch that brought more than this was no small one."""


class SlicePace:
    """Says how long to wait for records before the next slices are cut.

    Args:
        slice_seconds: the time between slices in a calm.
        now_seconds: of a clock that does not jump.
    """

    def __init__(self, slice_seconds: float, now_seconds: float) -> None:
        self._calm = self._interval = slice_seconds
        self._cut_at = now_seconds

    def wait_seconds(self, now_seconds: float) -> float:
        """Time until the next slices are due; 0 or less: now."""
        return self._cut_at + self._interval - now_seconds

    def rest_seconds(self, fetched: int) -> float:
        """How long to let records gather before the next fetch, after one that brought so many."""
        return REST_SECONDS if self._interval > self._calm and fetched < FEW_RECORDS else 0.0

    def cut(self, records: int, now_seconds: float) -> None:
        """Slices are cut now; records: of the largest of them, 0 where there is none."""
        passed = max(now_seconds - self._cut_at, self._calm)
        in_a_calm = records * self._calm / passed
        self._interval = self._calm * min(max(in_a_calm / CALM_RECORDS, 1.0), STRETCH_MAX)
        self._cut_at = now_seconds

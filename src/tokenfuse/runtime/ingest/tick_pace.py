"""How often an ingest worker tells the time: every second while slices go out and for a while after, then less often."""

from __future__ import annotations

from typing import Final

TICK_SECONDS: Final = 1.0
CALM_TICK_SECONDS: Final = 5.0
"""Below `windows.clocks.STEP_MS`: no time between two ticks is taken for an outage."""
CALM_AFTER_SECONDS: Final = 60.0
"""Twice `windows.clocks.IDLE_MS`: by then the last slice's source partition is idle and its newest pane is closed."""


class TickPace:
    """When the next tick is due.

    Args:
        now_seconds: of a clock that does not jump; a start counts as a slice.
    """

    def __init__(self, now_seconds: float) -> None:
        self._ticked = self._busy = now_seconds

    def slice_sent(self, now_seconds: float) -> None:
        """The next ticks come every second again."""
        self._busy = now_seconds

    def due(self, now_seconds: float) -> bool:
        """Whether to tick now: a yes counts as done."""
        is_calm = now_seconds > self._busy + CALM_AFTER_SECONDS
        if now_seconds < self._ticked + (CALM_TICK_SECONDS if is_calm else TICK_SECONDS):
            return False
        self._ticked = now_seconds
        return True

"""Throttle: under a switch with action `throttle`, only few calls a minute go ahead at this gateway."""

from __future__ import annotations

from typing import Final

MINUTE_MS: Final = 60_000
KEYS_MAX: Final = 10_000


class Throttle:
    """Lets one call per interval through, for each switch by itself.

    Args:
        calls_per_minute: per switch and gateway process; 0 lets none through.
    """

    def __init__(self, calls_per_minute: float) -> None:
        self._interval_ms = MINUTE_MS / calls_per_minute if calls_per_minute > 0 else float("inf")
        self._last_ms: dict[str, int] = {}

    def admits(self, key: str, now_ms: int) -> bool:
        """Whether this call may go ahead; if so it is the one of its interval."""
        if self._interval_ms == float("inf"):
            return False
        last_ms = self._last_ms.get(key)
        # A clock that was set back must not close the throttle for as long as it was set back.
        if last_ms is not None and 0 <= now_ms - last_ms < self._interval_ms:
            return False
        if len(self._last_ms) >= KEYS_MAX:
            self._last_ms.clear()
        self._last_ms[key] = now_ms
        return True

"""A line that would repeat with every slice or turn is written at most once a minute."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

SAY_SECONDS: Final = 60.0


class Seldom:
    """Whether it is time to say something again.

    Args:
        clock: seconds, on a clock that does not jump.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said_at = float("-inf")

    def due(self) -> bool:
        """Ask only where there is something to say: a yes counts as said."""
        now = self._clock()
        if now - self._said_at < SAY_SECONDS:
            return False
        self._said_at = now
        return True

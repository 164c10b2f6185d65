"""Watching processes and conditions with a deadline instead of a sleep."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


POLL_SECONDS = 0.02
PAUSE_SECONDS_MAX = 1.0


def wait_until(condition: Callable[[], bool], what: str, timeout_seconds: float = 20.0) -> None:
    """Poll `condition`; AssertionError with `what` when it stays false."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        began = time.monotonic()
        if condition():
            return
        assert time.monotonic() < deadline, f"not within {timeout_seconds:g} s: {what}"
        time.sleep(pause_seconds(time.monotonic() - began))


def pause_seconds(look_seconds: float) -> float:
    """Between looks that took so long: a command or a whole topic at a time would take the processor from what is waited for."""
    return min(PAUSE_SECONDS_MAX, max(POLL_SECONDS, 2 * look_seconds))


def alive(pid: int) -> bool:
    """False also for a zombie that nobody has reaped."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        # It may end between two of these looks, and even while the file is read.
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False

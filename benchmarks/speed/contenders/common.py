"""What every contender's process has in common: its arguments, its clock, and the line that it prints at the end."""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any, Literal

import msgspec
from msgspec import Struct

AXES = ("tenant", "feature", "model", "prompt_template", "user")


class Event(Struct, gc=False):
    """The fields that a stream job of this kind needs; msgspec skips the others."""

    id: str
    time: int
    tenant: str
    feature: str
    model: str
    provider: str
    input_tokens: int
    output_tokens: int
    cost_usd: str | None = None
    cache_read_tokens: int = 0
    attempt: int = 1
    status: Literal["ok", "error", "aborted", "blocked"] = "ok"
    latency_ms: float = -1
    prompt_template: str | None = None
    user: str | None = None
    run_id: str | None = None
    step: int = 0
    depth: int = 0


decode = msgspec.json.Decoder(Event).decode


def arguments() -> dict[str, Any]:
    """What the harness gave."""
    return json.loads(sys.argv[1])


class Stopwatch:
    """Started by the first record."""

    def __init__(self) -> None:
        """Not running."""
        self.started = False

    def start(self) -> None:
        """With the first record; later calls change nothing."""
        if not self.started:
            self.started = True
            self._wall, self._cpu = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        """With the last result."""
        self._seconds = time.perf_counter() - self._wall
        self._cpu_seconds = time.process_time() - self._cpu
        self._ended = time.time()

    def report(self, events: int, **more: Any) -> None:
        """The line for the harness."""
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        line = {
            "events": events, "seconds": self._seconds, "cpu_seconds": self._cpu_seconds, "ended": self._ended,
            "peak_mb": peak_mb,
        }  # fmt: skip
        print(json.dumps(line | more), flush=True)

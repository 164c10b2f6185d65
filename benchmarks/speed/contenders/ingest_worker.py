"""TokenFuse's ingest worker itself, the code that `tokenfuse run --role ingest` starts, stopped when the feed is out.

The clock starts when the worker says that it holds its partitions and stops when the last slice is acknowledged, which its
own metric says. Nothing of the worker is changed but the name of its source topic, so that every round reads the same one.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from benchmarks.speed.contenders.common import Stopwatch, arguments
from benchmarks.speed.contenders.read_deltas import deltas_totals
from benchmarks.speed.truth import write_totals

from tokenfuse.contracts.topics import EVENTS
from tokenfuse.runtime import metrics
from tokenfuse.runtime.ingest import run_ingest
from tokenfuse.runtime.settings import Settings

POLL_SECONDS = 0.005
STALL_SECONDS = 60.0


class SharedSource(Settings):
    """Settings whose source topic is somebody else's."""

    def topic(self, name: str) -> str:
        """Full name of a topic or group."""
        return os.environ["BENCH_SOURCE"] if name == EVENTS else super().topic(name)


def records_out() -> int:
    """Records whose slices are acknowledged."""
    return int(
        sum(s.value for m in metrics.EVENTS_TOTAL.collect() for s in m.samples if s.name.endswith("_total"))
    )


async def follow(given: dict[str, Any], settings: Settings) -> tuple[Stopwatch, int]:
    """Run until `count` records are out, or, with a count of 0, until the file `stop` exists and nothing more comes."""
    watch, stop = Stopwatch(), asyncio.Event()

    def ready(is_ready: bool) -> None:
        if is_ready:
            watch.start()

    worker = asyncio.create_task(run_ingest(settings, stop, ready))
    moved, out = time.monotonic(), 0
    while out < given["count"] or not given["count"]:
        await asyncio.sleep(POLL_SECONDS)
        now = records_out()
        if now != out:
            out, moved = now, time.monotonic()
            watch.stop()
        if worker.done() or (given.get("stop") and os.path.exists(given["stop"])):  # noqa: ASYNC240, PTH110 - 2 us
            break
        if time.monotonic() > moved + STALL_SECONDS:
            raise TimeoutError(f"{out} of {given['count']} records, and no more for {STALL_SECONDS:g} s")
    stop.set()
    await worker
    return watch, out


def main() -> None:
    """The process."""
    given = arguments()
    os.environ["BENCH_SOURCE"] = given["topic"]
    settings = SharedSource(**given["settings"])
    watch, out = asyncio.run(follow(given, settings))
    if given.get("totals"):
        write_totals(Path(given["totals"]), asyncio.run(deltas_totals(settings)))
    watch.report(out)


if __name__ == "__main__":
    main()

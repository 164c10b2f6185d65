"""A gateway in a process of its own: says when each probe's kill switch first refused a call."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any

from benchmarks.speed.contenders.common import arguments

from tokenfuse.gateway import Gateway

LOOK_SECONDS = 0.001
AHEAD = 200
"""Probes beyond the lowest that is not refused yet, which are asked for."""


def probe(number: int) -> str:
    """Run id of a probe."""
    return f"probe-{number:06d}"


async def watch(given: dict[str, Any]) -> dict[int, float]:
    """Seconds since the epoch, by probe, until the file `stop` exists."""
    seen: dict[int, float] = {}
    lowest, looks = 0, 0
    async with Gateway(given["servers"], topic_prefix=given["prefix"]) as gateway:
        await gateway.ready(timeout_seconds=60)
        print("ready", flush=True)
        while looks % 100 or not os.path.exists(given["stop"]):  # noqa: ASYNC240, PTH110 - 2 us
            looks += 1
            await asyncio.sleep(LOOK_SECONDS)
            for number in range(lowest, lowest + AHEAD):
                if number not in seen and not gateway.check(run_id=probe(number)).allowed:
                    seen[number] = time.time()
            while lowest in seen:
                lowest += 1
    return seen


def main() -> None:
    """The process."""
    print(json.dumps(asyncio.run(watch(arguments()))), flush=True)


if __name__ == "__main__":
    main()

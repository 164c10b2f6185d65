"""A Faust agent as its documentation writes it: one event at a time, decode, and sums in five dictionaries.

No de-duplication, no prices, no panes, no cells and no tables, so no changelog either. It is slow, so it reads the first
messages of each partition only, and its sums are checked against those.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import faust
import msgspec
from benchmarks.speed.contenders.common import AXES, Stopwatch, arguments, decode
from benchmarks.speed.stage import PARTITIONS
from benchmarks.speed.truth import write_totals

WATCH = Stopwatch()


def main() -> None:
    """The process; it ends where it is, since nothing that Faust closes is measured."""
    given = arguments()
    app = faust.App(
        f"bench-{os.getpid()}", broker=f"aiokafka://{given['servers']}", store="memory://", autodiscover=False,
        web_enabled=False, datadir=tempfile.mkdtemp(), topic_disable_leader=True, consumer_auto_offset_reset="earliest", topic_partitions=PARTITIONS,
    )  # fmt: skip
    topic = app.topic(given["topic"], value_serializer="raw", key_serializer="raw")
    sums: dict[str, dict[str, list[int]]] = {axis: defaultdict(lambda: [0, 0, 0]) for axis in AXES}
    read = dict.fromkeys(range(PARTITIONS), 0)

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        count = 0
        async for message in stream.events():
            WATCH.start()
            event = decode(message.value)
            for axis in AXES:
                row = sums[axis][getattr(event, axis)]
                row[0] += 1
                row[1] += event.input_tokens
                row[2] += event.output_tokens
            read[message.message.partition] = message.message.offset + 1
            count += 1
            if count == given["count"]:
                finish(count)

    def finish(count: int) -> None:
        WATCH.stop()
        if given.get("totals"):
            totals = {
                (a, v, 0): (n, 0, i, o, 0, 0) for a, rows in sums.items() for v, (n, i, o) in rows.items()
            }
            write_totals(Path(given["totals"]), totals)
            Path(given["read"]).write_bytes(msgspec.json.encode(list(read.items())))
        WATCH.report(count)
        os._exit(0)

    asyncio.run(run(app))


async def run(app: faust.App) -> None:
    """Until `finish` ends the process."""
    await app.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    main()

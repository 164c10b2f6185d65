"""An ingest worker as a process: `ingest_process.py SETTINGS_JSON DIE_AFTER`.

With DIE_AFTER > 0 it kills itself with SIGKILL once that many messages to the deltas topic are durable, wherever in a
slice that is: after the fence, between two blocks, or among ticks.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

from tokenfuse.contracts import topics
from tokenfuse.runtime.ingest import outbox, run_ingest, worker
from tokenfuse.runtime.settings import Settings


class DyingProducer:
    """A real producer with a fuse."""

    def __init__(self, producer: Any, deltas: str, die_after: int) -> None:
        self._producer, self._deltas, self._left = producer, deltas, die_after
        self._acks: list[Any] = []

    async def send(self, topic: str, *args: Any, **kwargs: Any) -> Any:
        ack = await self._producer.send(topic, *args, **kwargs)
        self._acks.append(ack)
        if topic == self._deltas:
            self._left -= 1
            if self._left == 0:
                await asyncio.gather(*self._acks)
                os.kill(os.getpid(), signal.SIGKILL)
        return ack


def main() -> None:
    settings, die_after = Settings(**json.loads(sys.argv[1])), int(sys.argv[2])
    if die_after:

        class DyingOutbox(outbox.Outbox):
            def __init__(self, producer: Any, settings: Settings) -> None:
                super().__init__(DyingProducer(producer, settings.topic(topics.DELTAS), die_after), settings)

        worker.Outbox = DyingOutbox  # type: ignore[misc]

    async def run() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await run_ingest(settings, stop, lambda _: None)

    asyncio.run(run())


if __name__ == "__main__":
    main()

"""A steady trickle of calls through a pipeline whose dead are started again."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.pipeline import Pipeline
    from tests.support.traffic import Traffic

PAUSE_SECONDS = 0.2  # paces the load; nothing waits for it
CALLS = 30


@asynccontextmanager
async def load(pipeline: Pipeline, traffic: Traffic) -> AsyncIterator[None]:
    """While the block runs."""
    done = asyncio.Event()

    async def trickle() -> None:
        while not done.is_set():
            await pipeline.publish(traffic.more(CALLS))
            pipeline.keep_running()
            await asyncio.sleep(PAUSE_SECONDS)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(trickle())
        yield
        done.set()

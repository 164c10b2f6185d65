"""Publishes the demo's calls to the source topic, as any producer would, and keeps the ledger of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from tokenfuse.contracts.topics import EVENTS
from tokenfuse.demo.ledger import Ledger
from tokenfuse.demo.traffic import Event, Timed
from tokenfuse.ingest.record import HISTORY, MODE_HEADER
from tokenfuse.runtime import kafka

if TYPE_CHECKING:
    from tokenfuse.runtime.settings import Settings

BATCH: Final = 2_000
LINGER_MS: Final = 20
_encode: Final = msgspec.json.Encoder().encode


class Source:
    """A producer and the ledger of everything that was published, by whomever."""

    def __init__(self, settings: Settings) -> None:
        self.ledger = Ledger()
        self._topic = settings.topic(EVENTS)
        # The embedded broker knows no producer ids, hence no idempotence; nothing is sent twice here.
        self._options: dict[str, Any] = {"enable_idempotence": False, "linger_ms": LINGER_MS}
        self._settings = settings
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._bulk = await self._stack.enter_async_context(kafka.producer(self._settings, **self._options))
        self._single = await self._stack.enter_async_context(
            kafka.producer(self._settings, enable_idempotence=False)
        )
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._stack.aclose()

    async def history(self, calls: Sequence[Timed], progress: Callable[[int], None]) -> None:
        """Publish calls that teach baselines and raise no alert."""
        headers = [(MODE_HEADER, HISTORY)]
        for start in range(0, len(calls), BATCH):
            await self._batch(calls[start : start + BATCH], headers)
            progress(min(start + BATCH, len(calls)))

    async def live(self, calls: Sequence[Timed]) -> None:
        """Publish calls that rules judge."""
        await self._batch(calls, [])

    async def one(self, event: Event, at_ms: int) -> float:
        """Publish one call at once; returns the monotonic time just before it was sent."""
        self.ledger.add(event, at_ms)
        began = time.monotonic()
        await self._single.send_and_wait(self._topic, _encode(event), key=event["tenant"].encode())
        return began

    async def _batch(self, calls: Sequence[Timed], headers: list[tuple[str, bytes]]) -> None:
        sent = []
        for call in calls:
            self.ledger.add(call.event, call.at_ms)
            value, key = _encode(call.event), call.event["tenant"].encode()
            sent.append(await self._bulk.send(self._topic, value, key=key, headers=headers))
        await asyncio.gather(*sent)

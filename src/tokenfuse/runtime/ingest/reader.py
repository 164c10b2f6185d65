"""Reads stretches of a partition outside the consumer group: fences, ids, and originals of corrections."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from tokenfuse.runtime.broker.quirks import end_offsets
from tokenfuse.runtime.ingest.errors import BrokerSilentError
from tokenfuse.runtime.ingest.source import record_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from aiokafka import AIOKafkaConsumer, TopicPartition

    from tokenfuse.ingest.record import Record

POLL_MS: Final = 500
FETCH_WAIT_MS_MAX: Final = 10
"""For the reader's consumer: the records that it is sent for are there already."""

SILENCE_SECONDS_MAX: Final = 30.0
NEARBY_RECORDS: Final = 200
"""Originals closer together than this are read in one go."""


class LogReader:
    """A consumer without a group, moved to wherever something must be read.

    Args:
        consumer: started, without subscription; used by nobody else.
    """

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    async def beginning(self, tp: TopicPartition) -> int:
        """Offset of the first record that is still there."""
        return int((await self._consumer.beginning_offsets([tp]))[tp])

    async def end(self, tp: TopicPartition) -> int:
        """Offset after the last record."""
        return (await end_offsets(self._consumer, [tp]))[tp]

    async def first_since(self, tp: TopicPartition, timestamp_ms: int) -> int | None:
        """Offset of the first record appended at or after a time; None: there is none."""
        found = (await self._consumer.offsets_for_times({tp: max(timestamp_ms, 0)}))[tp]
        return None if found is None else int(found.offset)

    async def scan(self, tp: TopicPartition, start: int, end: int) -> AsyncIterator[list[Record]]:
        """Records with offsets in [start, end), in lists of a fetch's size.

        Raises:
            BrokerSilentError: nothing came for half a minute, though `end` was not reached.
        """
        if start >= end:
            return
        self._consumer.assign([tp])
        self._consumer.seek(tp, start)
        deadline = time.monotonic() + SILENCE_SECONDS_MAX
        while await self._consumer.position(tp) < end:
            fetched = await self._consumer.getmany(tp, timeout_ms=POLL_MS)
            records = [record_of(m) for m in fetched.get(tp, ()) if m.offset < end]
            if records:
                yield records
                deadline = time.monotonic() + SILENCE_SECONDS_MAX
            elif time.monotonic() > deadline:
                raise BrokerSilentError(
                    f"{tp.topic}-{tp.partition}: no record of [{start}, {end}) came: see the broker's log"
                )
        # What the fetcher would go on waiting for at the end keeps other requests on its connection waiting.
        self._consumer.pause(tp)

    async def at(self, tp: TopicPartition, offsets: Iterable[int]) -> dict[int, Record]:
        """The records at these offsets, as far as they are still there."""
        wanted = sorted(offsets)
        if not wanted:
            return {}
        beginning = await self.beginning(tp)
        found = {}
        for stretch in _stretches([offset for offset in wanted if offset >= beginning]):
            async for records in self.scan(tp, stretch[0], stretch[-1] + 1):
                found.update({r.offset: r for r in records if r.offset in stretch})
        return found


def _stretches(offsets: list[int]) -> list[list[int]]:
    """Rising offsets, cut where the next one is far."""
    stretches: list[list[int]] = []
    for offset in offsets:
        if stretches and offset - stretches[-1][-1] <= NEARBY_RECORDS:
            stretches[-1].append(offset)
        else:
            stretches.append([offset])
    return stretches

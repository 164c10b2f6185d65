"""What a slice sends, and ticks: all acknowledged before anything goes on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tokenfuse.contracts import topics
from tokenfuse.contracts.block import FORMAT, Tick, encode_block
from tokenfuse.contracts.deadletter import headers
from tokenfuse.runtime import metrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiokafka import AIOKafkaProducer

    from tokenfuse.contracts.deadletter import DeadLetter
    from tokenfuse.ingest.record import Record
    from tokenfuse.ingest.slices import SliceResult
    from tokenfuse.runtime.settings import Settings


class Outbox:
    """Produces blocks, ids, dead letters and ticks.

    Args:
        producer: started; acks=all, one in flight per partition, so blocks of a source stay in order.
    """

    def __init__(self, producer: AIOKafkaProducer, settings: Settings) -> None:
        self._producer = producer
        self._partitions = settings.deltas_partitions
        self._deltas, self._ids = settings.topic(topics.DELTAS), settings.topic(topics.IDS)
        self._deadletter = settings.topic(topics.DEADLETTER)

    async def send_slices(self, slices: Mapping[int, tuple[Sequence[Record], SliceResult]]) -> None:
        """Everything that these slices produce; returns when all of it is durable.

        Args:
            slices: by source partition: the records, and what became of them.

        Raises:
            KafkaError: something may not be durable: the process must end and cut the slices again.
        """
        acks: list[Any] = []
        for source, (records, result) in slices.items():
            for owner, block in enumerate(result.blocks):
                acks.append(
                    await self._producer.send(self._deltas, block, key=b"%d" % owner, partition=owner)
                )
            acks.append(
                await self._producer.send(self._ids, result.ids, key=b"%d" % source, partition=source)
            )
            acks.extend(await self._send_letters(records, result.letters))
        await asyncio.gather(*acks)

    async def _send_letters(self, records: Sequence[Record], letters: Sequence[DeadLetter]) -> list[Any]:
        """Dead letters under their records' keys, so by tenant, and with their records' own headers before ours."""
        refused = {letter.offset for letter in letters}
        by_offset = {record.offset: record for record in records if record.offset in refused}
        acks = []
        for letter in letters:
            record = by_offset[letter.offset]
            head = [*record.headers, *headers(letter)]
            acks.append(
                await self._producer.send(self._deadletter, letter.original, key=record.key, headers=head)
            )
        return acks

    async def send_ticks(self, positions: Mapping[int, int], now_ms: int) -> None:
        """One tick of each source partition to every deltas partition, after its own blocks."""
        acks = [
            await self._producer.send(
                self._deltas,
                encode_block(Tick(FORMAT, source, position, now_ms)),
                key=b"%d" % owner,
                partition=owner,
            )
            for source, position in positions.items()
            for owner in range(self._partitions)
        ]
        await asyncio.gather(*acks)


def observe(result: SliceResult) -> None:
    """Counts what became of a slice's records, once it is out."""
    for outcome, count in result.counts.items():
        metrics.EVENTS_TOTAL.labels(result=outcome.value).inc(count)
    for letter in result.letters:
        metrics.DEAD_LETTERS_TOTAL.labels(reason=letter.reason.value).inc()
    metrics.UNPRICED_TOTAL.inc(result.unpriced)

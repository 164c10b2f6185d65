"""What a slice sends, and ticks: all acknowledged before anything goes on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tokenfuse.contracts import topics
from tokenfuse.contracts.block import FORMAT, Tick, encode_block
from tokenfuse.contracts.deadletter import headers
from tokenfuse.runtime import metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiokafka import AIOKafkaProducer

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

    async def send_slices(
        self, results: Mapping[int, tuple[SliceResult, Mapping[int, bytes | None]]]
    ) -> None:
        """Everything that these slices produce; returns when all of it is durable.

        Args:
            results: by source partition: the slice, and the keys of its records by offset.

        Raises:
            KafkaError: something may not be durable: the process must end and cut the slices again.
        """
        acks: list[Any] = []
        for source, (result, keys) in results.items():
            for owner, block in enumerate(result.blocks):
                acks.append(
                    await self._producer.send(self._deltas, block, key=b"%d" % owner, partition=owner)
                )
            acks.append(
                await self._producer.send(self._ids, result.ids, key=b"%d" % source, partition=source)
            )
            for letter in result.letters:
                message = letter.original, keys.get(letter.offset), headers(letter)
                acks.append(await self._send_letter(*message))
        await asyncio.gather(*acks)

    async def _send_letter(self, original: bytes, key: bytes | None, head: list[tuple[str, bytes]]) -> Any:
        return await self._producer.send(self._deadletter, original, key=key, headers=head)

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

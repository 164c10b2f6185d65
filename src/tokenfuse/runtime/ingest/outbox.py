"""What a slice sends, and ticks: all acknowledged before anything goes on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from tokenfuse.contracts import topics
from tokenfuse.contracts.block import TICK_FORMAT, Tick, encode_block
from tokenfuse.contracts.deadletter import headers
from tokenfuse.contracts.topics import BLOCK_BYTES_MAX
from tokenfuse.runtime import metrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiokafka import AIOKafkaProducer

    from tokenfuse.contracts.deadletter import DeadLetter
    from tokenfuse.ingest.record import Record
    from tokenfuse.ingest.slices import SliceResult
    from tokenfuse.runtime.settings import Settings

ENDS_PARTITION: Final = 0
"""The deltas partition in which recovery looks for the end of each source partition."""

LETTER_BYTES_MAX: Final = BLOCK_BYTES_MAX - 256 * 1024
"""Of a dead letter with its key and headers: the rest is for ours and for Kafka's own."""


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
            key, value, head = as_message(record, letter)
            acks.append(await self._producer.send(self._deadletter, value, key=key, headers=head))
        return acks

    async def send_ticks(self, positions: Mapping[int, int], now_ms: int) -> None:
        """The time to every deltas partition, by one source partition; where recovery looks, by each of them.

        Readers of the log take from a tick what time it is, which is the same for all that this worker holds.
        """
        speaker = min(positions)
        acks = [
            await self._producer.send(
                self._deltas,
                encode_block(Tick(TICK_FORMAT, source, position, now_ms)),
                key=b"%d" % owner,
                partition=owner,
            )
            for source, position in positions.items()
            for owner in (range(self._partitions) if source == speaker else (ENDS_PARTITION,))
        ]
        await asyncio.gather(*acks)


def as_message(record: Record, letter: DeadLetter) -> tuple[bytes | None, bytes, list[tuple[str, bytes]]]:
    """Key, value and headers of a dead letter, cut to what the topic takes: one that it refuses would stop the stream."""
    key, theirs = record.key, list(record.headers)
    around = len(key or b"") + sum(len(name) + len(value) for name, value in theirs)
    if around > LETTER_BYTES_MAX // 2:
        key, theirs, around = None, [], 0
    room = LETTER_BYTES_MAX - around
    if len(letter.original) <= room and theirs == list(record.headers):
        return key, letter.original, [*theirs, *headers(letter)]
    whole = ("original_bytes", str(len(letter.original)).encode())
    return key, letter.original[:room], [*theirs, *headers(letter), whole]


def observe(result: SliceResult) -> None:
    """Counts what became of a slice's records, once it is out."""
    for outcome, count in result.counts.items():
        metrics.EVENTS_TOTAL.labels(result=outcome.value).inc(count)
    for letter in result.letters:
        metrics.DEAD_LETTERS_TOTAL.labels(reason=letter.reason.value).inc()
    metrics.UNPRICED_TOTAL.inc(result.unpriced)

"""Reading a compacted topic from its beginning: without a group, without commits, at every start.

A consumer that goes on at an old offset may miss a tombstone that compaction has removed since, and would refuse calls
for ever. So whoever loses touch with the broker for long reads everything again.

    ReadAgainError           follow the topic again from its beginning
    ├── TopicMissingError    it does not exist (yet)
    ├── ContactLostError     the broker has not answered for too long
    └── LogReplacedError     the log is shorter than what was read of it: the topic or the broker is a new one
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from msgspec import Struct

FETCH_WAIT_MS: Final = 500
POLL_MS: Final = 500
CONTACT_LOST_SECONDS: Final = 60.0
"""Far below `delete.retention.ms` (a day by default), during which a tombstone is kept for readers."""


class ReadAgainError(Exception):
    """Follow the topic again from its beginning."""


class TopicMissingError(ReadAgainError):
    """The topic does not exist. Asking for it in the ordinary way would create it, with the wrong settings."""


class ContactLostError(ReadAgainError):
    """No answer from the broker for CONTACT_LOST_SECONDS."""


class LogReplacedError(ReadAgainError):
    """The log ends before what was already read."""


class Chunk(Struct, frozen=True):
    """What one poll brought; maybe nothing.

    Attributes:
        records: aiokafka's, in order per partition.
        caught_up: everything that was there when reading began has been read.
    """

    records: tuple[Any, ...]
    caught_up: bool


async def partitions_of(topic: str, client_options: Mapping[str, Any]) -> tuple[int, ...]:
    """Partitions of an existing topic; a broker that makes topics when they are asked for is not tempted.

    Args:
        client_options: what every aiokafka client takes: `bootstrap_servers`, security.

    Raises:
        TopicMissingError: no such topic, or no right to see it. KafkaError: the broker does not answer.
    """
    client = AIOKafkaClient(**client_options)
    await client.bootstrap()
    try:
        partitions = (await client.fetch_all_metadata()).partitions_for_topic(topic)
    finally:
        await client.close()
    if not partitions:
        raise TopicMissingError(f"topic {topic} does not exist: run `tokenfuse topics create`")
    return tuple(sorted(partitions))


async def follow(topic: str, client_options: Mapping[str, Any]) -> AsyncGenerator[Chunk, None]:
    """Everything on the topic from its beginning on, and then what comes, for ever. Close it to end it.

    Raises:
        ReadAgainError: state built from what came so far may be wrong: drop it and follow again.
        KafkaError: the same.
    """
    partitions = [TopicPartition(topic, number) for number in await partitions_of(topic, client_options)]
    consumer = AIOKafkaConsumer(
        **client_options,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=FETCH_WAIT_MS,
        retry_backoff_ms=FETCH_WAIT_MS,
    )
    try:
        await consumer.start()
        consumer.assign(partitions)
        beginnings = await consumer.beginning_offsets(partitions)
        for partition, offset in beginnings.items():
            consumer.seek(partition, offset)
        ends = _Ends(consumer, partitions)
        while True:
            batches = await consumer.getmany(*partitions, timeout_ms=POLL_MS)
            caught_up = await ends.reached()
            yield Chunk(tuple(record for batch in batches.values() for record in batch), caught_up)
    finally:
        await stop_client(consumer)


async def read_to_end(topic: str, client_options: Mapping[str, Any]) -> list[Any]:
    """Every record that is on the topic now, in order per partition.

    Raises:
        ReadAgainError: the topic is missing, or changed while it was read. KafkaError: the broker does not answer.
    """
    records: list[Any] = []
    async with contextlib.aclosing(follow(topic, client_options)) as chunks:
        async for chunk in chunks:
            records.extend(chunk.records)
            if chunk.caught_up:
                break
    return records


async def stop_client(client: Any) -> None:
    """Stop a consumer or producer for good, whatever became of its broker.

    aiokafka 0.14 lets the cancellation of its own tasks escape from `stop`: of fetches while a broker is away
    (`fetcher.py`, `close`: `await x` of a cancelled task), and of a consumer that is stopped right after its start
    (`group_coordinator.py`, `NoGroupCoordinator.close`). It would end our task as if we were cancelled, in silence, and
    leave the connections open.
    """
    await asyncio.gather(client.stop(), return_exceptions=True)
    inner = getattr(client, "_client", None) or client.client
    await asyncio.gather(inner.close(), return_exceptions=True)


class _Ends:
    """Where each partition ended when its first fetch was answered.

    Fetches say the high water mark. ListOffsets(LATEST) is not asked: the embedded broker answers it wrongly.
    """

    def __init__(self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> None:
        self._consumer = consumer
        self._partitions = partitions
        self._ends: dict[TopicPartition, int] = {}
        self._reached = False
        self._begun = time.monotonic()

    async def reached(self) -> bool:
        """Whether every partition has been read to its end. Raises ReadAgainError."""
        places = [(each, await self._consumer.position(each)) for each in self._partitions]
        for partition, position in places:
            mark = self._consumer.highwater(partition)
            self._check(partition, mark, position)
            if mark is not None:
                self._ends.setdefault(partition, mark)
        if not self._reached and len(self._ends) == len(places):
            self._reached = all(position >= self._ends[partition] for partition, position in places)
        return self._reached

    def _check(self, partition: TopicPartition, mark: int | None, position: int) -> None:
        answered_ms = self._consumer.last_poll_timestamp(partition)
        silent = time.monotonic() - self._begun if answered_ms is None else time.time() - answered_ms / 1000
        if silent > CONTACT_LOST_SECONDS:
            raise ContactLostError(f"no answer from the broker for {silent:.0f} s")
        if mark is not None and mark < position:
            raise LogReplacedError(
                f"{partition.topic}-{partition.partition} ends at {mark}, and {position} was read"
            )

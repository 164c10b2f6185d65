"""Topics as an outside reader sees them, read on from where it stopped."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterable


class Line(NamedTuple):
    """One record."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class TopicLog:
    """Every record of one topic, by partition, in its order."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self.topic = topic
        self.lines: dict[int, list[Line]] = defaultdict(list)
        self._servers = bootstrap_servers
        self._next: dict[TopicPartition, int] = defaultdict(int)

    async def extend(self) -> list[Line]:
        """What was appended since the last call."""
        new: list[Line] = []
        async with AIOKafkaConsumer(
            bootstrap_servers=self._servers, max_partition_fetch_bytes=8 << 20, request_timeout_ms=60_000
        ) as consumer:
            await consumer._client.set_topics([self.topic])
            numbers = consumer._client.cluster.partitions_for_topic(self.topic) or set()
            ends = await consumer.end_offsets(
                [TopicPartition(self.topic, number) for number in sorted(numbers)]
            )
            consumer.assign(list(ends))
            for tp in ends:
                consumer.seek(tp, self._next[tp])
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                    new += _lines(tp, records)
            for tp in ends:
                self._next[tp] = await consumer.position(tp)
        for line in new:
            self.lines[line.partition].append(line)
        return new

    def all(self) -> list[Line]:
        """Everything read so far."""
        return [line for number in sorted(self.lines) for line in self.lines[number]]

    @property
    def ends(self) -> dict[int, int]:
        return {tp.partition: offset for tp, offset in self._next.items()}


def _lines(tp: TopicPartition, records: Iterable[Any]) -> list[Line]:
    return [
        Line(tp.partition, r.offset, r.timestamp, r.key, r.value, tuple((n, bytes(v)) for n, v in r.headers))
        for r in records
    ]

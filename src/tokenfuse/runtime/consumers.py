"""Consumer groups of the roles: who is in them, how far they are behind, and which partitions stand still."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiokafka import TopicPartition

from tokenfuse.contracts.topics import ALERTS, DELTAS, EVENTS, FENCES, SIGNALS
from tokenfuse.runtime import kafka
from tokenfuse.runtime.broker import broker_traits, end_offsets
from tokenfuse.runtime.ingest.fence import Fence, TopicFence
from tokenfuse.runtime.ingest.reader import LogReader
from tokenfuse.runtime.statelog.checkpoint import PACE_SECONDS_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiokafka import AIOKafkaConsumer
    from aiokafka.admin import AIOKafkaAdminClient

    from tokenfuse.runtime.settings import Settings

GROUPS: Final = (("ingest", EVENTS), ("agents", DELTAS), ("decider", SIGNALS))
NOTIFY_GROUPS: Final = ("notify-terminal", "notify-slack", "notify-pagerduty")
WATCH_SECONDS_MIN: Final = 5.0
WATCH_SECONDS_MAX: Final = 30.0


@dataclass(frozen=True)
class Lag:
    """One role on its input topic.

    Attributes:
        members: of its consumer group. Of `notify`: groups of receivers that have one.
        records: behind, over all partitions.
        still: partitions with input, whose position did not move while it was watched.
    """

    role: str
    topic: str
    members: int
    records: int
    still: tuple[int, ...] = field(default=())


async def lags(settings: Settings) -> list[Lag]:
    """Every role, looked at again where one has input to take: positions trail the work by a checkpoint.

    Raises:
        KafkaError: the broker does not answer, or does not let us look.
    """
    admin = kafka.admin(settings)
    await admin.start()
    try:
        async with kafka.started(kafka.consumer(settings)) as consumer:
            watch = _Watch(settings, admin, consumer)
            found = await watch.lags()
            if any(lag.members and lag.records for lag in found):
                await asyncio.sleep(_watch_seconds(settings))
                found = await watch.lags()
            if any(lag.members and lag.still for lag in found):
                await asyncio.sleep(PACE_SECONDS_MAX)  # a large state is checkpointed less often
                found = await watch.lags()
            receivers = [await watch.members(group) for group in NOTIFY_GROUPS]
            return [*found, Lag("notify", settings.topic(ALERTS), sum(map(bool, receivers)), 0)]
    finally:
        await admin.close()


async def record_count(settings: Settings, topic: str) -> int:
    """Records that are on an existing topic, by its offsets. Raises KafkaError."""
    async with kafka.started(kafka.consumer(settings)) as consumer:
        partitions = _partitions(consumer, topic)
        ends, starts = await end_offsets(consumer, partitions), await consumer.beginning_offsets(partitions)
        return sum(ends[tp] - starts[tp] for tp in partitions)


def _watch_seconds(settings: Settings) -> float:
    return min(max(WATCH_SECONDS_MIN, 2 * settings.checkpoint_seconds + 2), WATCH_SECONDS_MAX)


class _Watch:
    """Positions now, and what they were at the first look."""

    def __init__(self, settings: Settings, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer) -> None:
        self._settings, self._admin, self._consumer = settings, admin, consumer
        self._before: dict[TopicPartition, int] = {}

    async def members(self, group: str) -> int:
        """Of a group by its name without prefix; 0 where there is none."""
        described = await self._admin.describe_consumer_groups([self._settings.topic(group)])
        return len(described[0].groups[0][5]) if described else 0

    async def lags(self) -> list[Lag]:
        """How every role with a group of its own stands."""
        return [await self._lag(role, topic) for role, topic in GROUPS]

    async def _lag(self, role: str, name: str) -> Lag:
        topic = self._settings.topic(name)
        partitions = _partitions(self._consumer, topic)
        members = await self.members(f"tokenfuse.{role}")
        if not partitions:
            return Lag(role, topic, members, 0)
        positions = await self._positions(role, partitions)
        ends = await end_offsets(self._consumer, partitions)
        behind = {tp: max(ends[tp] - positions.get(tp, 0), 0) for tp in partitions}
        still = [
            tp.partition for tp in partitions if behind[tp] and self._before.get(tp) == positions.get(tp, 0)
        ]
        self._before = {tp: positions.get(tp, 0) for tp in partitions} | self._before
        return Lag(role, topic, members, sum(behind.values()), tuple(still))

    async def _positions(self, role: str, partitions: list[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Ingest keeps its position in its fences; the others commit theirs."""
        if role == "ingest" and not (await broker_traits(self._consumer)).commit_metadata:
            return await self._fences(partitions)
        # Named one by one: asked for all that there are, the embedded broker answers what aiokafka cannot read.
        group = self._settings.topic(f"tokenfuse.{role}")
        committed = await self._admin.list_consumer_group_offsets(group, partitions=partitions)
        return {tp: _position(offset) for tp, offset in committed.items() if offset.offset >= 0}

    async def _fences(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        topic = self._settings.topic(FENCES)
        async with kafka.started(kafka.consumer(self._settings)) as consumer:
            if not _partitions(consumer, topic):
                return {}
            store = TopicFence(None, LogReader(consumer), topic)  # it only reads here
            fences = await store.take_lease([tp.partition for tp in partitions])
        return {tp: fences[tp.partition].b for tp in partitions if tp.partition in fences}


def _partitions(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]


def _position(committed: Any) -> int:
    """Of ingest the end of the slice that was begun last; its offset is the beginning."""
    try:
        return msgspec.json.decode(committed.metadata or "", type=Fence).b
    except msgspec.DecodeError:
        return int(committed.offset)

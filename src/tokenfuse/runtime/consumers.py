"""Consumer groups of the roles: who is in them, and how far they are behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiokafka import TopicPartition

from tokenfuse.contracts.topics import DELTAS, EVENTS, SIGNALS
from tokenfuse.runtime import kafka
from tokenfuse.runtime.broker import end_offsets

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer
    from aiokafka.admin import AIOKafkaAdminClient

    from tokenfuse.runtime.settings import Settings

GROUPS: Final = (("tokenfuse.ingest", EVENTS), ("tokenfuse.agents", DELTAS), ("tokenfuse.decider", SIGNALS))


@dataclass(frozen=True)
class Lag:
    """One group on its input topic."""

    group: str
    topic: str
    members: int
    records: int

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.members} members, {self.records:,} records behind on {self.topic}"

    @property
    def advice(self) -> str:
        """What to do where nobody is in the group."""
        return f"start it: tokenfuse run --role {self.group.rsplit('.', 1)[-1]}"


async def lags(settings: Settings) -> list[Lag]:
    """Every role's group. Committed offsets of agents and decider trail their checkpoints by a few seconds."""
    admin = kafka.admin(settings)
    await admin.start()
    try:
        async with kafka.consumer(settings) as consumer:
            names = [(settings.topic(group), settings.topic(topic)) for group, topic in GROUPS]
            return [await _lag(admin, consumer, group, topic) for group, topic in names]
    finally:
        await admin.close()


async def _lag(admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer, group: str, topic: str) -> Lag:
    described = await admin.describe_consumer_groups([group])
    members = len(described[0].groups[0][5]) if described else 0
    committed = await admin.list_consumer_group_offsets(group)
    numbers = consumer.partitions_for_topic(topic) or set()
    ends = await end_offsets(consumer, [TopicPartition(topic, number) for number in sorted(numbers)])
    behind = sum(
        max(end - max(committed[tp].offset, 0) if tp in committed else end, 0) for tp, end in ends.items()
    )
    return Lag(group, topic, members, behind)

"""Every topic and group offset of an installation, copied record by record, and put back under another prefix.

To TokenFuse a prefix with no topics is an empty cluster: nothing of it lives elsewhere.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import OffsetAndMetadata
from tests.support.topic_reader import read_topic

from tokenfuse.contracts import topics as names
from tokenfuse.runtime import kafka, topics

if TYPE_CHECKING:
    from aiokafka.structs import ConsumerRecord

    from tokenfuse.runtime.settings import Settings

GROUPS = ("tokenfuse.ingest", "tokenfuse.agents", "tokenfuse.decider", "tokenfuse.command-forwarder")

Place = tuple[str, int]
"""Topic without prefix, partition."""


class Backup(NamedTuple):
    """Records as they were, and by group where it stood: offset and metadata."""

    records: dict[Place, list[ConsumerRecord]]
    groups: dict[str, dict[Place, OffsetAndMetadata]]


async def back_up(settings: Settings) -> Backup:
    """Everything, of an installation that is at rest."""
    servers = settings.bootstrap_servers or ""
    records: dict[Place, list[ConsumerRecord]] = {}
    for topic in topics.wanted(settings):
        found = await read_topic(servers, settings.topic(topic.name))
        records |= {(topic.name, partition): batch for partition, batch in found.items()}
    admin = kafka.admin(settings)
    await admin.start()
    prefix = len(settings.topic_prefix)
    groups = {}
    for group in GROUPS:
        offsets = await admin.list_consumer_group_offsets(settings.topic(group))
        groups[group] = {(tp.topic[prefix:], tp.partition): at for tp, at in offsets.items()}
    await admin.close()
    return Backup(records, groups)


async def restore(backup: Backup, settings: Settings, *, same_offsets: bool, groups: bool) -> None:
    """Make the topics and fill them.

    Args:
        same_offsets: what a topic had lost at its beginning is written as filling and deleted again, so that every
            record of a topic that is not compacted gets the offset that it had. Without, each begins at 0.
        groups: commit what the groups had, metadata included.
    """
    await topics.create(settings)
    admin = kafka.admin(settings)
    await admin.start()
    # The times of append are part of the backup: ids are looked for by them.
    await _timestamps(admin, settings, "CreateTime")
    compacted = {t.name for t in topics.wanted(settings) if "compact" in t.config["cleanup.policy"]}
    async with kafka.producer(settings, enable_idempotence=False, linger_ms=5) as producer:
        for (topic, partition), batch in backup.records.items():
            first = batch[0].offset if batch and same_offsets and topic not in compacted else 0
            await _produce(producer, settings.topic(topic), partition, batch, first)
            if first:
                tp = TopicPartition(settings.topic(topic), partition)
                await admin.delete_records({tp: RecordsToDelete(before_offset=first)})
    await _timestamps(admin, settings, "LogAppendTime")
    await admin.close()
    for group in GROUPS if groups else ():
        await _commit(settings, group, backup.groups[group])


async def _timestamps(admin: Any, settings: Settings, kind: str) -> None:
    of_events = dict(
        next(t.config for t in topics.wanted(settings) if t.name == names.EVENTS),
        **{"message.timestamp.type": kind},
    )
    resource = ConfigResource(ConfigResourceType.TOPIC, settings.topic(names.EVENTS), of_events)
    await admin.alter_configs([resource])


async def _produce(
    producer: Any, topic: str, partition: int, batch: list[ConsumerRecord], first: int
) -> None:
    sent = [await producer.send(topic, b"", key=b"", partition=partition) for _ in range(first)]
    sent += [
        await producer.send(
            topic, r.value, key=r.key, partition=partition, timestamp_ms=r.timestamp, headers=list(r.headers)
        )
        for r in batch
    ]
    await asyncio.gather(*sent)


async def _commit(settings: Settings, group: str, offsets: dict[Place, OffsetAndMetadata]) -> None:
    async with kafka.consumer(settings, group_id=settings.topic(group)) as consumer:
        places = {TopicPartition(settings.topic(topic), p): at for (topic, p), at in offsets.items()}
        consumer.assign(list(places))
        if places:
            await consumer.commit({tp: (at.offset, at.metadata) for tp, at in places.items()})


async def expire(settings: Settings, topic: str, keep: int) -> None:
    """Delete all records of each partition but the last `keep`, as retention does."""
    async with kafka.consumer(settings) as consumer:
        found = await consumer._client._wait_on_metadata(settings.topic(topic))
        ends = await consumer.end_offsets([TopicPartition(settings.topic(topic), p) for p in found or ()])
    admin = kafka.admin(settings)
    await admin.start()
    deletions = {tp: RecordsToDelete(before_offset=end - keep) for tp, end in ends.items() if end > keep}
    await admin.delete_records(deletions)
    await admin.close()

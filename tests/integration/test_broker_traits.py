"""What each broker can do is what its traits say, and the adaptations give the same result on both."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import OffsetAndMetadata
from tests.support.kafka_cluster import PROJECT_ROOT

from tokenfuse.runtime.broker import BrokerTraits, broker_traits, end_offsets, probe_traits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.conftest import Broker

OLD_MS = 1_600_000_000_123


@pytest.fixture
async def traits(broker: Broker) -> BrokerTraits:
    return await probe_traits(broker.bootstrap_servers)


@asynccontextmanager
async def admin_of(broker: Broker) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def create(broker: Broker, topic: str, partitions: int = 1, **configs: str) -> int:
    """Create a topic; configs have underscores for dots. The broker's error code."""
    async with admin_of(broker) as admin:
        named = {name.replace("_", "."): value for name, value in configs.items()}
        response = await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=named)])
        code: int = response.topic_errors[0][1]
        return code


async def publish_batch(broker: Broker, topic: str, partition: int, values: list[bytes]) -> None:
    """All values in one record batch, which is what ListOffsets gets wrong."""
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers) as producer:
        batch = producer.create_batch()
        for i, value in enumerate(values):
            batch.append(key=b'"%d-%d"' % (partition, i), value=value, timestamp=None)
        await (await producer.send_batch(batch, topic, partition=partition))


@asynccontextmanager
async def reading(
    broker: Broker, *partitions: TopicPartition, **options: Any
) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap_servers,
        enable_auto_commit=False,
        **{"auto_offset_reset": "earliest", **options},
    )
    async with consumer:
        consumer.assign(list(partitions))
        yield consumer


async def test_end_offsets_are_right_after_batches_of_many_records(broker: Broker, topic_prefix: str) -> None:
    topics = [f"{topic_prefix}a", f"{topic_prefix}b"]
    for topic in topics:
        assert await create(broker, topic, partitions=3) == 0
        await publish_batch(broker, topic, 0, [b"v"] * 10)
        await publish_batch(broker, topic, 0, [b"v"] * 7)
        await publish_batch(broker, topic, 2, [b"v"])
    partitions = [TopicPartition(topic, partition) for topic in topics for partition in range(3)]
    async with reading(broker, *partitions) as consumer:
        ends = await end_offsets(consumer, partitions)

    assert ends == dict(zip(partitions, [17, 0, 1] * 2, strict=True))


async def test_asking_for_end_offsets_does_not_move_the_consumer(broker: Broker, topic_prefix: str) -> None:
    partition = TopicPartition(f"{topic_prefix}events", 0)
    await create(broker, partition.topic)
    await publish_batch(broker, partition.topic, 0, [b"%d" % i for i in range(10)])
    async with reading(broker, partition) as consumer:
        consumer.seek(partition, 4)
        await end_offsets(consumer, [partition])
        record = await asyncio.wait_for(consumer.getone(), 60)

        assert record.offset == 4
        assert await end_offsets(consumer, []) == {}


async def test_every_kind_of_client_can_be_asked(broker: Broker, traits: BrokerTraits) -> None:
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers) as producer:
        assert await broker_traits(producer) == traits
    async with admin_of(broker) as admin:
        assert await broker_traits(admin) == traits
    async with reading(broker) as consumer:
        assert await broker_traits(consumer) == traits


async def test_list_offsets_exact(broker: Broker, traits: BrokerTraits, topic_prefix: str) -> None:
    partition = TopicPartition(f"{topic_prefix}events", 0)
    await create(broker, partition.topic)
    await publish_batch(broker, partition.topic, 0, [b"v"] * 10)
    async with reading(broker, partition) as consumer:
        ends = await consumer.end_offsets([partition])

    assert (ends[partition] == 10) == traits.list_offsets_exact


async def test_commit_metadata(broker: Broker, traits: BrokerTraits, topic_prefix: str) -> None:
    partition = TopicPartition(f"{topic_prefix}events", 0)
    await create(broker, partition.topic)
    async with reading(broker, partition, group_id=partition.topic) as consumer:
        await consumer.commit({partition: OffsetAndMetadata(5, "b=17")})
        committed = (await consumer._coordinator.fetch_committed_offsets([partition]))[partition]

    assert committed.offset == 5
    assert (committed.metadata == "b=17") == traits.commit_metadata


async def test_idempotent_producer(broker: Broker, traits: BrokerTraits, topic_prefix: str) -> None:
    await create(broker, f"{topic_prefix}events")
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers, enable_idempotence=True)
    try:
        await producer.start()
        works = (await producer.send_and_wait(f"{topic_prefix}events", b"v")).offset == 0
    except KafkaError:
        works = False
    finally:
        await producer.stop()

    assert works == traits.idempotent_producer


async def test_log_append_time(broker: Broker, traits: BrokerTraits, topic_prefix: str) -> None:
    topic = f"{topic_prefix}events"
    await create(broker, topic, message_timestamp_type="LogAppendTime")
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers) as producer:
        await producer.send_and_wait(topic, b"v", timestamp_ms=OLD_MS)
    async with reading(broker, TopicPartition(topic, 0)) as consumer:
        record = await asyncio.wait_for(consumer.getone(), 60)

    assert (record.timestamp != OLD_MS) == traits.log_append_time


async def test_topic_configs(broker: Broker, traits: BrokerTraits, topic_prefix: str) -> None:
    topic = f"{topic_prefix}events"
    await create(broker, topic)
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": "12345"})
    refuses_nonsense = await create(broker, f"{topic_prefix}nonsense", no_such_config="1") != 0
    async with admin_of(broker) as admin:
        try:
            await admin.alter_configs([resource])
            alters = "12345" in str(await admin.describe_configs([resource]))
        except KafkaError:
            alters = False

    assert (alters, refuses_nonsense) == (traits.topic_configs, traits.topic_configs)


async def test_offset_out_of_range(broker: Broker, traits: BrokerTraits, topic_prefix: str) -> None:
    partition = TopicPartition(f"{topic_prefix}events", 0)
    await create(broker, partition.topic)
    await publish_batch(broker, partition.topic, 0, [b"v"] * 3)
    async with reading(broker, partition, auto_offset_reset="none") as consumer:
        consumer.seek(partition, 99)
        try:
            told = bool(await consumer.getmany(timeout_ms=2_000))
        except OffsetOutOfRangeError:
            told = True

    assert told == traits.offset_out_of_range


async def test_a_commit_of_a_stale_generation_is_refused(broker: Broker, topic_prefix: str) -> None:
    """The lease of a slice rests on it, on both brokers."""
    from aiokafka.client import ConnectionGroup
    from aiokafka.protocol.commit import OffsetCommitRequest

    topic = group = f"{topic_prefix}events"
    await create(broker, topic)
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=broker.bootstrap_servers,
        group_id=group,
        enable_auto_commit=False,
        session_timeout_ms=6_000,
    )
    async with consumer:
        coordinator = consumer._coordinator

        async def commit(generation: int, member: str) -> int:
            request = OffsetCommitRequest(group, generation, member, -1, [(topic, [(0, 7, "")])])
            response = await consumer._client.send(
                coordinator.coordinator_id, request, group=ConnectionGroup.COORDINATION
            )
            code: int = response.topics[0][1][0][1]
            return code

        own = (coordinator.generation, coordinator.member_id)
        codes = [
            await commit(*own),
            await commit(own[0] - 1, own[1]),
            await commit(own[0], "somebody else"),
            await commit(-1, ""),
        ]

    assert codes == [0, 22, 25, 25]  # fine, ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID twice


async def test_records_come_back_as_they_were_sent(broker: Broker, topic_prefix: str) -> None:
    topic = f"{topic_prefix}events"
    assert await create(broker, topic, max_message_bytes=str(9 << 20)) == 0
    headers = [("ce_type", b"1"), ("ce_type", b"2"), ("empty", b""), ("ü", b"\xff")]
    sent: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]] = [
        (None, b"no key", []),
        (b"tombstone", None, []),
        (b"", b"", []),
        (b"headers", b"v", headers),
        (b"8 MB", b"x" * (8 << 20), []),
    ]
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers, max_request_size=9 << 20)
    async with producer:
        for key, value, with_headers in sent:
            await producer.send_and_wait(topic, value, key=key, headers=with_headers, timestamp_ms=OLD_MS)
    async with reading(broker, TopicPartition(topic, 0)) as consumer:
        got = [await asyncio.wait_for(consumer.getone(), 60) for _ in sent]

    assert [(r.key, r.value, list(r.headers)) for r in got] == sent
    assert {r.timestamp for r in got} == {OLD_MS}


async def test_faust_recovers_whole_batches_and_goes_on(
    broker: Broker, traits: BrokerTraits, topic_prefix: str, tmp_path: Path
) -> None:
    app_id = f"{topic_prefix}app"
    await create(broker, f"{app_id}-events", partitions=4)
    await create(broker, f"{app_id}-counts-changelog", partitions=4)
    for partition in range(4):
        await publish_batch(broker, f"{app_id}-counts-changelog", partition, [b"1"] * 50)

    async with asyncio.timeout(60), faust_worker(broker, traits, app_id, tmp_path) as lines:
        restored = await anext(lines)
        # Faust may drop what arrives while it ends recovery (DESIGN, section 5), so more than one is offered.
        counting = asyncio.create_task(anext(lines))
        while not counting.done():
            await publish_batch(broker, f"{app_id}-events", 3, [b"event"])
            await asyncio.wait([counting], timeout=0.5)
        counted = await counting

    table = {f"{partition}-{i}": 1 for partition in range(4) for i in range(50)}
    assert restored == {"restored": table}
    assert counted["counted"]["3-0"] > 1


@asynccontextmanager
async def faust_worker(
    broker: Broker, traits: BrokerTraits, app_id: str, directory: Path
) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """A Faust worker process, and the objects that it prints."""
    environment = {
        "BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "APP_ID": app_id,
        "DATADIR": str(directory),
        "SESSION_TIMEOUT_SECONDS": str(traits.session_timeout_ms / 1000),
    }
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.recovering_faust_app", "worker", "--without-web"),
        env=environment,
        cwd=PROJECT_ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield printed_objects(worker)
    finally:
        worker.kill()
        await worker.wait()


async def printed_objects(process: asyncio.subprocess.Process) -> AsyncIterator[dict[str, Any]]:
    assert process.stdout is not None
    async for line in process.stdout:
        if b"{" in line:  # Faust writes a spinner and cursor codes between them
            yield json.loads(line[line.index(b"{") :])

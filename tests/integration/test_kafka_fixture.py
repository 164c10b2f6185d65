"""The real Apache Kafka of the tests: it keeps its data and its address through whatever tests do to it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import OffsetAndMetadata
from tests.support.kafka_cluster import PROJECT_ROOT, KafkaCluster, KafkaUnavailableError, kafka_jars
from tests.support.processes import alive, wait_until

from tokenfuse.runtime.broker.ping import answers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARENT = """
import pathlib, sys, time
from tests.support.kafka_cluster import KafkaCluster
cluster = KafkaCluster(pathlib.Path(sys.argv[1])).start()
print(cluster.pid, flush=True)
time.sleep(120)
"""


@pytest.fixture
def own_kafka(kafka_broker: KafkaCluster, tmp_path: Path) -> Iterator[KafkaCluster]:
    """A Kafka that the test may harm; `kafka_broker` decides whether there can be one at all."""
    with KafkaCluster(tmp_path / "kafka") as cluster:
        yield cluster


async def create_topic(bootstrap_servers: str, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1)])
    finally:
        await admin.close()


async def publish(bootstrap_servers: str, topic: str, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, enable_idempotence=True) as producer:
        await asyncio.wait_for(producer.send_and_wait(topic, value), 60)


async def read(bootstrap_servers: str, topic: str, count: int) -> list[bytes]:
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest"
    ) as consumer:
        return [(await asyncio.wait_for(consumer.getone(), 60)).value for _ in range(count)]


async def test_the_metadata_of_a_commit_comes_back(kafka_broker: KafkaCluster, topic_prefix: str) -> None:
    """The fence of a slice is such a commit."""
    topic = f"{topic_prefix}events"
    await create_topic(kafka_broker.bootstrap_servers, topic)
    partition = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(
        bootstrap_servers=kafka_broker.bootstrap_servers, group_id=topic, enable_auto_commit=False
    ) as consumer:
        consumer.assign([partition])
        await consumer.commit({partition: OffsetAndMetadata(5, "b=17")})

        committed = await consumer._coordinator.fetch_committed_offsets([partition])

    assert committed == {partition: OffsetAndMetadata(5, "b=17")}


async def test_records_survive_a_kill_and_the_address_stays(own_kafka: KafkaCluster) -> None:
    address = own_kafka.bootstrap_servers
    await create_topic(address, "events")
    await publish(address, "events", b"before")

    await asyncio.to_thread(own_kafka.kill)
    assert not answers(address)
    await asyncio.to_thread(own_kafka.start)
    await publish(own_kafka.bootstrap_servers, "events", b"after")

    assert own_kafka.bootstrap_servers == address
    assert await read(address, "events", 2) == [b"before", b"after"]


async def test_a_publish_during_a_pause_is_acknowledged_after_it(own_kafka: KafkaCluster) -> None:
    await create_topic(own_kafka.bootstrap_servers, "events")
    async with AIOKafkaProducer(bootstrap_servers=own_kafka.bootstrap_servers) as producer:
        await producer.send_and_wait("events", b"before")
        await asyncio.to_thread(own_kafka.pause)
        assert own_kafka.running
        sent = await producer.send("events", b"during")
        assert not sent.done()

        own_kafka.resume()
        await asyncio.wait_for(sent, 60)

    assert await read(own_kafka.bootstrap_servers, "events", 2) == [b"before", b"during"]


def test_it_dies_with_a_test_process_that_is_killed(kafka_broker: KafkaCluster, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path / "kafka")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT_ROOT) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())

        parent.kill()

    wait_until(lambda: not alive(pid), "Kafka ends", timeout_seconds=60)


def test_without_java_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(KafkaUnavailableError, match="Java 17 is not installed"):
        kafka_jars()

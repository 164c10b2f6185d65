"""The network between workers and a real Kafka stalls, passes one way only, and is cut; and writes that it refuses."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from tests.support.pipeline import Pipeline
from tests.support.processes import wait_until
from tests.support.proxied_kafka import proxied_kafka
from tests.support.traffic import Traffic

from tokenfuse.contracts.topics import AGENTS_CHECKPOINT
from tokenfuse.runtime import kafka, topics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.kafka_cluster import KafkaCluster

pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.timeout(600)]

PAUSE_SECONDS = 0.2  # paces load and cuts; nothing waits for it
MOVED_SECONDS = 120.0


@asynccontextmanager
async def load(pipeline: Pipeline, traffic: Traffic) -> AsyncIterator[None]:
    """A steady trickle of calls while the block runs; whoever dies is started again."""
    done = asyncio.Event()

    async def trickle() -> None:
        while not done.is_set():
            await pipeline.publish(traffic.more(30))
            pipeline.keep_running()
            await asyncio.sleep(PAUSE_SECONDS)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(trickle())
        yield
        done.set()


def owned(pipeline: Pipeline, name: str) -> int:
    """How many partitions the worker took over last: all of them, when it is alone."""
    lines = [json.loads(line) for line in pipeline.log(name).splitlines() if line.startswith("{")]
    if name.startswith("agents"):
        return len(next((e["positions"] for e in reversed(lines) if e["event"] == "recovered"), {}))
    taken = [e["source"] for e in lines if e["event"] == "partition taken"]
    return len(set(taken[-pipeline.settings.source_partitions :]))


async def moved_to(pipeline: Pipeline, *names: str) -> None:
    """Until these workers have every partition."""
    for name in names:
        await asyncio.to_thread(
            wait_until, lambda name=name: owned(pipeline, name) == 4, f"{name} has everything", MOVED_SECONDS
        )


async def test_stalls_one_way_streets_and_cuts_change_no_sum(tmp_path: Path) -> None:
    cluster, proxy = proxied_kafka(tmp_path / "kafka")
    traffic = Traffic(seed=4)
    with cluster, Pipeline(tmp_path, cluster.bootstrap_servers, "") as pipeline:
        await pipeline.create_topics()
        async with proxy, load(pipeline, traffic):
            for name in ("ingest-1", "agents-1", "decider-1"):
                pipeline.start(name, TOKENFUSE_BOOTSTRAP_SERVERS=proxy.address)
            await asyncio.to_thread(pipeline.wait_ready, "ingest-1", "agents-1")
            for name in ("ingest-2", "agents-2"):
                pipeline.start(name)
            await asyncio.to_thread(pipeline.wait_ready, "ingest-2", "agents-2")

            for ways in ([proxy.to_broker, proxy.from_broker], [proxy.from_broker]):
                for way in ways:
                    way.open.clear()
                await moved_to(pipeline, "ingest-2", "agents-2")
                proxy.heal()  # what the stalled ones had on their way arrives now
                await asyncio.to_thread(
                    wait_until, lambda: owned(pipeline, "agents-2") < 4, "agents share again", MOVED_SECONDS
                )
            for _ in range(15):
                proxy.cut()
                await asyncio.sleep(PAUSE_SECONDS)
        await pipeline.check(traffic.truth)
        assert proxy.connections > 15


async def configure(pipeline: Pipeline, **changes: str) -> None:
    """Change the configuration of the agents' changelog; what is not named is as `topics create` makes it."""
    topic = next(t for t in topics.wanted(pipeline.settings) if t.name == AGENTS_CHECKPOINT)
    config = dict(topic.config) | {name.replace("_", "."): value for name, value in changes.items()}
    admin = kafka.admin(pipeline.settings)
    await admin.start()
    name = pipeline.settings.topic(AGENTS_CHECKPOINT)
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, config)])
    await admin.close()


async def test_changelog_writes_that_the_broker_refuses_end_the_worker_and_cost_nothing(
    kafka_broker: KafkaCluster, topic_prefix: str, tmp_path: Path
) -> None:
    traffic = Traffic(seed=5)
    with Pipeline(tmp_path, kafka_broker.bootstrap_servers, topic_prefix) as pipeline:
        await pipeline.create_topics()
        for name in ("ingest-1", "agents-1"):
            pipeline.start(name)
        await pipeline.publish(traffic.more(200))
        await pipeline.check(traffic.truth)

        await configure(pipeline, max_message_bytes="200")
        await pipeline.publish(traffic.more(200))
        assert await asyncio.to_thread(pipeline.wait, "agents-1") == 72
        assert '"reason": "checkpoint_failed"' in pipeline.log("agents-1")
        assert "MessageSizeTooLargeError" in pipeline.log("agents-1")

        await configure(pipeline, min_insync_replicas="2")  # there is one: the producer tries again
        pipeline.start("agents-1")
        await asyncio.to_thread(pipeline.wait_ready, "agents-1")
        await pipeline.publish(traffic.more(200))
        await pipeline.check(traffic.truth)  # outputs do not wait for the changelog
        await configure(pipeline)
        await pipeline.publish(traffic.more(100))
        await pipeline.check(traffic.truth)
        assert pipeline.stop("agents-1") == 0
        pipeline.start("agents-1")
        await pipeline.publish(traffic.more(100))
        await pipeline.check(traffic.truth)
        assert not pipeline.exits

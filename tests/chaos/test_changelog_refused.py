"""Writes of the agents' changelog that a real Kafka refuses, for good and for a while."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from tests.support.pipeline import Pipeline
from tests.support.traffic import Traffic

from tokenfuse.contracts.topics import AGENTS_CHECKPOINT
from tokenfuse.runtime import kafka, topics

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.kafka_cluster import KafkaCluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


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

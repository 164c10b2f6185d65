"""A backup of all topics put back into an empty cluster: exact where offsets are kept, refused where they are not."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest
from tests.support.backup import back_up, expire, restore
from tests.support.pipeline import Pipeline
from tests.support.traffic import Traffic

from tokenfuse.contracts.topics import DELTAS, EVENTS
from tokenfuse.runtime.consumers import lags

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.backup import Backup
    from tests.support.kafka_cluster import KafkaCluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

WORKERS = ("ingest-1", "agents-1", "decider-1")
"""In the order in which they are stopped: what is on its way is worked off."""


async def test_a_restore_with_the_same_offsets_is_exact_and_any_other_is_refused(
    kafka_broker: KafkaCluster, topic_prefix: str, tmp_path: Path
) -> None:
    traffic = Traffic(seed=3)
    old = Pipeline(tmp_path / "old", kafka_broker.bootstrap_servers, topic_prefix)
    backup = await filled(old, traffic)

    def empty_cluster(name: str) -> Pipeline:
        return Pipeline(tmp_path / name, kafka_broker.bootstrap_servers, f"{name}.{topic_prefix}")

    with empty_cluster("shifted") as shifted:
        await restore(backup, shifted.settings, same_offsets=False, groups=True)
        shifted.start("ingest-1")
        shifted.start("agents-1")
        assert await asyncio.to_thread(shifted.wait, "ingest-1") == 2
        assert "was the topic created again?" in shifted.log("ingest-1")
        assert await asyncio.to_thread(shifted.wait, "agents-1") == 85
        assert '"reason": "input_recreated"' in shifted.log("agents-1")

    with empty_cluster("groupless") as groupless:
        await restore(backup, groupless.settings, same_offsets=True, groups=False)
        groupless.start("ingest-1")
        assert await asyncio.to_thread(groupless.wait, "ingest-1") == 2
        assert "no offset is committed for the group, but records up to" in groupless.log("ingest-1")

    with empty_cluster("whole") as whole:
        await restore(backup, whole.settings, same_offsets=True, groups=True)
        for name in WORKERS:
            whole.start(name)
        await whole.publish(random.Random(1).sample(backed_up_messages(backup), 60))  # known ids
        await whole.publish(traffic.more(200))
        await whole.check(traffic.truth)
        assert not whole.exits


async def filled(pipeline: Pipeline, traffic: Traffic) -> Backup:
    """A backup of an installation at rest, the beginnings of whose topics have expired."""
    with pipeline:
        await pipeline.create_topics()
        for name in WORKERS:
            pipeline.start(name)
        await pipeline.publish(traffic.more(300))
        await pipeline.check(traffic.truth)
        for name in WORKERS:
            if name == "agents-1":
                await worked_off(pipeline)
            assert pipeline.stop(name) == 0
        await expire(pipeline.settings, EVENTS, keep=20)
        await expire(pipeline.settings, DELTAS, keep=2)
        return await back_up(pipeline.settings)


async def worked_off(pipeline: Pipeline) -> None:
    """Agents have read and checkpointed all deltas: what they had not read would expire unread."""
    while any(lag.records for lag in await lags(pipeline.settings) if lag.role == "agents"):
        pass


def backed_up_messages(backup: Backup) -> list[bytes]:
    return [
        record.value for (topic, _), batch in backup.records.items() if topic == EVENTS for record in batch
    ]

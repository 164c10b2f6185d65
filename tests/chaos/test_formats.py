"""From this release to the next and back, on a real Kafka: old state and blocks go on, newer ones are refused by name.

The next release is `next_release.py`: one measure more, every format one up.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.chaos.next_release import MEASURE
from tests.support.ingest import deltas_of, eventually, messages
from tests.support.pipeline import NEXT_RELEASE, Pipeline
from tests.support.topic_reader import read_rollups
from tests.support.traffic import Traffic

from tokenfuse.contracts.block import FORMAT
from tokenfuse.contracts.topics import DECIDER_CHECKPOINT, ROLLUPS
from tokenfuse.runtime.statelog.rows import FORMAT as CHECKPOINT_FORMAT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.kafka_cluster import KafkaCluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def pipeline(kafka_broker: KafkaCluster, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    with Pipeline(tmp_path, kafka_broker.bootstrap_servers, topic_prefix) as pipeline:
        yield pipeline


async def answers(pipeline: Pipeline) -> int:
    """The new measure, as an outside reader finds it in the total of everything."""
    rollups = await read_rollups(pipeline.settings.bootstrap_servers or "", pipeline.settings.topic(ROLLUPS))
    return sum(
        rollup.get(MEASURE, 0)
        for rollup in rollups.values()
        if (rollup["axis"], rollup["granularity"]) == ("global", "total")
    )


def refusal(pipeline: Pipeline, name: str, code: int) -> str:
    """What a worker of this release says of what it finds, at the end of its only life."""
    pipeline.start(name)
    assert pipeline.wait(name) == code, pipeline.log(name)[-3000:]
    return pipeline.log(name)


async def test_the_next_release_reads_what_this_one_wrote_and_this_one_refuses_what_the_next_one_wrote(
    pipeline: Pipeline,
) -> None:
    traffic = Traffic(seed=1)
    await pipeline.create_topics()
    for name in ("ingest-1", "agents-1", "decider-1"):
        pipeline.start(name)
    await pipeline.publish(traffic.more(400))
    await pipeline.check(traffic.truth)
    assert pipeline.stop("agents-1") == 0
    await pipeline.publish(traffic.more(200))  # blocks of this release that only the next one reads
    await eventually_cut(pipeline, traffic)
    assert (pipeline.stop("ingest-1"), pipeline.stop("decider-1")) == (0, 0)
    assert await answers(pipeline) == 0

    pipeline.start("ingest-1", NEXT_RELEASE)
    await pipeline.publish(traffic.more(300))
    pipeline.wait_ready("ingest-1")
    said = await asyncio.to_thread(refusal, pipeline, "agents-1", 82)
    assert '"reason": "unknown_format"' in said
    assert (
        f"delta block of format {FORMAT + 1}, this release reads 1 to {FORMAT}: run the release that wrote it"
        in said
    )

    pipeline.start("agents-1", NEXT_RELEASE)
    pipeline.start("decider-1", NEXT_RELEASE)
    await pipeline.check(traffic.truth)
    assert await answers(pipeline) == 300
    pipeline.wait_ready("decider-1")
    await eventually(
        lambda: is_newer(pipeline, DECIDER_CHECKPOINT), "the next release's decider has a checkpoint"
    )

    for name in ("agents-1", "decider-1", "ingest-1"):
        assert pipeline.stop(name) == 0
    said = await asyncio.to_thread(refusal, pipeline, "agents-1", 82)
    assert "checkpoint of format 2, this release reads 1: run the release that wrote it" in said
    assert "checkpoint of format 2" in await asyncio.to_thread(refusal, pipeline, "decider-1", 82)
    assert "fence of format 2" in await asyncio.to_thread(refusal, pipeline, "ingest-1", 2)

    await pipeline.publish(traffic.more(100))
    for name in ("ingest-1", "agents-1", "decider-1"):
        pipeline.start(name, NEXT_RELEASE)
    await pipeline.check(traffic.truth)
    assert await answers(pipeline) == 400
    assert not pipeline.exits


async def is_newer(pipeline: Pipeline, checkpoint_topic: str) -> bool:
    """Whether the next release has written a checkpoint there."""
    kept = await messages(pipeline.settings, checkpoint_topic)
    heads = (each.value for records in kept.values() for each in records if each.key.endswith(b"|head"))
    return any(msgspec.msgpack.decode(value)[0] > CHECKPOINT_FORMAT for value in heads if value is not None)


async def eventually_cut(pipeline: Pipeline, traffic: Traffic) -> None:
    """Every call is in a block."""

    async def cut() -> bool:
        sums = (await deltas_of(pipeline.settings)).sums
        calls = sum(row[0] for (axis, _, _), row in sums.items() if axis == "global")
        return calls == len(traffic.events)

    await eventually(cut, "every call is in a block")

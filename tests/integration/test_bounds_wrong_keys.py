"""A producer that does not key by tenant, through real ingest on both brokers: the id watch says so."""

from __future__ import annotations

import asyncio

from prometheus_client import REGISTRY
from structlog.testing import capture_logs
from tests.support.ingest import all_cut, create_topics, event, eventually, publish, settings_for, worker

from tokenfuse.runtime.id_watch import ADVICE, IdWatch


def found(reason: str) -> float:
    name = "tokenfuse_cross_partition_duplicates_total"
    return REGISTRY.get_sample_value(name, {"reason": reason}) or 0.0


async def test_events_in_two_partitions_are_alarmed_with_an_example_and_what_to_do(broker, topic_prefix):
    settings = settings_for(broker, topic_prefix)
    await create_topics(settings)
    values = [event(f"e{number}") for number in range(400)]
    before, stop = found("counted_twice"), asyncio.Event()
    watch = IdWatch(settings, lambda: True)
    with capture_logs() as lines:
        watching = asyncio.create_task(watch.run(stop))
        await eventually(lambda: is_true(watch.watched == {0, 1}), "both partitions are watched")
        async with worker(settings):
            await publish(settings, values, partition=0)
            await publish(settings, [event("other")], partition=1)
            await all_cut(settings)
            assert found("counted_twice") == before, "an id in one partition is no alarm"
            await publish(settings, values, partition=1)
            await all_cut(settings)
            await eventually(lambda: is_true(found("counted_twice") > before), "the alarm")
        stop.set()
        await watching

    (line,) = [line for line in lines if line["event"] == ADVICE]
    assert (line["log_level"], line["reason"], line["key"]) == ("error", "counted_twice", "b'acme'")
    assert line["id"] in {f"e{number}" for number in range(400)}
    assert [place.split(",")[0] for place in line["places"]] == ["partition 0", "partition 1"]


async def is_true(value: bool) -> bool:
    return value

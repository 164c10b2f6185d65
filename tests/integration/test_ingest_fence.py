"""The fence on a real Kafka: leases, take-overs, and the errors that name what is lost or unfinished."""

from __future__ import annotations

import asyncio
import contextlib
import signal

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.errors import CommitFailedError
from tests.support.ingest import (
    Process,
    all_cut,
    create_topics,
    deltas_of,
    event,
    eventually,
    publish,
    settings_for,
    story,
    worker,
)

from tokenfuse.contracts import topics
from tokenfuse.runtime import kafka
from tokenfuse.runtime.ingest import run_ingest
from tokenfuse.runtime.ingest.errors import (
    CountedBeforeError,
    LostRecordsError,
    PartitionCountError,
    UnfinishedSliceError,
)
from tokenfuse.runtime.ingest.fence import Fence, OffsetFence

SLICE_TIME_S = 1_764_000_000


@pytest.fixture
async def settings(kafka_broker, topic_prefix):
    settings = settings_for(kafka_broker, topic_prefix)
    await create_topics(settings)
    return settings


async def forget(settings, topic: str) -> None:
    """Everything on a topic expires."""
    async with kafka.consumer(settings) as consumer:
        tps = [TopicPartition(settings.topic(topic), p) for p in range(settings.source_partitions)]
        ends = await consumer.end_offsets(tps)
    admin = kafka.admin(settings)
    await admin.start()
    await admin.delete_records({tp: RecordsToDelete(before_offset=end) for tp, end in ends.items() if end})
    await admin.close()


async def committed(settings, partition: int) -> tuple[int, str]:
    async with kafka.consumer(settings, group_id=settings.topic("tokenfuse.ingest")) as consumer:
        tp = TopicPartition(settings.topic(topics.EVENTS), partition)
        offsets = await consumer._coordinator.fetch_committed_offsets([tp])
        return offsets[tp].offset, offsets[tp].metadata


class Joined(ConsumerRebalanceListener):
    """Sets an event at the first assignment, and takes the lease then and never again: a zombie."""

    def __init__(self, fence: OffsetFence) -> None:
        self.fence, self.taken = fence, asyncio.Event()

    async def on_partitions_revoked(self, revoked) -> None:
        pass

    async def on_partitions_assigned(self, assigned) -> None:
        if not self.taken.is_set():
            await self.fence.take_lease([tp.partition for tp in assigned])
            self.taken.set()


async def member(settings) -> tuple[AIOKafkaConsumer, OffsetFence]:
    consumer = kafka.consumer(
        settings, group_id=settings.topic("tokenfuse.ingest"), heartbeat_interval_ms=300
    )
    fence = OffsetFence(consumer, settings.topic(topics.EVENTS))
    listener = Joined(fence)
    consumer.subscribe([settings.topic(topics.EVENTS)], listener=listener)
    await consumer.start()
    await asyncio.wait_for(listener.taken.wait(), 30)
    return consumer, fence


async def test_the_commit_of_a_stale_lease_is_refused_and_moves_nothing(settings) -> None:
    zombie, stale = await member(settings)
    assert await stale.commit({0: Fence(0, 5, recipe="r")})
    successor, fence = await member(settings)
    assert await fence.commit({0: Fence(5, 9, recipe="r")})

    assert not stale.leased()
    assert not await stale.commit({0: Fence(0, 3, recipe="r")})

    assert (await committed(settings, 0))[0] == 5
    await successor.stop()
    await zombie.stop()


async def test_a_stale_lease_is_refused_by_an_empty_group_too(settings) -> None:
    """aiokafka's own commit would send (-1, '') here, and the broker would take it."""
    zombie, stale = await member(settings)
    assert await stale.commit({0: Fence(4, 5, recipe="r")})
    await zombie._coordinator._maybe_leave_group()

    assert not await stale.commit({0: Fence(0, 3, recipe="r")})

    assert (await committed(settings, 0))[0] == 4
    await zombie.stop()


async def test_the_fence_reads_back_as_it_was_committed(settings) -> None:
    consumer, store = await member(settings)
    fence = Fence(7, 9, 1_764_000_000_123, 1_764_000_000_100, "genai-prices-1, cut 1")
    assert await store.commit({1: fence})

    assert await store.take_lease([0, 1]) == {1: fence}
    await consumer.stop()


async def test_an_offset_set_by_an_operator_begins_nothing(settings) -> None:
    await publish(settings, [event("a", time=SLICE_TIME_S), event("b", time=SLICE_TIME_S)])
    async with kafka.consumer(settings, group_id=settings.topic("tokenfuse.ingest")) as consumer:
        tps = [TopicPartition(settings.topic(topics.EVENTS), p) for p in range(2)]
        consumer.assign(tps)
        ends = await consumer.end_offsets(tps)
        await consumer.commit({tp: max(0, end - 1) for tp, end in ends.items()})

    async with worker(settings):
        deltas = await all_cut(settings)

    assert deltas.sums["global", "", SLICE_TIME_S][0] == 1


async def test_an_orderly_stop_leaves_nothing_unfinished(settings) -> None:
    async with worker(settings) as said:
        await publish(settings, [event(f"e{i}", f"t{i}") for i in range(50)])
        await all_cut(settings)
    changed = settings.model_copy(update={"dedup_horizon_seconds": 1200})

    async with worker(changed) as said_again:
        await publish(changed, [event(f"f{i}", f"t{i}") for i in range(50)])
        await all_cut(changed)

    assert said[-2:] == said_again[-2:] == [True, False]


async def test_a_slice_begun_otherwise_is_refused_with_what_to_do(settings) -> None:
    await publish(settings, [event(f"e{i}", f"t{i}") for i in range(50)])
    with Process(settings, die_after=2) as process:
        assert await asyncio.to_thread(process.wait) == -signal.SIGKILL
    changed = settings.model_copy(update={"dedup_horizon_seconds": 1200})

    with pytest.raises(
        UnfinishedSliceError, match=r"begun with '.*horizon 600 s.*Start it once as it was before"
    ):
        await asyncio.wait_for(run_ingest(changed, asyncio.Event(), lambda _: None), 30)


async def test_expired_records_are_an_error_that_names_them(settings) -> None:
    async with worker(settings):
        await publish(settings, [event(f"e{i}", "acme") for i in range(10)])
        await all_cut(settings)
    await publish(settings, [event(f"f{i}", "acme") for i in range(10)])
    await forget(settings, topics.EVENTS)

    with pytest.raises(LostRecordsError, match=r"records \[10, 20\) expired before they were counted"):
        await asyncio.wait_for(run_ingest(settings, asyncio.Event(), lambda _: None), 30)


async def test_records_that_expire_under_a_running_worker_are_an_error_too(settings) -> None:
    """Retention overtakes a worker that stands still: its fetch position is gone."""
    await publish(settings, [event(f"e{i}", "acme") for i in range(10)])
    with Process(settings) as process:
        await all_cut(settings)
        process.signal(signal.SIGSTOP)
        await publish(settings, [event("f", "acme")])  # answers the fetch that waits at the broker
        await publish(settings, [event("g", "acme")])
        await forget(settings, topics.EVENTS)
        process.signal(signal.SIGCONT)

        assert await asyncio.to_thread(process.wait) == 1


async def test_when_the_ids_expired_too_duplicates_are_still_dropped(settings) -> None:
    first = [event(f"e{i}", f"t{i % 5}", time=SLICE_TIME_S) for i in range(100)]
    corrected = [event("e0", "t0", time=SLICE_TIME_S, revision=1, cost_usd="2")]
    async with worker(settings):
        await publish(settings, [*first, *corrected])
        await all_cut(settings)
    await forget(settings, topics.IDS)

    async with worker(settings):
        await publish(settings, [*first, *corrected])
        deltas = await all_cut(settings)

    assert deltas.sums["global", "", SLICE_TIME_S][:2] == (100, 99 * 10**6 + 2 * 10**9)


async def test_another_number_of_deltas_partitions_is_refused(settings) -> None:
    with pytest.raises(PartitionCountError, match="has 4 partitions, 8 are needed"):
        await run_ingest(
            settings.model_copy(update={"deltas_partitions": 8}), asyncio.Event(), lambda _: None
        )


@pytest.mark.slow
async def test_two_workers_one_stopped_for_longer_than_its_session_stay_exact(settings) -> None:
    """The zombie wakes up with records and a fence in hand; its successor has gone on meanwhile."""
    values, expected = story(900, seed=5)
    one, two = (Process(settings.model_copy(update={"instance_id": name})) for name in ("one", "two"))
    with one, two:
        await publish(settings, values[:300])
        await eventually_cut_some(settings)
        one.signal(signal.SIGSTOP)
        await publish(settings, values[300:600])
        await all_cut(settings)  # needs the session of the stopped worker to expire
        one.signal(signal.SIGCONT)
        await publish(settings, values[600:])
        await all_cut(settings)
        for process in (one, two):
            process.signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait) == 0

    assert (await deltas_of(settings)).sums == expected


async def eventually_cut_some(settings) -> None:
    async def cut() -> bool:
        return bool((await deltas_of(settings)).blocks)

    await eventually(cut, "the first blocks")


async def set_offset(settings, offset: int) -> None:
    """As kafka-consumer-groups --reset-offsets does, for every partition that has got so far.

    Like that, it must wait until the group has forgotten its static member.
    """
    async with kafka.consumer(settings, group_id=settings.topic("tokenfuse.ingest")) as consumer:
        tps = [TopicPartition(settings.topic(topics.EVENTS), p) for p in range(settings.source_partitions)]
        consumer.assign(tps)
        ends = await consumer.end_offsets(tps)

        async def committed() -> bool:
            with contextlib.suppress(CommitFailedError):
                await consumer.commit({tp: offset for tp, end in ends.items() if end >= offset})
                return True
            return False

        await eventually(committed, "the group is empty")


async def test_an_accepted_loss_leaves_its_records_out_and_nothing_else(settings) -> None:
    """Readers of deltas take no hole: the first slice begins where the last one ended."""
    async with worker(settings):
        await publish(settings, [event(f"e{i}", "acme", time=SLICE_TIME_S) for i in range(10)])
        await all_cut(settings)
    await publish(settings, [event(f"f{i}", "acme", time=SLICE_TIME_S) for i in range(10)])
    await forget(settings, topics.EVENTS)
    await set_offset(settings, 20)

    with Process(settings, die_after=2) as process:  # the slice that leaves them out is cut again as it was
        await publish(settings, [event(f"g{i}", "acme", time=SLICE_TIME_S) for i in range(10)])
        assert await asyncio.to_thread(process.wait) == -signal.SIGKILL
    async with worker(settings):
        deltas = await all_cut(settings)

    assert deltas.sums["global", "", SLICE_TIME_S][0] == 20


async def test_an_offset_that_would_count_again_is_refused(settings) -> None:
    async with worker(settings):
        await publish(settings, [event(f"e{i}", "acme") for i in range(10)])
        await all_cut(settings)
    await set_offset(settings, 5)

    with pytest.raises(CountedBeforeError, match="the offset 5 was set by hand, but records up to 10 were"):
        await asyncio.wait_for(run_ingest(settings, asyncio.Event(), lambda _: None), 30)

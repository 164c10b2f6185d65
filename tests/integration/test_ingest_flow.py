"""Stage 1 on both brokers: events in, blocks out, exact to the nano-dollar through restarts and kills."""

from __future__ import annotations

import asyncio
import random
import signal

import pytest
from tests.support.ingest import (
    Process,
    all_cut,
    create_topics,
    deltas_of,
    event,
    eventually,
    messages,
    publish,
    settings_for,
    story,
    worker,
)
from tests.support.kafka_cluster import KafkaCluster

from tokenfuse.contracts import topics
from tokenfuse.contracts.block import decode_block
from tokenfuse.contracts.deadletter import Reason
from tokenfuse.contracts.topics import EVENT_BYTES_MAX
from tokenfuse.ingest.record import HISTORY, MODE_HEADER
from tokenfuse.runtime.ingest.outbox import ENDS_PARTITION


@pytest.fixture
async def settings(broker, topic_prefix):
    settings = settings_for(broker, topic_prefix)
    await create_topics(settings)
    return settings


async def test_events_in_blocks_out_exact(settings) -> None:
    values, expected = story(600, seed=1)

    async with worker(settings):
        await publish(settings, values)
        deltas = await all_cut(settings)

    assert deltas.sums == expected
    assert deltas.repeated == 0


async def test_bad_and_oversized_records_are_dead_letters_with_their_bytes(settings) -> None:
    large = b'{"id": "' + b"x" * EVENT_BYTES_MAX + b'"}'
    async with worker(settings):
        await publish(settings, [b"{", None, large, event("good")], headers=[("trace", b"t1")])
        deltas = await all_cut(settings)

        async def arrived() -> bool:
            return sum(map(len, (await messages(settings, topics.DEADLETTER)).values())) == 3

        await eventually(arrived, "three dead letters")

    letters = [m for part in (await messages(settings, topics.DEADLETTER)).values() for m in part]
    reasons = {m.value or b"": dict(m.headers)["reason"].decode() for m in letters}
    assert reasons == {b"{": Reason.MALFORMED_JSON, b"": Reason.EMPTY, large: Reason.TOO_LARGE}
    assert all(
        {"source_partition", "source_offset", "path", "detail", "trace"} <= dict(m.headers).keys()
        for m in letters
    )
    assert sum(sums[0] for (axis, *_), sums in deltas.sums.items() if axis == "global") == 1


async def test_duplicates_across_a_restart_are_dropped_and_corrections_find_their_originals(settings) -> None:
    first = [event(f"e{i}", f"t{i % 5}", time=1_764_000_000) for i in range(100)]
    async with worker(settings):
        await publish(settings, first)
        await all_cut(settings)
    corrected = [event(f"e{i}", f"t{i % 5}", time=1_764_000_000, revision=1, cost_usd="2") for i in range(10)]

    async with worker(settings):
        await publish(settings, [*first, *corrected, *corrected, *first[:10]])
        deltas = await all_cut(settings)

    calls, cost_nanousd = deltas.sums["global", "", 1_764_000_000][:2]
    assert (calls, cost_nanousd) == (100, 90 * 10**6 + 10 * 2 * 10**9)


async def test_ticks_tell_every_owner_the_time_and_recovery_where_each_source_stands(settings) -> None:
    async with worker(settings):
        await publish(settings, [event(f"e{i}", f"t{i}") for i in range(20)])
        deltas = await all_cut(settings)
        ends = {source: b for (_, source), b in deltas.seen.items()}

        async def ticked() -> bool:
            ticks = (await deltas_of(settings)).ticks
            told = {owner for owner, _ in ticks} == set(range(settings.deltas_partitions))
            stands = {(tick.source, tick.position) for owner, tick in ticks if owner == ENDS_PARTITION}
            return told and stands >= set(ends.items())

        await eventually(ticked, f"ticks at {ends}")


async def test_history_is_marked_and_kept_apart(settings) -> None:
    async with worker(settings):
        await publish(settings, [event(f"h{i}") for i in range(30)], headers=[(MODE_HEADER, HISTORY)])
        await publish(settings, [event(f"e{i}") for i in range(30)])
        deltas = await all_cut(settings)

    calls = {True: 0, False: 0}
    for data in deltas.blocks:
        block = decode_block(data)
        single = type(deltas)(blocks=[data]).sums
        calls[block.history] += sum(s[0] for (axis, *_), s in single.items() if axis == "global")
    assert calls == {True: 30, False: 30}


@pytest.mark.slow
async def test_a_worker_killed_inside_slices_cuts_the_same_slices_again(settings, broker) -> None:
    """Each life is ended by SIGKILL after a random number of durable blocks; the last one lives."""
    lives = (
        8 if isinstance(broker, KafkaCluster) else 3
    )  # the embedded broker takes its time to let a member rejoin
    rnd = random.Random(7)
    values, expected = story(150 * lives, seed=2)
    for life in range(lives):
        await publish(settings, values[life * 150 : (life + 1) * 150])
        with Process(settings, die_after=rnd.randrange(1, 24)) as process:
            assert await asyncio.to_thread(process.wait) == -signal.SIGKILL

    async with worker(settings):
        deltas = await all_cut(settings)

    assert deltas.sums == expected
    assert deltas.repeated > 0

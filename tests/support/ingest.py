"""Drives stage 1 in tests: topics, events in, blocks out as a reader of `tokenfuse.deltas` takes them."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from tests.support.blocks import expected_sums, sums_of

from tokenfuse.contracts import topics
from tokenfuse.contracts.block import DeltaBlock, Tick, decode_block
from tokenfuse.ingest.decode import Decoder
from tokenfuse.pricing.book import PriceBook
from tokenfuse.runtime import kafka
from tokenfuse.runtime.broker.quirks import end_offsets
from tokenfuse.runtime.ingest import run_ingest
from tokenfuse.runtime.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

PROCESS = Path(__file__).with_name("ingest_process.py")
DEADLINE_SECONDS = 60.0


def settings_for(broker, prefix: str, **changes: Any) -> Settings:
    """Small slices and few partitions, so that much happens with few events."""
    defaults = {
        "bootstrap_servers": broker.bootstrap_servers, "topic_prefix": prefix, "source_partitions": 2,
        "deltas_partitions": 4, "slice_ms": 30, "slice_records_max": 40, "instance_id": "one",
        "event_age_seconds_max": 10**9,
    }  # fmt: skip
    return Settings(**defaults | changes)


async def create_topics(settings: Settings) -> None:
    """Every topic that stage 1 needs, as `topics create` makes it."""
    wanted = topics.topics(
        settings.source_partitions, settings.deltas_partitions, settings.dedup_horizon_seconds
    )
    mine = {topics.EVENTS, topics.DELTAS, topics.IDS, topics.FENCES, topics.DEADLETTER}
    admin = kafka.admin(settings)
    await admin.start()
    try:
        new = [
            NewTopic(settings.topic(t.name), t.partitions, 1, topic_configs=dict(t.config))
            for t in wanted
            if t.name in mine
        ]
        response = await admin.create_topics(new)
        assert [code for _, code, *_ in response.topic_errors] == [0] * len(new)
    finally:
        await admin.close()


async def publish(settings: Settings, values: Iterable[bytes | None], **send: Any) -> None:
    """Events to the source topic, in order, keyed by their tenant where they have one."""
    async with kafka.producer(settings, enable_idempotence=False, linger_ms=5) as producer:
        acks = []
        for value in values:
            try:
                key = json.loads(value or b"")["tenant"].encode()
            except (ValueError, TypeError, KeyError):
                key = b"unknown"
            acks.append(await producer.send(settings.topic(topics.EVENTS), value, key=key, **send))
        await asyncio.gather(*acks)


async def messages(settings: Settings, topic: str) -> dict[int, list[Any]]:
    """Everything on a topic, by partition."""
    consumer = kafka.consumer(settings, auto_offset_reset="earliest", isolation_level="read_committed")
    async with consumer:
        parts = await consumer._client._wait_on_metadata(settings.topic(topic)) or ()
        tps = [TopicPartition(settings.topic(topic), p) for p in parts]
        consumer.assign(tps)
        ends = await end_offsets(consumer, tps)
        found: dict[int, list[Any]] = {tp.partition: [] for tp in tps}
        await consumer.seek_to_beginning()
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for tp, batch in (await consumer.getmany(timeout_ms=200)).items():
                found[tp.partition] += batch
        return found


@dataclass
class Deltas:
    """`tokenfuse.deltas` as a reader takes it: what it has passed is dropped, anything else must join on."""

    blocks: list[bytes] = field(default_factory=list)
    repeated: int = 0
    seen: dict[tuple[int, int], int] = field(default_factory=dict)
    ticks: list[tuple[int, Tick]] = field(default_factory=list)

    @classmethod
    def of(cls, found: dict[int, list[Any]]) -> Deltas:
        deltas = cls()
        for owner, batch in found.items():
            copies: dict[tuple[int, int], bytes] = {}
            for message in batch:
                block = decode_block(message.value)
                if isinstance(block, Tick):
                    deltas.ticks.append((owner, block))
                    continue
                assert isinstance(block, DeltaBlock)
                deltas._take(owner, block, message.value, copies)
        return deltas

    def _take(self, owner: int, block: DeltaBlock, data: bytes, copies: dict[tuple[int, int], bytes]) -> None:
        place = (owner, block.source)
        if block.b <= self.seen.get(place, -1):
            assert copies[block.source, block.b] == data, "a slice cut again must give the same bytes"
            self.repeated += 1
            return
        assert block.a == self.seen.get(place, block.a), "blocks of a source must join"
        copies[block.source, block.b] = data
        self.seen[place] = block.b
        self.blocks.append(data)

    @property
    def sums(self):
        return sums_of(self.blocks)


async def deltas_of(settings: Settings) -> Deltas:
    """What stands on `tokenfuse.deltas`."""
    return Deltas.of(await messages(settings, topics.DELTAS))


async def eventually(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Polls with a deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not await condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.1)


async def all_cut(settings: Settings) -> Deltas:
    """The deltas, once every source record is cut into every output partition."""
    async with kafka.consumer(settings) as consumer:
        tps = [TopicPartition(settings.topic(topics.EVENTS), p) for p in range(settings.source_partitions)]
        ends = {tp.partition: end for tp, end in (await end_offsets(consumer, tps)).items() if end}
    found = Deltas()

    async def done() -> bool:
        nonlocal found
        found = await deltas_of(settings)
        owners = range(settings.deltas_partitions)
        return all(found.seen.get((owner, p), 0) >= end for p, end in ends.items() for owner in owners)

    await eventually(done, f"every source record up to {ends} in blocks")
    return found


@asynccontextmanager
async def worker(settings: Settings) -> AsyncIterator[list[bool]]:
    """A worker in this process; the list holds what it said about being ready."""
    stop, said = asyncio.Event(), []
    task = asyncio.create_task(run_ingest(settings, stop, said.append))
    try:
        yield said
    finally:
        stop.set()
        await task


class Process:
    """A worker in a process of its own, which may kill itself after so many messages to the deltas topic."""

    def __init__(self, settings: Settings, die_after: int = 0) -> None:
        config = settings.model_dump(mode="json", exclude_defaults=True, exclude={"state_dir", "rules_dir"})
        self._child = subprocess.Popen([sys.executable, str(PROCESS), json.dumps(config), str(die_after)])

    def wait(self) -> int:
        return self._child.wait(DEADLINE_SECONDS)

    def signal(self, number: int) -> None:
        self._child.send_signal(number)

    @property
    def pid(self) -> int:
        return self._child.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()


def event(id_: str, tenant: str = "acme", **fields: Any) -> bytes:
    """A canonical event of now."""
    body = {
        "id": id_, "time": time.time(), "tenant": tenant, "feature": "chat", "model": "gpt-4o", "input_tokens": 100,
        "output_tokens": 10, "cost_usd": "0.001",
    }  # fmt: skip
    return json.dumps(body | fields).encode()


def story(count: int, seed: int) -> tuple[list[bytes], dict]:
    """Events with duplicates, corrections and rubbish among them, and what they must sum up to."""
    rnd, values, latest = random.Random(seed), [], {}
    decoder = Decoder((), 10**9, 10**9, PriceBook())
    for number in range(count):
        kind = rnd.random() if latest else 1.0
        if kind < 0.05:
            values.append(b'{"id": "bad", ' + str(number).encode())
            continue
        if kind < 0.2:
            values.append(rnd.choice(list(latest.values())))
            continue
        id_, revision, tenant = f"e{number}", 0, f"t{rnd.randrange(6)}"
        if kind < 0.35:
            old = json.loads(rnd.choice(list(latest.values())))
            id_, revision, tenant = old["id"], old["revision"] + 1, old["tenant"]
        value = event(
            id_, tenant, revision=revision, feature=f"f{rnd.randrange(3)}", user=f"u{rnd.randrange(20)}",
            model=rnd.choice(["gpt-4o", "claude-sonnet-4-5", "nobody-knows-this-model"]), cost_usd=rnd.choice([None, "0.5"]),
            time=1_764_000_000 + rnd.randrange(60), input_tokens=rnd.randrange(5000),
        )  # fmt: skip
        values.append(value)
        latest[id_] = value
    calls = [call for value in latest.values() for call in decoder.decode(value, (), None)]
    return values, expected_sums(calls)


def by_outcome(values: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for value in values:
        counts[value] += 1
    return dict(counts)

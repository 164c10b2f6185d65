"""Take-over: one of two ingest workers is killed and started again under its name, with ten minutes of ids at 50,000 events/s.

The ids are written to `tokenfuse.ids` as slices that end at the group's committed offset, 30 million of them, so that nobody
has to wait ten minutes. The live feed beside them is what two workers and a broker on this machine carry.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final, Self

from benchmarks.speed.events import Feed, messages
from benchmarks.speed.ratios import short, spread
from benchmarks.speed.row import Figures, Line, Options, Row, say
from benchmarks.speed.service import Role, ServiceError, until
from benchmarks.speed.stage import PARTITIONS, Stage, partition_of
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from tokenfuse.contracts.ids import GENERATION_MS, IDS_FORMAT, SliceIds, encode_ids
from tokenfuse.contracts.topics import EVENTS, IDS
from tokenfuse.runtime.ingest.worker import GROUP
from tokenfuse.runtime.settings import Settings

IDS_IN_HORIZON: Final = 50_000 * 600
SLICES: Final = 200
"""Of each source partition, three seconds apart; each stands for one record of the filler."""

FEED_PER_SECOND: Final = 5_000
MOST_SECONDS: Final = 5.0
LEAD_SECONDS: Final = 5.0
READY_SECONDS: Final = 300.0


def measure(options: Options) -> Iterator[Figures]:
    """Filled once; the workers are killed by turns."""
    ids = int(IDS_IN_HORIZON * options.scale)
    with Stage() as stage, ExitStack() as stack:
        settings = stage.settings("takeover.", deltas_partitions=options.deltas_partitions)
        say(f"writing {ids:,} ids")
        _fill(stage, settings, ids // PARTITIONS // SLICES)
        started = time.monotonic()
        workers = [Role("ingest", settings, core=None, instance=name) for name in ("a", "b")]
        stack.callback(lambda: [worker.stop() for worker in workers])
        until(lambda: all(worker.ready() for worker in workers), "both workers are ready", READY_SECONDS)
        say(f"both ready after {time.monotonic() - started:.1f} s")
        stack.enter_context(feeding(stage, settings.topic_prefix, FEED_PER_SECOND))
        round_ = 0
        while True:
            time.sleep(LEAD_SECONDS)
            place = round_ % 2
            figures, workers[place] = _kill(stage, settings, workers[place], "ab"[place])
            say(
                f"first new slice after {figures['first']:.2f} s, of every partition after {figures['last']:.2f} s"
            )
            yield figures | {"ids": ids, "memory_mb": workers[place].resident_mb()}
            round_ += 1


def _kill(stage: Stage, settings: Settings, worker: Role, name: str) -> tuple[Figures, Role]:
    """Seconds from the kill to the first slice of the worker's partitions, and of the last of them."""
    mine = held(worker)
    topic = settings.topic(IDS)
    worker.log.write_text("")
    with Ends(stage.bootstrap_servers, topic) as ends:
        started = time.monotonic()
        worker.kill()
        again = Role("ingest", settings, core=None, instance=name)
        time.sleep(0.1)  # what was on its way to the broker when the worker died
        before = {number: ends.of(number) for number in mine}
        new: dict[int, float] = {}

        def all_new() -> bool:
            for number in mine:
                if number not in new and ends.of(number) > before[number]:
                    new[number] = time.monotonic() - started
            return len(new) == len(mine)

        until(all_new, f"a new slice of partitions {mine}", 120, 0.02)
    until(again.ready, "the worker is ready again")
    return {"first": min(new.values()), "last": max(new.values()), "partitions": len(mine)}, again


def held(worker: Role) -> list[int]:
    """Source partitions that a worker took in its last assignment, as its log says."""
    assigned: list[int] = []
    for line in worker.log.read_text().splitlines():
        record = json.loads(line) if line.startswith("{") else {}
        if record.get("event") == "partition taken":
            # Every assignment names all partitions; a second one begins with one that was named.
            assigned = [] if record["source"] in assigned else assigned
            assigned.append(record["source"])
    if not assigned:
        raise ServiceError("the worker held no partition")
    return assigned[-PARTITIONS // 2 :]


class Ends:
    """End offsets of a topic's partitions."""

    def __init__(self, servers: str, topic: str) -> None:
        """Connects."""
        self._consumer, self._topic = (
            Consumer({"bootstrap.servers": servers, "group.id": "unused", "log_level": 2}),
            topic,
        )

    def of(self, partition: int) -> int:
        """Now."""
        return self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=10)[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()


def _fill(stage: Stage, settings: Settings, per_slice: int) -> None:
    """Filler on the source, ids for each record of it, and the group's offset behind the filler."""
    producer = Producer({
        "bootstrap.servers": stage.bootstrap_servers, "message.max.bytes": 8 << 20, "enable.idempotence": True, "log_level": 2,
    })  # fmt: skip
    now_ms = int(time.time() * 1000)
    for partition in range(PARTITIONS):
        for number in range(SLICES):
            producer.produce(settings.topic(EVENTS), b"{}", b"filler", partition)
            record_ms = now_ms - (SLICES - number) * 3000
            producer.produce(
                settings.topic(IDS),
                _ids(partition, number, record_ms, per_slice),
                b"%d" % partition,
                partition,
            )
            producer.poll(0)
            if number % 20 == 0:
                producer.flush(120)
    producer.flush(120)
    _commit(stage, settings)


def _commit(stage: Stage, settings: Settings) -> None:
    """The group goes on behind the filler. A new group's coordinator may be loading still."""
    servers, group = stage.bootstrap_servers, settings.topic(GROUP)
    offsets = [TopicPartition(settings.topic(EVENTS), p, SLICES) for p in range(PARTITIONS)]
    consumer = Consumer({"bootstrap.servers": servers, "group.id": group, "log_level": 2})

    def committed() -> bool:
        try:
            consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException:
            return False
        return True

    until(committed, "the group's offsets are committed", 60, 0.5)
    consumer.close()


def _ids(partition: int, number: int, record_ms: int, count: int) -> bytes:
    generations = ((record_ms // GENERATION_MS, count),)
    columns = (os.urandom(16 * count), bytes(4 * count), bytes(4 * count), bytes(8 * count))
    return encode_ids(
        SliceIds(IDS_FORMAT, partition, number, number + 1, record_ms, record_ms, generations, *columns)
    )


@contextmanager
def feeding(stage: Stage, prefix: str, events_per_second: int) -> Iterator[None]:
    """Events at a steady rate in the background."""
    stop = threading.Event()
    producer = Producer({"bootstrap.servers": stage.bootstrap_servers, "linger.ms": 5, "log_level": 2})

    def run() -> None:
        feed = messages(Feed(10**9, start_ms=int(time.time() * 1000), events_per_second=events_per_second))
        started, sent = time.monotonic(), 0
        while not stop.wait(0.01):
            while sent < (time.monotonic() - started) * events_per_second:
                key, value = next(feed)
                producer.produce(prefix + EVENTS, value, key, partition_of(key))
                sent += 1
            producer.poll(0)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        producer.flush(10)


def lines(rounds: Sequence[Figures]) -> list[Line]:
    """Against the limit."""
    first, last = (spread([figures[name] for figures in rounds]) for name in ("first", "last"))
    memory = spread([figures["memory_mb"] for figures in rounds])
    what = f"kill -9 to the first new slice, {rounds[0]['ids']:,} ids in the horizon; {FEED_PER_SECOND:,} events/s live"
    return [
        Line(
            what, f"<= {MOST_SECONDS:g} s", f"{short(first.median)} s", f"{short(first.median / MOST_SECONDS)}x",
            str(first), first.median <= MOST_SECONDS,
        ),
        Line(f"the same, to a new slice of each of its partitions; {short(memory.median)} MB", "", f"{short(last.median)} s", "", str(last)),
    ]  # fmt: skip


ROW: Final = Row("takeover", "Take-over of source partitions with a horizon of ten minutes", measure, lines)

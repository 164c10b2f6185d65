"""Where everything is measured: a real Kafka on core 0, topics of any number of installations, and the feed on one topic."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from benchmarks.speed import events
from benchmarks.speed.events import Feed
from confluent_kafka import Consumer, Producer, TopicPartition
from tests.support.kafka_cluster import KafkaCluster

from tokenfuse.contracts.topics import EVENTS
from tokenfuse.runtime import topics
from tokenfuse.runtime.settings import Settings

PARTITIONS: Final = 4
BROKER_CORE: Final = 0
CONTENDER_CORE: Final = 1
FLUSH_SECONDS: Final = 120.0


def pin(core: int) -> None:
    """This process and what it starts keep to one core, where the machine has that many."""
    if core < (os.cpu_count() or 1):
        os.sched_setaffinity(0, {core})


def pinned(command: list[str], core: int) -> list[str]:
    """A command that keeps to one core: by `taskset`, or by itself where that is missing. A core of -1: to none."""
    cores = os.cpu_count() or 1
    if core >= cores:
        return command
    if shutil.which("taskset"):
        return ["taskset", "-c", str(core) if core >= 0 else f"0-{cores - 1}", *command]
    allowed = {core} if core >= 0 else set(range(cores))
    wrapper = f"import os, sys; os.sched_setaffinity(0, {allowed}); os.execvp(sys.argv[1], sys.argv[1:])"
    return ["python3", "-c", wrapper, *command]


def partition_of(key: bytes, partitions: int = PARTITIONS) -> int:
    """Where the feed's messages of a key go."""
    return zlib.crc32(key) % partitions


class Stage:
    """One Kafka for as long as the context lasts; harness and broker share core 0."""

    def __init__(self) -> None:
        """Nothing runs yet."""
        self.directory = Path(tempfile.mkdtemp(prefix="tokenfuse-bench-"))
        # C1 only, as in tests: a broker that compiled for minutes would compete with itself for its one core.
        self._kafka = KafkaCluster(
            self.directory / "kafka", properties={"log.retention.check.interval.ms": "3600000"}
        )
        self.bootstrap_servers = self._kafka.bootstrap_servers

    def __enter__(self) -> Self:
        pin(BROKER_CORE)
        self._kafka.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._kafka.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def settings(self, prefix: str, **changes: object) -> Settings:
        """Settings of one installation; its topics exist when this returns."""
        given = {
            "bootstrap_servers": self.bootstrap_servers,
            "topic_prefix": prefix,
            "source_partitions": PARTITIONS,
            "instance_id": "bench",
            "state_dir": self.directory / f"state-{prefix}",
        }
        settings = Settings(**(given | changes))
        asyncio.run(topics.create(settings))
        return settings

    def publish(self, feed: Feed, prefix: str, events_per_second: float = 0) -> str:
        """The feed on the source topic of an installation, keyed by tenant; returns the topic. 0: as fast as possible."""
        topic = prefix + EVENTS
        # Idempotent for the order: a new topic may refuse the first batches for a moment, and later ones overtake them.
        producer = Producer({
            "bootstrap.servers": self.bootstrap_servers, "linger.ms": 20, "enable.idempotence": True, "log_level": 2, "batch.size": 1 << 20,
            "queue.buffering.max.messages": 1_000_000, "queue.buffering.max.kbytes": 1 << 20,
        })  # fmt: skip
        started = time.monotonic()
        for number, (key, value) in enumerate(events.messages(feed)):
            _produce(producer, topic, key, value)
            if events_per_second and number % 100 == 0:
                time.sleep(max(started + number / events_per_second - time.monotonic(), 0))
        if producer.flush(FLUSH_SECONDS):
            raise TimeoutError(f"{topic}: not every event was acknowledged in {FLUSH_SECONDS:g} s")
        return topic

    def end(self, topic: str) -> int:
        """Records that a topic has had, over all partitions."""
        with self._reader() as reader:
            partitions = reader.list_topics(topic, timeout=10).topics[topic].partitions
            marks = [
                reader.get_watermark_offsets(TopicPartition(topic, number), timeout=10)
                for number in partitions
            ]
        return sum(high for _, high in marks)

    @contextmanager
    def _reader(self) -> Iterator[Consumer]:
        reader = Consumer({"bootstrap.servers": self.bootstrap_servers, "group.id": "unused", "log_level": 2})
        try:
            yield reader
        finally:
            reader.close()

    def topic_bytes(self, topic: str) -> int:
        """Bytes of a topic's log on disk, over all partitions."""
        logs = (self.directory / "kafka" / "data").glob(f"{topic}-*/*.log")
        return sum(log.stat().st_size for log in logs)

    def drop(self, prefix: str) -> None:
        """Delete the topics of an installation: disks are finite."""
        from confluent_kafka.admin import AdminClient

        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        names = [name for name in admin.list_topics(timeout=10).topics if name.startswith(prefix)]
        for done in admin.delete_topics(names).values():
            done.result()


def _produce(producer: Producer, topic: str, key: bytes, value: bytes) -> None:
    while True:
        try:
            producer.produce(topic, value, key, partition_of(key))
            return
        except BufferError:
            producer.poll(0.05)


def machine() -> dict[str, str]:
    """What a reader must know of the machine: cores, processor, Python, Kafka."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "unknown",
    )
    java = subprocess.run(
        ["java", "-version"], capture_output=True, text=True, check=False
    ).stderr.splitlines()
    return {
        "cores": str(os.cpu_count()),
        "processor": model,
        "python": os.sys.version.split()[0],
        "java": java[0],
    }

"""Workers, faults and the truth for the tests of the state log: what every partition must be after N messages."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from tests.integration.statelog_worker import SumsCore

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
PARTITIONS = 4
# A changelog that is really compacted while the test runs.
COMPACTED = {
    "cleanup.policy": "compact",
    "segment.ms": "2000",
    "segment.bytes": "1048576",
    "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": "1000",
}


class Cluster:
    """Topics of one test and its worker processes by name; a worker that dies by itself is started again."""

    def __init__(self, bootstrap_servers: str, directory: Path, checkpoint_seconds: float = 0.5) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.directory = directory
        self.run = f"r{uuid.uuid4().hex[:8]}"
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.zombies: list[tuple[str, subprocess.Popen[bytes]]] = []
        self.exits: Counter[tuple[str, int]] = Counter()
        self.truth = {p: SumsCore(p, "") for p in range(PARTITIONS)}
        self.sent = dict.fromkeys(range(PARTITIONS), 0)
        config = {
            "bootstrap_servers": bootstrap_servers,
            "run": self.run,
            "partitions": PARTITIONS,
            "checkpoint_seconds": checkpoint_seconds,
        }
        (directory / "config.json").write_text(json.dumps(config))

    async def create_topics(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        await admin.start()
        try:
            answer = await admin.create_topics(
                [
                    NewTopic(f"{self.run}.input", PARTITIONS, 1),
                    NewTopic(f"{self.run}.checkpoint", PARTITIONS, 1, topic_configs=COMPACTED),
                    NewTopic(f"{self.run}.output", 1, 1),
                ]
            )
            assert not any(error[1] for error in answer.topic_errors), answer
        finally:
            await admin.close()

    def start(self, name: str) -> None:
        log = (self.directory / f"{name}.log").open("a")
        script = [
            sys.executable,
            str(Path(__file__).with_name("statelog_worker.py")),
            str(self.directory),
            name,
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.workers[name] = subprocess.Popen(script, stdout=log, stderr=log, cwd=ROOT, env=environment)

    def kill(self, name: str) -> None:
        self.workers[name].kill()
        self.workers.pop(name).wait()

    def kill_all(self) -> None:
        for name in list(self.workers):
            self.kill(name)
        for _, zombie in self.zombies:
            zombie.kill()
            zombie.wait()
        self.zombies.clear()

    def signal(self, name: str, number: signal.Signals) -> None:
        self.workers[name].send_signal(number)

    def stopped(self, name: str) -> bool:
        """Whether the worker stopped itself (SIGSTOP)."""
        stat = Path(f"/proc/{self.workers[name].pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def revive(self) -> None:
        """Start again what ended itself, and count with which exit code."""
        for name, process in list(self.workers.items()):
            if (code := process.poll()) is not None:
                self.exits[name, code] += 1
                self.start(name)
        for name, zombie in list(self.zombies):
            if (code := zombie.poll()) is not None:
                self.exits[f"zombie {name}", code] += 1
                self.zombies.remove((name, zombie))

    def zombies_gone(self) -> bool:
        """One that was stopped before it had joined evicts its successor at first, until that is started again."""
        self.revive()
        return not self.zombies

    async def produce(self, messages: int, rng: random.Random, per_second: float) -> None:
        """Messages with amounts of random scopes, mirrored into `truth` in the order of each partition."""
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap_servers) as producer:
            began = time.monotonic()
            for index in range(messages):
                partition = rng.randrange(PARTITIONS)
                amounts = {f"s{rng.randrange(500)}": rng.randrange(1000) for _ in range(8)}
                value = json.dumps({"pane": self.sent[partition] // 40, "amounts": amounts}).encode()
                await producer.send(f"{self.run}.input", value, partition=partition)
                self.truth[partition].apply(self.sent[partition], value)
                self.sent[partition] += 1
                if index % 20 == 0:
                    await asyncio.sleep(max(0.0, began + index / per_second - time.monotonic()))
            await producer.flush()

    def owned(self, names: list[str]) -> dict[int, Any]:
        """State by partition, from the workers' fresh dumps; a partition with two owners is left out."""
        states: dict[int, list[Any]] = defaultdict(list)
        for name in names:
            try:
                dump = json.loads((self.directory / f"{name}.json").read_text())
            except (FileNotFoundError, ValueError):
                continue
            if (
                name in self.workers
                and dump["pid"] == self.workers[name].pid
                and time.time() - dump["at"] < 2
            ):
                for partition, state in dump["owned"].items():
                    states[int(partition)].append(state)
        return {partition: found[0] for partition, found in states.items() if len(found) == 1}

    def wrong(self, names: list[str]) -> dict[int, tuple[Any, Any]]:
        """Partitions whose state is not the truth: (got, wanted) numbers of messages, and how many sums differ."""
        owned = self.owned(names)
        differences = {}
        for partition, core in self.truth.items():
            got, wanted = owned.get(partition), core.state()
            if got != wanted:
                sums = got["sums"] if got else {}
                bad = sum(sums.get(k) != v for k, v in wanted["sums"].items())
                differences[partition] = ((got["applied"] if got else None, wanted["applied"]), bad)
        return differences

    async def settled(self, names: list[str], seconds: float) -> dict[int, tuple[Any, Any]]:
        """Wait until nothing is wrong, or what is wrong no longer changes for a while."""
        deadline = time.monotonic() + seconds
        while (wrong := self.wrong(names)) and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
            self.revive()
        return wrong

    async def eventually(self, condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
            await asyncio.sleep(0.05)

    async def outputs(self) -> dict[tuple[int, int], set[str]]:
        """What was said of each (partition, offset): one thing only, if state is a function of the log."""
        said: dict[tuple[int, int], set[str]] = defaultdict(set)
        tp = TopicPartition(f"{self.run}.output", 0)
        async with AIOKafkaConsumer(bootstrap_servers=self.bootstrap_servers) as consumer:
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            end = (await consumer.end_offsets([tp]))[tp]
            while await consumer.position(tp) < end:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    for record in records:
                        message = json.loads(record.value)
                        said[message["partition"], message["offset"]].add(record.value.decode())
        return said

    def expected_outputs(self) -> set[tuple[int, int]]:
        return {(p, offset) for p, sent in self.sent.items() for offset in range(sent)}


FAULTS = ("kill", "kill", "pause", "usurp", "usurp-rows", "usurp-head", "usurp-tombstones")
NAMES = ("a", "b")


class Chaos:
    """Faults at random, repeatable by seed as far as two processes and a broker are."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.cluster = cluster
        self.rng = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.paused: dict[str, float] = {}

    async def run(self, load: asyncio.Task[None], pace_seconds: float) -> None:
        while not load.done():
            await asyncio.sleep(self.rng.uniform(0.5, 2.0) * pace_seconds)
            self.cluster.revive()
            self._continue_paused()
            name, fault = self.rng.choice(NAMES), self.rng.choice(FAULTS)
            if name not in self.paused:
                await self._fault(name, fault)
                self.done[fault] += 1
        await load

    async def _fault(self, name: str, fault: str) -> None:
        if fault == "kill":
            self.cluster.kill(name)
            self.cluster.start(name)
        elif fault == "pause":
            # Longer than the session at times: then it is a zombie, and finds out by itself.
            self.cluster.signal(name, signal.SIGSTOP)
            self.paused[name] = time.monotonic() + self.rng.uniform(2, 14)
        else:
            await self._usurp(name, fault.partition("-")[2])

    async def _usurp(self, name: str, place: str) -> None:
        """Stop a worker (at a place of its checkpoint, if it comes there), start another of the same name, let both live."""
        if place:
            wish = self.cluster.directory / f"{self.cluster.workers[name].pid}.stop-{place}"
            wish.touch()
            with contextlib.suppress(AssertionError):  # a checkpoint without tombstones never comes there
                await self.cluster.eventually(lambda: self.cluster.stopped(name), "stopped itself", 3)
            self.done[f"in {place}"] += self.cluster.stopped(name)
            wish.unlink(missing_ok=True)
        self.cluster.signal(name, signal.SIGSTOP)
        zombie = self.cluster.workers.pop(name)
        self.cluster.zombies.append((name, zombie))
        self.cluster.start(name)
        # Time for the new one to take over, to checkpoint and to delete the old one's rows; at times not.
        await asyncio.sleep(self.rng.choice((1.0, 4.0, 6.0)))
        zombie.send_signal(signal.SIGCONT)

    def _continue_paused(self) -> None:
        for name, at in list(self.paused.items()):
            if time.monotonic() > at:
                self.paused.pop(name)
                self.cluster.signal(name, signal.SIGCONT)

    def continue_all(self) -> None:
        for name in list(self.paused):
            self.cluster.signal(name, signal.SIGCONT)


async def chaos(
    cluster: Cluster, seed: int, seconds: float, per_second: float = 400, pace_seconds: float = 1.0
) -> dict[str, Any]:
    """Two workers under load and faults; then a fresh worker from the changelog alone. Returns figures."""
    try:
        return await _chaos(cluster, seed, seconds, per_second, pace_seconds)
    finally:
        cluster.kill_all()


async def _chaos(
    cluster: Cluster, seed: int, seconds: float, per_second: float, pace_seconds: float
) -> dict[str, Any]:
    await cluster.create_topics()
    for name in NAMES:
        cluster.start(name)
    faults = Chaos(cluster, seed)
    await cluster.eventually(
        lambda: len(cluster.owned(list(NAMES))) == PARTITIONS, "both workers share the partitions"
    )
    load = asyncio.create_task(
        cluster.produce(int(seconds * per_second), random.Random(seed + 1), per_second)
    )
    await faults.run(load, pace_seconds)
    faults.continue_all()
    await cluster.eventually(cluster.zombies_gone, "every zombie ended itself", 90)
    live = await cluster.settled(list(NAMES), 60)
    cluster.kill_all()
    cluster.start("fresh")
    fresh = await cluster.settled(["fresh"], 60)
    said = await cluster.outputs()
    return {
        "seed": seed,
        "messages": sum(cluster.sent.values()),
        "faults": dict(faults.done),
        "exits": {f"{name}:{code}": n for (name, code), n in sorted(cluster.exits.items())},
        "wrong_live": live,
        "wrong_fresh": fresh,
        "outputs_missing": len(cluster.expected_outputs() - said.keys()),
        "outputs_contradicting": sum(len(values) > 1 for values in said.values()),
    }


if __name__ == "__main__":
    import tempfile

    servers, seed, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    folder = Path(tempfile.mkdtemp(prefix="statelog-"))
    print(json.dumps(asyncio.run(chaos(Cluster(servers, folder), seed, seconds)), default=str), folder)

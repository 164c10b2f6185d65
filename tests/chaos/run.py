"""One run: a Kafka, a fleet, traffic, faults; then quiet, an audit, a fresh restart of everything, and another audit."""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from tests.chaos.audit import Auditor, Findings
from tests.chaos.faults import Chaos, Fault, Numbers, schedule
from tests.chaos.fleet import Fleet
from tests.chaos.traffic import PAST_MS, Message, Traffic
from tests.support.kafka_cluster import KafkaCluster

from tokenfuse.contracts.topics import EVENTS
from tokenfuse.runtime.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.chaos.traffic import Fact

PREFIX: Final = "chaos."
PARTITIONS: Final = 4
PAST_MESSAGES: Final = 400
TAIL_SECONDS: Final = 4.0
"""Traffic after the fresh restart: what was read back must go on as if nothing had happened."""

READY_SECONDS: Final = 90.0
RULES: Final = """
rules:
  - {{id: burst-cap, kind: cap, maturity: stable, axis: tenant, match: "burst-*", window: 1m, limit_usd: "{limit}",
     severity: page, mode: enforce, response: {{action: block, ttl: 1m}}, runbook: docs/runbooks.md}}
  - {{id: warm-cap, kind: cap, maturity: stable, axis: tenant, match: "warm-*", window: 1m, limit_usd: "{limit}",
     severity: ticket, mode: warn, runbook: docs/runbooks.md}}
  - {{id: user-cap, kind: cap, maturity: stable, axis: user, match: "user-1*", window: 1m, limit_usd: "0.06",
     severity: page, mode: warn, runbook: docs/runbooks.md}}
"""


@dataclass
class Options:
    """One run.

    Attributes:
        numbers: of the faults in the schedule that is made from the seed; `faults`: a schedule instead of it.
        broken: name of a broken build. settled_seconds: how long sums may take to become right.
        again: whether everything is restarted and audited once more.
    """

    seed: int
    minutes: float = 2.0
    numbers: Numbers = field(default_factory=Numbers)
    workers: int = 2
    per_second: float = 150.0
    broken: str | None = None
    faults: list[Fault] | None = None
    settled_seconds: float = 120.0
    again: bool = True


@dataclass
class Result:
    """What a run found; written as one line of JSON."""

    seed: int
    minutes: float
    wall_seconds: float
    faults: dict[str, int]
    exits: dict[str, int]
    outcomes: dict[str, int]
    live: dict[str, Any]
    fresh: dict[str, Any]
    directory: str

    @property
    def wrong(self) -> bool:
        """Whether anything was found that must not be."""
        return any(Findings(**each).faults for each in (self.live, self.fresh))


class Run:
    """See the module."""

    def __init__(self, options: Options, directory: Path) -> None:
        self.options = options
        self.directory = directory
        directory.mkdir(parents=True)
        self._log = (directory / "run.log").open("a")
        self._began = time.monotonic()
        self.kafka = KafkaCluster(directory / "kafka")
        self.environment = {
            **os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]),
            "TOKENFUSE_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers, "TOKENFUSE_TOPIC_PREFIX": PREFIX,
            "TOKENFUSE_RULES_DIR": str(directory / "rules"), "TOKENFUSE_SOURCE_PARTITIONS": str(PARTITIONS),
            "TOKENFUSE_DELTAS_PARTITIONS": str(PARTITIONS), "TOKENFUSE_ROLLUP_SECONDS": "2",
            "TOKENFUSE_CHECKPOINT_SECONDS": "1", "TOKENFUSE_DEDUP_HORIZON_SECONDS": "600",
        }  # fmt: skip
        self.settings = Settings(
            bootstrap_servers=self.kafka.bootstrap_servers, topic_prefix=PREFIX, source_partitions=PARTITIONS,
            deltas_partitions=PARTITIONS, rollup_seconds=2, checkpoint_seconds=1, dedup_horizon_seconds=600,
        )  # fmt: skip
        self.fleet = Fleet(directory, self.environment, options.broken)
        self.facts: dict[bytes, Fact] = {}
        self.sent = 0
        self.auditor = Auditor(self.settings, self.facts, self.fleet.received)

    def note(self, text: str) -> None:
        """One line of progress."""
        line = f"[seed {self.options.seed} {time.monotonic() - self._began:6.1f} s] {text}"
        self._log.write(line + "\n")
        self._log.flush()
        print(line, flush=True)

    async def run(self) -> Result:
        """The whole of it; processes are gone afterwards, files stay."""
        try:
            return await self._run()
        finally:
            self.fleet.close()
            self.kafka.stop()
            self._log.close()

    async def _run(self) -> Result:
        options, seconds = self.options, self.options.minutes * 60
        await asyncio.to_thread(self.kafka.start)
        self.write_rules("0.30")
        await self._create_topics()
        base_ms = time.time_ns() // 1_000_000 + 8_000
        traffic = Traffic(options.seed, base_ms, options.per_second, PARTITIONS)
        async with self._producer() as producer:
            await self._send(producer, traffic.past(PAST_MESSAGES), base_ms - PAST_MS)
            await self._start()
            faults = options.faults
            if faults is None:
                faults = schedule(options.seed, seconds, options.numbers, options.workers)
            (self.directory / "schedule.txt").write_text("".join(f"{fault}\n" for fault in faults))
            chaos = Chaos(self.fleet, self.kafka, faults, self.note)
            await self._storm(chaos, producer, traffic, seconds)
            live = await self.settle("live")
            fresh = live
            if options.again:
                self.fleet.kill_all()
                await self._start("fresh-")
                await self._feed(producer, traffic, seconds, seconds + TAIL_SECONDS)
                fresh = await self.settle("fresh")
        return self._result(chaos, live, fresh)

    async def _storm(self, chaos: Chaos, producer: Any, traffic: Traffic, seconds: float) -> None:
        feeding = asyncio.create_task(self._feed(producer, traffic, 0, seconds))
        telling = asyncio.create_task(self._tell(chaos))
        reloading = asyncio.create_task(self._change_rules(seconds / 2))
        await chaos.run()
        await feeding
        await reloading
        telling.cancel()
        self.note(f"quiet: sent {self.sent}, faults {dict(chaos.done)}, exits {self.fleet.figures()}")

    async def _start(self, prefix: str = "") -> None:
        if not prefix:
            self.fleet.start_receivers()
        for role in ("ingest", "agents"):
            for letter in "abc"[: self.options.workers]:
                self.fleet.start(f"{role}-{letter}", instance_id=f"{prefix}{role}-{letter}")
        for name in ("decider-a", "notify-a"):
            self.fleet.start(name, instance_id=prefix + name)
        await self._until_ready()
        if not prefix:
            done = await asyncio.to_thread(
                self.fleet.command, "killswitch", "engage", "--tenant", "held", "--ttl", "6h", "--by", "chaos",
                "--reason", "must stand to the end",
            )  # fmt: skip
            self.note(f"engaged by a person: {done.stdout or done.stderr}".strip())

    async def _until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not await asyncio.to_thread(self.fleet.ready):
            self.fleet.revive()
            if time.monotonic() > deadline:
                waiting = [n for n, m in self.fleet.members.items() if not self.fleet.member_ready(m)]
                self.note(f"not ready within {READY_SECONDS:g} s: {waiting}")
                return
            await asyncio.sleep(0.3)
        self.note(f"ready: {', '.join(self.fleet.members)}")

    async def _create_topics(self) -> None:
        """Record times are the harness's, so that calls an hour ago can be told; the rest as the product makes it."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap_servers)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(PREFIX + EVENTS, PARTITIONS, 1)])
        finally:
            await admin.close()
        done = await asyncio.to_thread(self.fleet.command, "topics", "create")
        assert done.returncode == 0, done.stdout + done.stderr

    @asynccontextmanager
    async def _producer(self) -> AsyncIterator[AIOKafkaProducer]:
        async with AIOKafkaProducer(
            bootstrap_servers=self.kafka.bootstrap_servers, enable_idempotence=True, linger_ms=20,
            request_timeout_ms=120_000,
        ) as producer:  # fmt: skip
            yield producer

    async def _feed(self, producer: Any, traffic: Traffic, from_s: float, until_s: float) -> None:
        began = time.monotonic() - from_s
        for message in traffic.stream(from_s, until_s):
            if (wait := began + message.due_s - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            await self._send(producer, [message], time.time_ns() // 1_000_000)
        await producer.flush()

    async def _send(self, producer: Any, messages: list[Message], at_ms: int) -> None:
        for message in messages:
            self.facts[message.value] = message.fact
            await producer.send(
                PREFIX + EVENTS, message.value, message.key, partition=message.partition, timestamp_ms=at_ms
            )
            self.sent += 1

    async def _tell(self, chaos: Chaos) -> None:
        while True:
            await asyncio.sleep(10)
            done = ", ".join(f"{chaos.done[name]} {name}" for name in ("kills", "zombies", "broker restarts"))
            self.note(f"sent {self.sent}, {done}, {sum(self.fleet.exits.values())} deaths")

    async def _change_rules(self, after_s: float) -> None:
        """Another limit in the middle of the run: a control block into every partition."""
        await asyncio.sleep(after_s)
        self.write_rules("0.25")

    def write_rules(self, limit: str) -> None:
        """The rules of the run; replaced at once, as a careful operator does."""
        folder = self.directory / "rules"
        folder.mkdir(exist_ok=True)
        draft = self.directory / "caps.draft"
        draft.write_text(RULES.format(limit=limit))
        draft.replace(folder / "caps.yaml")

    async def settle(self, what: str) -> Findings:
        """Wait until every sum is right; then stop ingest, so that the logs stand still, and audit all of it."""
        self.fleet.revive()
        await self._until_ready()
        found = await self._until(
            lambda f: not f.wrong_scopes and not f.wrong_letters,
            self.options.settled_seconds,
            f"{what}: sums",
        )
        if self.options.broken and found.wrong_scopes:
            return found  # what a control looks for
        for name in [name for name in self.fleet.members if name.startswith("ingest")]:
            await asyncio.to_thread(self.fleet.terminate, name)
        found = await self._until(
            lambda f: not f.faults, self.options.settled_seconds / 2, f"{what}: everything"
        )
        self.note(f"{what}: {found.scopes} scopes, {found.alerts} alerts, wrong: {found.faults or 'nothing'}")
        for example in found.examples[:20]:
            self.note(f"  {example[:600]}")
        return found

    async def _until(self, right: Callable[[Findings], bool], seconds: float, what: str) -> Findings:
        """Look until it is right, or the time is over."""
        deadline = time.monotonic() + seconds
        while True:
            self.fleet.revive()
            await self.auditor.read()
            found = self.auditor.findings()
            if right(found) or time.monotonic() > deadline:
                self.note(f"{what}: {'right' if right(found) else 'NOT right'}")
                return found
            await asyncio.sleep(1)

    def _result(self, chaos: Chaos, live: Findings, fresh: Findings) -> Result:
        return Result(
            seed=self.options.seed, minutes=self.options.minutes,
            wall_seconds=round(time.monotonic() - self._began, 1), faults=dict(chaos.done),
            exits=self.fleet.figures(), outcomes=dict(self.auditor.truth.outcomes), live=asdict(live),
            fresh=asdict(fresh), directory=str(self.directory),
        )  # fmt: skip


def as_line(result: Result) -> str:
    """One line of the results file."""
    return json.dumps(asdict(result))

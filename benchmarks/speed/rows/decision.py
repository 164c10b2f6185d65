"""The decision path: from an event on the topic to a kill switch that a gateway refuses by, with every role and the shipped rules.

A probe is the first call of a run of its own and costs more than a run may. All processes share all cores.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from benchmarks.speed import contender
from benchmarks.speed.contenders.gateway_reader import probe
from benchmarks.speed.events import Feed, messages
from benchmarks.speed.ratios import short, spread
from benchmarks.speed.row import Figures, Line, Options, Row, say
from benchmarks.speed.service import RULES, Role, blocks_read, records_out, until
from benchmarks.speed.stage import FLUSH_SECONDS, Stage, partition_of
from confluent_kafka import Producer

from tokenfuse.contracts.topics import DELTAS, EVENTS
from tokenfuse.runtime.settings import Settings

SECONDS: Final = 40.0
AFTER_SECONDS: Final = 30.0
"""So long after the backlog it is no calm yet: what it left is checkpointed and rolled up."""
PROBES_PER_SECOND: Final = 5
CALM_PER_SECOND: Final = 10
P50_MS, P99_MS = 300.0, 1000.0
ANSWER_SECONDS: Final = 20.0
ROLES: Final = ("ingest", "agents", "decider", "notify")
LOG_APPEND_TIME: Final = 2
LONG_SECONDS: Final = 300.0


class Traffic:
    """Publishes probes, and a feed beside them.

    Attributes:
        appended: seconds since the epoch, by probe.
    """

    def __init__(self, stage: Stage, prefix: str) -> None:
        """Connects."""
        self._topic = prefix + EVENTS
        self._producer = Producer(
            {"bootstrap.servers": stage.bootstrap_servers, "linger.ms": 1, "log_level": 2}
        )
        self.appended: dict[int, float] = {}

    def run(self, events_per_second: float, seconds: float) -> range:
        """Some of the events of each second are probes; returns their numbers."""
        first = number = len(self.appended)
        feed = iter(
            messages(
                Feed(
                    int(events_per_second * seconds) + 1,
                    int(time.time()),
                    int(time.time() * 1000),
                    int(events_per_second),
                )
            )
        )
        started, sent = time.monotonic(), 0
        while (passed := time.monotonic() - started) < seconds:
            if passed * PROBES_PER_SECOND >= number - first:
                self._probe(number)
                number += 1
            while sent < passed * (events_per_second - PROBES_PER_SECOND):
                key, value = next(feed)
                self._producer.produce(self._topic, value, key, partition_of(key))
                sent += 1
            self._producer.poll(0.002)
        self._producer.flush(FLUSH_SECONDS)
        return range(first, number)

    def _probe(self, number: int) -> None:
        event = {
            "id": probe(number), "time": time.time(), "tenant": f"tenant-{number % 200:03d}", "feature": "feature-00",
            "model": "gpt-4o", "input_tokens": 1000, "output_tokens": 1000, "cost_usd": "30", "run_id": probe(number),
        }  # fmt: skip

        def delivered(_error: object, message: object) -> None:
            kind, at_ms = message.timestamp()
            self.appended[number] = at_ms / 1000 if kind == LOG_APPEND_TIME else time.time()

        key = event["tenant"].encode()
        self._producer.produce(
            self._topic, json.dumps(event).encode(), key, partition_of(key), on_delivery=delivered
        )


def measure(options: Options) -> Iterator[Figures]:
    """A fresh installation each round: the rate that all roles sustain, then probes right after, in a calm and at half that rate."""
    with Stage() as stage:
        rules = more_switches(stage.directory / "rules")
        while True:
            prefix = f"d{time.time_ns()}."
            settings = stage.settings(prefix, deltas_partitions=options.deltas_partitions)
            with installation(settings, rules) as roles:
                rate = _sustained(stage, prefix, roles, options)
                figures = _probe_both(stage, prefix, rate, options.scale)
            stage.drop(prefix)
            yield figures


@contextmanager
def installation(settings: Settings, rules: Path) -> Iterator[dict[str, Role]]:
    """Every role, ready, on all cores."""
    with ExitStack() as stack:
        roles = {name: stack.enter_context(Role(name, settings, core=None, rules=rules)) for name in ROLES}
        until(lambda: all(role.ready() for role in roles.values()), "every role is ready")
        yield roles


def more_switches(directory: Path) -> Path:
    """The shipped rules, but as many switches as there are probes."""
    shutil.copytree(RULES, directory)
    settings = directory / "settings.yaml"
    settings.write_text(settings.read_text().replace("switches_max: 100", "switches_max: 10000"))
    return directory


def _sustained(stage: Stage, prefix: str, roles: dict[str, Role], options: Options) -> float:
    """Events a second from the first publish to the last block applied by the agents."""
    started = time.monotonic()
    stage.publish(Feed(options.events, start_ms=int(time.time() * 1000) - 60_000), prefix)
    until(lambda: records_out(roles["ingest"]) >= options.events, "the feed is out", LONG_SECONDS, 0.2)
    end = stage.end(prefix + DELTAS)
    until(lambda: blocks_read(roles["agents"]) >= end, "every block is applied", LONG_SECONDS, 0.2)
    rate = options.events / (time.monotonic() - started)
    say(f"all roles sustain {rate:,.0f} events/s")
    return rate


def _probe_both(stage: Stage, prefix: str, rate: float, scale: float) -> Figures:
    stop = stage.directory / f"{prefix}stop"
    given = {"servers": stage.bootstrap_servers, "prefix": prefix, "stop": str(stop)}
    gateway = contender.start("gateway_reader", given, core=-1)
    gateway.stdout.readline()
    traffic = Traffic(stage, prefix)
    probes = {
        name: traffic.run(speed, seconds * scale)
        for name, speed, seconds in (
            ("after", CALM_PER_SECOND, AFTER_SECONDS),
            ("calm", CALM_PER_SECOND, SECONDS),
            ("busy", rate / 2, SECONDS),
        )
    }
    time.sleep(ANSWER_SECONDS)
    stop.touch()
    seen = {int(number): at for number, at in contender.finish(gateway, "gateway_reader", 60).items()}
    figures: Figures = {"sustained": rate}
    for name, numbers in probes.items():
        found = [1000 * (seen[n] - traffic.appended[n]) for n in numbers if n in seen]
        figures |= {f"{name}_ms": [round(ms, 1) for ms in found], f"{name}_lost": len(numbers) - len(found)}
        say(
            f"{name}: p50 {percentile(found, 50):.0f} ms, p99 {percentile(found, 99):.0f} ms, {len(numbers)} probes, {len(numbers) - len(found)} without an answer"
        )
    return figures


def percentile(figures: Sequence[float], percent: float) -> float:
    """Of at least one figure; of none, infinite: nobody ever answered."""
    # A figure that was measured, and none between a number and infinity.
    return float(np.percentile(figures, percent, method="inverted_cdf")) if figures else float("inf")


def lines(rounds: Sequence[Figures]) -> list[Line]:
    """Percentiles over the probes of all rounds; one without an answer counts as infinitely late."""
    sustained = spread([figures["sustained"] for figures in rounds])
    found = [
        Line(
            "end-to-end rate, all roles and the broker on this machine",
            "",
            f"{short(sustained.median)} events/s",
            "",
            str(sustained),
        )
    ]
    for name, at, has_goal in (
        ("calm", f"{CALM_PER_SECOND} events/s", True),
        ("busy", "half that rate", True),
        ("after", f"{CALM_PER_SECOND} events/s in the half minute after that backlog", False),
    ):
        late = [
            ms
            for figures in rounds
            for ms in figures[f"{name}_ms"] + [float("inf")] * figures[f"{name}_lost"]
        ]
        for percent, most in ((50, P50_MS), (99, P99_MS)):
            ms = percentile(late, percent)
            each = spread([percentile(figures[f"{name}_ms"], percent) for figures in rounds])
            what = f"event to switch at {at}, p{percent} of {len(late)}"
            goal = (f"< {most:,.0f} ms", f"{short(ms / most)}x", ms < most) if has_goal else ("", "", None)
            found.append(Line(what, goal[0], f"{short(ms)} ms", goal[1], str(each), goal[2]))
    return found


ROW: Final = Row(
    "decision", "Decision path: event appended to the topic, switch readable by a gateway", measure, lines
)

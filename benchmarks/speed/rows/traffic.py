"""What live traffic costs: bytes on Kafka and processor time an event, at rates from calm to busy, and under skew."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Final

from benchmarks.speed.events import Feed
from benchmarks.speed.ratios import short, spread
from benchmarks.speed.row import Figures, Line, Options, Row, say
from benchmarks.speed.rows.decision import installation
from benchmarks.speed.service import RULES, Role, records_out, until
from benchmarks.speed.stage import CONTENDER_CORE, Stage

from tokenfuse.contracts.topics import (
    AGENTS_CHECKPOINT,
    DECIDER_CHECKPOINT,
    DELTAS,
    EVENTS,
    IDS,
    ROLLUPS,
    SIGNALS,
)

RATES: Final = (100, 1_000, 5_000)
SECONDS: Final = 60.0
AFTER_SECONDS: Final = 15.0
"""For panes to close and checkpoints to be written."""

TOPICS: Final = {
    "events": EVENTS, "deltas": DELTAS, "ids": IDS, "rollups": ROLLUPS, "signals": SIGNALS,
    "checkpoint": AGENTS_CHECKPOINT, "decider's checkpoint": DECIDER_CHECKPOINT,
}  # fmt: skip
WHALE: Final = 0.99


def measure(options: Options) -> Iterator[Figures]:
    """Each rate, then ingest of a backlog with and without a tenant of 99 %."""
    with Stage() as stage:
        while True:
            figures: Figures = {str(rate): _live(stage, options, rate) for rate in RATES}
            even, skewed = (_backlog(stage, options, whale) for whale in (0.0, WHALE))
            yield figures | {"even_cpu_us": even, "skewed_cpu_us": skewed}


def _live(stage: Stage, options: Options, rate: int) -> Figures:
    """Bytes of each topic and CPU of each role, an event."""
    prefix = f"t{time.time_ns()}."
    settings = stage.settings(prefix, deltas_partitions=options.deltas_partitions)
    count = int(rate * SECONDS * options.scale)
    with installation(settings, RULES) as roles:
        before = {name: role.cpu_seconds() for name, role in roles.items()}
        feed = Feed(count, start_ms=int(time.time() * 1000), events_per_second=rate)
        stage.publish(feed, prefix, rate)
        until(lambda: records_out(roles["ingest"]) >= count, "the feed is out", poll_seconds=0.5)
        time.sleep(AFTER_SECONDS)
        cpu = {
            f"{name}_cpu_us": 1e6 * (role.cpu_seconds() - before[name]) / count
            for name, role in roles.items()
        }
    bytes_ = {
        f"{name}_bytes": stage.topic_bytes(settings.topic(topic)) / count for name, topic in TOPICS.items()
    }
    stage.drop(prefix)
    say(f"{rate:,} events/s: " + ", ".join(f"{name} {size:,.0f}" for name, size in bytes_.items()))
    return cpu | bytes_


def _backlog(stage: Stage, options: Options, whale: float) -> float:
    """Microseconds of ingest's CPU an event."""
    prefix = f"t{time.time_ns()}."
    settings = stage.settings(prefix, deltas_partitions=options.deltas_partitions)
    stage.publish(Feed(options.events, start_ms=int(time.time() * 1000) - 60_000, whale=whale), prefix)
    with Role("ingest", settings, core=CONTENDER_CORE) as ingest:
        until(ingest.ready, "ingest is ready")
        before, out = ingest.cpu_seconds(), records_out(ingest)
        until(lambda: records_out(ingest) >= options.events, "the feed is out", 400, 0.5)
        cpu_us = 1e6 * (ingest.cpu_seconds() - before) / (options.events - out)
    stage.drop(prefix)
    say(f"backlog, a tenant of {whale:.0%} more: {cpu_us:.2f} us of ingest's CPU an event")
    return cpu_us


def lines(rounds: Sequence[Figures]) -> list[Line]:
    """Nothing here is to be reached; docs/scaling.md reckons with it."""
    found = []
    for rate in RATES:
        for name in TOPICS:
            size = spread([figures[str(rate)][f"{name}_bytes"] for figures in rounds])
            found.append(
                Line(f"{rate:,} events/s: bytes an event on {name}", "", short(size.median), "", str(size))
            )
        for name in ("ingest", "agents", "decider"):
            cpu = spread([figures[str(rate)][f"{name}_cpu_us"] for figures in rounds])
            found.append(
                Line(f"{rate:,} events/s: CPU an event, {name}", "", f"{short(cpu.median)} us", "", str(cpu))
            )
    for name, what in (("even", "as the feed is"), ("skewed", "one tenant has 99 %")):
        cpu = spread([figures[f"{name}_cpu_us"] for figures in rounds])
        found.append(
            Line(f"backlog, {what}: ingest's CPU an event", "", f"{short(cpu.median)} us", "", str(cpu))
        )
    return found


ROW: Final = Row(
    "traffic", "Live traffic and skew: bytes and processor time an event", measure, lines, rounds_max=3
)

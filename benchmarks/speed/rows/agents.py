"""Agents: how many cores of ingest one core of agents serves, and what each event costs in bytes on Kafka."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Final

from benchmarks.speed.events import Feed
from benchmarks.speed.ratios import ratio, short, spread
from benchmarks.speed.row import Figures, Line, Options, Row, say
from benchmarks.speed.service import Role, blocks_read, records_out, until
from benchmarks.speed.stage import CONTENDER_CORE, Stage

from tokenfuse.contracts.topics import AGENTS_CHECKPOINT, DELTAS, IDS, ROLLUPS
from tokenfuse.runtime.settings import Settings

LEAST: Final = 4.0
LONG_SECONDS: Final = 400.0


def measure(options: Options) -> Iterator[Figures]:
    """Ingest records the deltas, with the shipped rules in force; then agents alone apply them from the beginning."""
    with Stage() as stage:
        while True:
            prefix = f"a{time.time_ns()}."
            settings = stage.settings(prefix, deltas_partitions=options.deltas_partitions)
            figures = _record(stage, settings, options) | _apply(stage, settings, options)
            names = {"deltas": DELTAS, "ids": IDS, "rollups": ROLLUPS, "checkpoint": AGENTS_CHECKPOINT}
            sizes = {
                f"{name}_bytes": stage.topic_bytes(settings.topic(topic)) for name, topic in names.items()
            }
            stage.drop(prefix)
            yield figures | {name: size / options.events for name, size in sizes.items()}


def _record(stage: Stage, settings: Settings, options: Options) -> Figures:
    """The decider puts the rules on the deltas topic; then ingest works off a backlog."""
    with Role("decider", settings, core=CONTENDER_CORE) as decider:
        until(decider.ready, "the decider is ready")
        deltas = settings.topic(DELTAS)
        until(
            lambda: stage.end(deltas) >= options.deltas_partitions,
            "the rules are on the deltas topic",
            poll_seconds=0.5,
        )
    stage.publish(Feed(options.events, start_ms=int(time.time() * 1000) - 60_000), settings.topic_prefix)
    with Role("ingest", settings, core=CONTENDER_CORE) as ingest:
        until(ingest.ready, "ingest is ready")
        before, out = ingest.cpu_seconds(), records_out(ingest)
        until(lambda: records_out(ingest) >= options.events, "the feed is out", LONG_SECONDS, 0.5)
        cpu_us = 1e6 * (ingest.cpu_seconds() - before) / (options.events - out)
    say(f"ingest: {cpu_us:.2f} us of CPU an event")
    return {"ingest_cpu_us": cpu_us}


def _apply(stage: Stage, settings: Settings, options: Options) -> Figures:
    """From the first block on; the last checkpoint is written when they stop, and counts."""
    blocks = stage.end(settings.topic(DELTAS))
    with Role("agents", settings, core=CONTENDER_CORE) as agents:
        until(agents.ready, "agents are ready")
        before, read = agents.cpu_seconds(), blocks_read(agents)
        until(lambda: blocks_read(agents) >= blocks, "every block is applied", LONG_SECONDS, 0.5)
        until(
            lambda: agents.metrics()["tokenfuse_checkpoints_total"] >= options.deltas_partitions,
            "it is checkpointed",
        )
        time.sleep(2 * settings.checkpoint_seconds)  # the checkpoint of the last blocks
        seconds = agents.cpu_seconds() - before
        scopes, memory = agents.metrics()["tokenfuse_scopes"], agents.resident_mb()
    cpu_us = 1e6 * seconds / (options.events * (1 - read / blocks))
    say(
        f"agents: {cpu_us:.2f} us of CPU an event, {1e6 * seconds / (blocks - read):.0f} us a block, {scopes:,.0f} scopes"
    )
    return {"agents_cpu_us": cpu_us, "blocks": blocks, "scopes": scopes, "agents_mb": memory}


def lines(rounds: Sequence[Figures]) -> list[Line]:
    """Cores served, and bytes."""
    ingest, agents = ([figures[f"{role}_cpu_us"] for figures in rounds] for role in ("ingest", "agents"))
    of = ratio(ingest, agents)
    figure = f"{short(spread(agents).median)} us an event"
    what = f"ingest cores that one agents core serves; ingest: {short(spread(ingest).median)} us an event"
    found = [Line(what, f">= {LEAST:g}", figure, short(of.median), str(of), of.median >= LEAST)]
    for name in ("deltas", "ids", "rollups", "checkpoint"):
        size = spread([figures[f"{name}_bytes"] for figures in rounds])
        found.append(
            Line(f"bytes an event on {name}, backlog at full speed", "", short(size.median), "", str(size))
        )
    return found


ROW: Final = Row("agents", "Agents: delta blocks applied, checkpoints on", measure, lines)

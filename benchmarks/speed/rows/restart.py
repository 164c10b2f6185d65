"""A restart of the agents with 100,000 scopes, against a bare consumer that reads their checkpoint and does nothing with it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Final

from benchmarks.speed import contender
from benchmarks.speed.events import Feed
from benchmarks.speed.ratios import Spread, ratio, short, spread
from benchmarks.speed.row import Figures, Line, Options, Row, say
from benchmarks.speed.service import Role, blocks_read, records_out, until
from benchmarks.speed.stage import CONTENDER_CORE, Stage

from tokenfuse.contracts.topics import AGENTS_CHECKPOINT, DELTAS
from tokenfuse.runtime.settings import Settings

EVENTS: Final = 45_000
"""Of which about 100,000 scopes come, most of them cells."""

MOST: Final = 2.0
LONG_SECONDS: Final = 300.0


def measure(options: Options) -> Iterator[Figures]:
    """One installation is filled; then its agents start again and again."""
    with Stage() as stage:
        settings = stage.settings("restart.", deltas_partitions=options.deltas_partitions)
        empty = stage.settings("empty.", deltas_partitions=options.deltas_partitions)
        scopes = _fill(stage, settings, int(EVENTS * options.scale))
        _started(empty)
        topic = settings.topic(AGENTS_CHECKPOINT)
        given = {"servers": stage.bootstrap_servers, "topic": topic, "partitions": options.deltas_partitions}
        while True:
            at = time.time()
            line = contender.finish(contender.start("topic_reader", given), "topic_reader", 120)
            figures = {"reader_whole": line["ended"] - at, "reader": line["seconds"], "bytes": line["bytes"]}
            figures |= _started(settings) | {"scopes": scopes}
            figures["empty_whole"] = _started(empty)["agents_whole"]
            say(
                f"bare reader {figures['reader_whole']:.2f} s, agents {figures['agents_whole']:.2f} s, without a checkpoint {figures['empty_whole']:.2f} s"
            )
            yield figures


def _fill(stage: Stage, settings: Settings, events: int) -> float:
    """Ingest and agents over a feed; returns the scopes that the agents hold."""
    stage.publish(Feed(events, start_ms=int(time.time() * 1000) - 60_000), settings.topic_prefix)
    with Role("ingest", settings, core=CONTENDER_CORE) as ingest:
        until(ingest.ready, "ingest is ready")
        until(lambda: records_out(ingest) >= events, "the feed is out", LONG_SECONDS, 0.2)
    blocks = stage.end(settings.topic(DELTAS))
    with Role("agents", settings, core=CONTENDER_CORE) as agents:
        until(agents.ready, "agents are ready")
        until(lambda: blocks_read(agents) >= blocks, "every block is applied", LONG_SECONDS, 0.2)
        return agents.metrics()["tokenfuse_scopes"]


def _started(settings: Settings) -> Figures:
    """From the start of the process to ready."""
    started = time.monotonic()
    with Role("agents", settings, core=CONTENDER_CORE) as agents:
        until(agents.ready, "agents are ready again", poll_seconds=0.02)
        seconds = time.monotonic() - started
        return {"agents_whole": seconds, "memory_mb": agents.resident_mb()}


def lines(rounds: Sequence[Figures]) -> list[Line]:
    """Process against process; and what the checkpoint alone costs."""

    def column(name: str) -> list[float]:
        return [figures[name] for figures in rounds]

    def seconds(of: Spread) -> str:
        return f"{short(of.median)} s"

    whole = ratio(column("agents_whole"), column("reader_whole"))
    megabytes = f"{short(rounds[0]['bytes'] / 2**20)} MB, {short(rounds[0]['scopes'])} scopes"
    theirs = seconds(spread(column("reader_whole")))
    costs = [a - b for a, b in zip(column("agents_whole"), column("empty_whole"), strict=True)]
    reading = seconds(spread(column("reader")))
    return [
        Line(
            f"process start to ready, {megabytes}; bare consumer, process start to the last row: {theirs}", f"<= {MOST:g}x",
            seconds(spread(column("agents_whole"))), f"{short(whole.median)}x", str(whole), whole.median <= MOST,
        ),
        Line(
            f"of that, what the checkpoint adds; the bare consumer's reading alone: {reading}", "", seconds(spread(costs)),
            f"{short(ratio(costs, column('reader')).median)}x", str(ratio(costs, column("reader"))),
        ),
    ]  # fmt: skip


ROW: Final = Row("restart", "Restart with 100,000 scopes", measure, lines)

"""Ingest against its peers: interleaved rounds on one topic, every contender alone on core 1, every sum checked."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from benchmarks.speed import contender, truth
from benchmarks.speed.contender import ContenderError, Run
from benchmarks.speed.events import Chunk, Feed
from benchmarks.speed.ratios import ratio, short, spread
from benchmarks.speed.row import Figures, Line, Options, Row, say
from benchmarks.speed.stage import Stage, partition_of
from benchmarks.speed.truth import Totals

FAUST_SHARE: Final = 10
"""The Faust agent reads one message of so many: its rate is the same and the round ends."""

VARIANTS: Final = ("lean", "plain", "operators", "own-source")
"""Of the Bytewax job; measured in the first round only. `columns`, the fastest that does as much, is in every round."""

PUBLISHED_AGO_MS: Final = 300_000


class Feeding:
    """The feed on its topic, and what its readers must find."""

    def __init__(self, stage: Stage, count: int, prefix: str = "feed.") -> None:
        """Publishes."""
        self.stage, self.count = stage, count
        self.feed = Feed(count, start_ms=int(time.time() * 1000) // 1000 * 1000 - PUBLISHED_AGO_MS)
        stage.settings(prefix, deltas_partitions=1)
        say(f"publishing {count:,} events")
        self.topic = stage.publish(self.feed, prefix)
        self.out = f"{prefix}tokenfuse.deltas"

    @cached_property
    def columns(self) -> Chunk:
        """Of all messages."""
        return truth.read(self.feed)

    @cached_property
    def full(self) -> Totals:
        """Unique events by axis, run and cell and pane."""
        return truth.totals(truth.once(self.columns))

    @cached_property
    def bare(self) -> Totals:
        """All messages by axis; calls and tokens only."""
        return calls_and_tokens(self.columns)

    def first(self, read: dict[int, int]) -> Totals:
        """Bare sums of the first messages of each partition."""
        of_tenant = [partition_of(b"tenant-%03d" % number) for number in range(self.feed.tenants)]
        partition = np.array(of_tenant)[self.columns.tenant]
        chosen = [np.flatnonzero(partition == number)[:count] for number, count in read.items()]
        return calls_and_tokens(self.columns.take(np.concatenate(chosen)))

    @property
    def arguments(self) -> dict[str, Any]:
        """For every contender."""
        servers = self.stage.bootstrap_servers
        return {"servers": servers, "topic": self.topic, "count": self.count, "out": self.out}


def calls_and_tokens(messages: Chunk) -> Totals:
    """Sums without panes, cells and runs, and 0 where nothing is summed."""
    plain = truth.totals(messages, panes=False, cells=False, runs=False)
    return {key: (row[0], 0, row[2], row[3], 0, 0) for key, row in plain.items()}


def run_ingest(feeding: Feeding, prefix: str, deltas_partitions: int, *, check: bool = True) -> Run:
    """TokenFuse's own worker, with topics and a group of its own; they are still there when this returns."""
    settings = feeding.stage.settings(prefix, deltas_partitions=deltas_partitions)
    given = {**feeding.arguments, "settings": settings.model_dump(mode="json", exclude_defaults=True)}
    return contender.measure("ingest_worker", given, feeding.full if check else None)


def measure(options: Options) -> Iterator[Figures]:
    """One round after another."""
    with Stage() as stage:
        feeding = Feeding(stage, options.events)
        first = True
        while True:
            runs = dict(_round(feeding, options, first=first))
            yield {name: msgspec.to_builtins(run) for name, run in runs.items()}
            first = False


def _round(feeding: Feeding, options: Options, *, first: bool) -> Iterator[tuple[str, Run]]:
    def told(name: str, run: Run) -> tuple[str, Run]:
        say(
            f"{name:20} {run.rate:>9,.0f} events/s, {run.cpu_us:6.2f} us of CPU an event, {run.peak_mb:,.0f} MB"
        )
        return name, run

    prefix = f"r{time.time_ns()}."
    yield told("ingest", run_ingest(feeding, prefix, options.deltas_partitions))
    feeding.stage.drop(prefix)
    for variant in ("columns", *(VARIANTS if first else ())):
        yield told(f"bytewax {variant}", _bytewax(feeding, variant, feeding.full))
    yield told("consumer", contender.measure("consumer", {**feeding.arguments, "job": "decode"}, None))
    if first:
        yield told("contract", contender.measure("consumer", {**feeding.arguments, "job": "contract"}, None))
    yield told("bare", contender.measure("consumer", {**feeding.arguments, "job": "bare"}, feeding.bare))
    yield told("bytewax bare", _bytewax(feeding, "bare", feeding.bare))
    yield told("faust", _faust(feeding))


def _bytewax(feeding: Feeding, variant: str, expected: Totals) -> Run:
    return contender.measure("bytewax_job", {**feeding.arguments, "variant": variant}, expected)


def _faust(feeding: Feeding) -> Run:
    """Its sums are those of the messages that it says it read."""
    directory = feeding.stage.directory
    files = {"totals": str(directory / "faust.totals"), "read": str(directory / "faust.read")}
    given = {**feeding.arguments, "count": max(feeding.count // FAUST_SHARE, 1), **files}
    started = time.time()
    line = contender.finish(contender.start("faust_job", given), "faust_job", 300)
    read = dict(msgspec.json.decode(Path(files["read"]).read_bytes()))
    wrong = truth.differences(truth.read_totals(Path(files["totals"])), feeding.first(read))
    if wrong or sum(read.values()) != given["count"]:
        raise ContenderError(
            f"faust_job: {len(wrong)} sums are wrong of the messages {read}, e.g. {wrong[:1]}"
        )
    return Run(line["events"], line["seconds"], line["cpu_seconds"], line["ended"] - started, line["peak_mb"])


def lines(rounds: Sequence[Figures]) -> list[Line]:
    """Against each peer."""
    ours = _rates(rounds, "ingest")
    figure = f"{short(spread(ours).median)} events/s"

    def against(what: str, peer: str, least: float) -> Line:
        of = ratio(ours, _rates(rounds, peer))
        theirs = short(spread(_rates(rounds, peer)).median)
        target = f">= {least:g}x"
        return Line(
            f"{what}: {theirs} events/s", target, figure, f"{short(of.median)}x", str(of), of.median >= least
        )

    found = [
        against("Bytewax, the same job", "bytewax columns", 2.0),
        against("Faust agent per event", "faust", 20.0),
        against("aiokafka consumer that only decodes", "consumer", 0.5),
    ]
    bare = ratio(_rates(rounds, "bare"), _rates(rounds, "bytewax bare"))
    theirs = short(spread(_rates(rounds, "bytewax bare")).median)
    what, figure = (
        f"bare sums on both sides; Bytewax: {theirs} events/s",
        short(spread(_rates(rounds, "bare")).median),
    )
    found.append(Line(what, "", f"{figure} events/s", f"{short(bare.median)}x", str(bare)))
    for name in [name for name in rounds[0] if name.startswith("bytewax ") and name.split()[1] in VARIANTS]:
        rate = Run(**rounds[0][name]).rate
        found.append(
            Line(
                f"variant: {name}",
                "",
                f"{short(rate)} events/s",
                f"ours {short(ours[0] / rate)}x",
                "one round",
            )
        )
    if "contract" in rounds[0]:
        rate = Run(**rounds[0]["contract"]).rate
        what = "aiokafka consumer that decodes into TokenFuse's own struct"
        found.append(Line(what, "", f"{short(rate)} events/s", f"ours {short(ours[0] / rate)}x", "one round"))
    for name in ("ingest", "bytewax columns", "consumer"):
        cpu = spread([Run(**figures[name]).cpu_us for figures in rounds])
        start = spread([figures[name]["events"] / figures[name]["whole_seconds"] for figures in rounds])
        found.append(Line(f"{name}: CPU an event", "", f"{short(cpu.median)} us", "", str(cpu)))
        found.append(
            Line(
                f"{name}: with the start of its process",
                "",
                f"{short(start.median)} events/s",
                "",
                str(start),
            )
        )
    return found


def _rates(rounds: Sequence[Figures], name: str) -> list[float]:
    return [Run(**figures[name]).rate for figures in rounds]


ROW: Final = Row("ingest", "Ingest against its peers, events a second on one core", measure, lines)

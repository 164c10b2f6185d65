"""Two ingest workers against one: the processor time that an event costs, on the same live feed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Final

from benchmarks.speed.events import Feed
from benchmarks.speed.ratios import ratio, short, spread
from benchmarks.speed.row import Figures, Line, Options, Row, say
from benchmarks.speed.service import Role, records_out, until
from benchmarks.speed.stage import CONTENDER_CORE, Stage

MOST: Final = 1.15
CATCH_UP_SECONDS: Final = 300.0


def measure(options: Options) -> Iterator[Figures]:
    """One worker, then two, by turns."""
    with Stage() as stage:
        while True:
            yield {f"cpu_us_{count}": _cpu_us(stage, options, count) for count in (1, 2)}


def _cpu_us(stage: Stage, options: Options, count: int) -> float:
    """Microseconds an event of all workers, which share one core."""
    prefix = f"w{time.time_ns()}."
    settings = stage.settings(prefix, deltas_partitions=options.deltas_partitions)
    with ExitStack() as stack:
        names = [f"worker-{number}" for number in range(count)]
        workers = [
            stack.enter_context(Role("ingest", settings, core=CONTENDER_CORE, instance=name))
            for name in names
        ]
        until(lambda: all(worker.ready() for worker in workers), f"{count} ingest workers are ready")
        before = sum(worker.cpu_seconds() for worker in workers)
        stage.publish(Feed(options.events, start_ms=int(time.time() * 1000) - 60_000), prefix)
        until(lambda: records_out(*workers) >= options.events, "the feed is out", CATCH_UP_SECONDS, 0.5)
        cpu_us = 1e6 * (sum(worker.cpu_seconds() for worker in workers) - before) / options.events
        shares = [records_out(worker) / options.events for worker in workers]
    stage.drop(prefix)
    say(f"{count} workers: {cpu_us:.2f} us an event, shares {', '.join(f'{share:.0%}' for share in shares)}")
    if min(shares) == 0:
        raise RuntimeError("one worker had nothing to do")
    return cpu_us


def lines(rounds: Sequence[Figures]) -> list[Line]:
    """Two against one."""
    one, two = ([figures[f"cpu_us_{count}"] for figures in rounds] for count in (1, 2))
    of = ratio(two, one)
    what = f"two ingest workers' CPU an event; one worker's: {short(spread(one).median)} us"
    figure = f"{short(spread(two).median)} us"
    return [Line(what, f"<= {MOST}x", figure, f"{short(of.median)}x", str(of), of.median <= MOST)]


ROW: Final = Row("workers", "Two ingest workers", measure, lines)

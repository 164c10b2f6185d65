"""What it costs to close a minute of 100,000 scopes, all shipped rules in force: processor seconds and resident bytes.

    python -m benchmarks.detection cost                      # every scope has calls in every minute
    python -m benchmarks.detection cost --traffic zipf       # by their shares
    python -m benchmarks.detection cost --cells 100000       # five times as many cells below the same scopes

The product's own path: slices summed by ingest's aggregator go into `runtime.pipeline`, one deltas partition that owns
everything, as a live worker applies them, and its signals into the decider. Two weeks are read as history and a day as
calls; then come minutes of slices of a second, from 23:46 to 00:16 UTC: two turns of the windows beyond an hour, the end
of a day, and the hour in which baselines are learned anew. Time is measured around `Pipeline.blocks`; what of it goes into
what, around public methods.
"""

from __future__ import annotations

import argparse
import gc
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.detection.crowd import Crowd, Sizes

from tokenfuse.contracts.axes import CELL
from tokenfuse.contracts.rollup import Rollup
from tokenfuse.decide.agent import AgentConfig
from tokenfuse.decide.baselines import Baselines
from tokenfuse.decide.decider.core import DeciderCore
from tokenfuse.decide.drift_panel import DriftPanel
from tokenfuse.decide.panel import Panel
from tokenfuse.rules.loader import load
from tokenfuse.runtime.pipeline import Pipeline
from tokenfuse.windows.batch import Batch
from tokenfuse.windows.state import WindowState

MIDNIGHT_S: Final = 1_790_035_200
"""2026-09-22, a Tuesday, 00:00 UTC."""
DAY_S, HOUR_S, MINUTE_S = 86_400, 3600, 60
BEFORE_MINUTES: Final = 14
SLICE_S: Final = 10
GROWS_AFTER_MINUTES: Final = 3
"""Then one tenant's prompts triple, so that something is found and told."""

STEPS: Final[dict[str, tuple[type, str]]] = {
    "add calls": (Batch, "add"),
    "move windows": (Panel, "move"),
    "judge": (Panel, "judge"),
    "judge drift and volume": (DriftPanel, "judge"),
    "learn baselines": (Baselines, "refresh"),
    "rollups": (WindowState, "take_rollups"),
    "decide": (DeciderCore, "apply"),
}
"""What a block's time is spent on, by the public method that does it; drift is a part of judging, learning of drift."""


@dataclass
class Minute:
    """Processor seconds of one minute.

    Attributes:
        closing: of the block with which it closed, baselines left out. refresh: of learning baselines anew.
        whole: of all of its blocks, refresh included. steps: of the closing block by step.
    """

    closing: float
    refresh: float
    whole: float
    steps: Counter[str] = field(default_factory=Counter)


class Stopwatch:
    """Processor seconds by step, while it is attached to the methods of STEPS."""

    def __init__(self) -> None:
        """Nothing is measured yet."""
        self.seconds: Counter[str] = Counter()

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Measure calls of the methods, which are otherwise unchanged."""
        plain = {name: getattr(owner, method) for name, (owner, method) in STEPS.items()}
        try:
            for name, (owner, method) in STEPS.items():
                setattr(owner, method, self._timed(name, plain[name]))
            yield
        finally:
            for name, (owner, method) in STEPS.items():
                setattr(owner, method, plain[name])

    def _timed(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.process_time()
            try:
                return work(*args, **kwargs)
            finally:
                self.seconds[name] += time.process_time() - began

        return timed


class Bench:
    """One pipeline with its company."""

    def __init__(self, sizes: Sizes, calls_per_minute: int, rules: Path, *, everybody: bool) -> None:
        """Nothing has happened yet."""
        self.pipeline = Pipeline(AgentConfig(rollup_ms=3_600_000, totals_only=True))
        self.core = self.pipeline.agents[0]
        self.crowd = Crowd(sizes, everybody=everybody)
        self.told: Counter[str] = Counter()
        self._rules = load(rules)
        self._calls_per_minute = calls_per_minute
        self.pipeline.on_rollup = self._on_rollup
        self.pipeline.on_alert = lambda alert: self.told.update([f"alert {alert.state}"])

    def _on_rollup(self, _rollup: Rollup) -> None:
        self.told["rollup"] += 1

    def learn(self, days: int, calls_per_hour: int) -> None:
        """History, an hour a slice; ten minutes of calls at noon of the last day, so that bursts know a day; an hour of calls."""
        end_s = MIDNIGHT_S - BEFORE_MINUTES * MINUTE_S
        noon_s, dense_s = MIDNIGHT_S - 36 * HOUR_S, end_s - 21 * MINUTE_S
        weight = max(self._calls_per_minute * 60 // calls_per_hour, 1)
        for start_s in range(MIDNIGHT_S - days * DAY_S, dense_s, HOUR_S):
            # All calls are of one pane: what is normal is learned by hours, whichever pane has them.
            last_ms = start_s * 1000 + 9999
            block = self.crowd.slice(calls_per_hour, start_s * 1000, last_ms, history=True, weight=weight)
            self.pipeline.blocks([block])
            if self.core.ruleset is None and start_s >= noon_s:
                self.pipeline.install(self._rules, start_s * 1000)
            if start_s == noon_s:
                self._live(noon_s + 600, noon_s + 1200)
        self._live(dense_s, end_s)

    def _live(self, start_s: int, end_s: int) -> None:
        for first_s in range(start_s, end_s, MINUTE_S):
            block = self.crowd.slice(self._calls_per_minute, first_s * 1000, (first_s + MINUTE_S) * 1000 - 1)
            self.pipeline.blocks([block])

    def minutes(self, count: int) -> Iterator[Minute]:
        """Minutes in slices of a second, each measured."""
        watch = Stopwatch()
        with watch.attached():
            for number in range(count):
                if number == GROWS_AFTER_MINUTES:
                    self.crowd.grown.add("tenant-003")
                first_s = MIDNIGHT_S + (number - BEFORE_MINUTES) * MINUTE_S
                yield self._minute(first_s, watch)

    def _minute(self, first_s: int, watch: Stopwatch) -> Minute:
        minute = Minute(0.0, 0.0, 0.0)
        for start_s in range(first_s, first_s + MINUTE_S, SLICE_S):
            calls = self._calls_per_minute * SLICE_S // MINUTE_S
            block = self.crowd.slice(calls, start_s * 1000, (start_s + SLICE_S) * 1000 - 1)
            watch.seconds.clear()
            judged_s, began = self.core.panel.judged_s, time.process_time()
            self.pipeline.blocks([block])
            spent = time.process_time() - began
            minute.whole += spent
            if self.core.panel.judged_s // MINUTE_S > judged_s // MINUTE_S:
                minute.refresh = watch.seconds["learn baselines"]
                minute.closing, minute.steps = spent - minute.refresh, Counter(watch.seconds)
        return minute

    def scopes(self) -> dict[str, int]:
        """How many there are, by axis; cells are internal."""
        found = {axis: len(table.scopes) for axis, table in self.core.state.tables.items()}
        return {axis: count for axis, count in found.items() if count}


def report(minutes: list[Minute], bench: Bench) -> str:
    """Lines of text."""
    closings = sorted(minute.closing for minute in minutes)
    worst = max(minutes, key=lambda minute: minute.closing)
    refreshes = [minute.refresh for minute in minutes if minute.refresh > 0.01]
    scopes = bench.scopes()
    cells = scopes.pop(CELL, 0)
    usual = {name: median(minute.steps[name] for minute in minutes) for name in STEPS}
    lines = [
        f"{sum(scopes.values()):,} scopes ({', '.join(f'{axis} {count:,}' for axis, count in scopes.items())}) over {cells:,} cells",
        f"closing a minute: median {median(closings):.3f} s, worst {closings[-1]:.3f} s of {len(minutes)} minutes",
        f"refresh of baselines: {', '.join(f'{spent:.2f} s' for spent in refreshes) or 'none'} in these minutes, four times a day",
        f"all blocks of a minute: median {median(minute.whole for minute in minutes):.2f} s",
        "of the closing block, median (worst minute): "
        + ", ".join(f"{name} {usual[name]:.3f} ({worst.steps[name]:.3f})" for name in STEPS),
        f"told: {dict(bench.told)}",
        f"peak resident: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB",
    ]
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(prog="python -m benchmarks.detection cost", description=__doc__)
    found.add_argument("--cells", type=int, default=Sizes.cells)
    found.add_argument("--users", type=int, default=Sizes.users)
    found.add_argument("--runs", type=int, default=Sizes.runs)
    found.add_argument("--traffic", choices=["everybody", "zipf"], default="everybody")
    found.add_argument("--calls-per-minute", type=int, default=60_000)
    found.add_argument("--days", type=int, default=14, help="of history")
    found.add_argument("--calls-per-hour", type=int, default=20_000, help="drawn of history")
    found.add_argument("--minutes", type=int, default=30)
    found.add_argument("--verbose", action="store_true", help="print every minute")
    found.add_argument("--rules", type=Path, default=Path("rules"))
    return found


def main(arguments: list[str]) -> int:
    """Measure and print."""
    options = parser().parse_args(arguments)
    sizes = Sizes(cells=options.cells, users=options.users, runs=options.runs)
    everybody = options.traffic == "everybody"
    bench = Bench(sizes, options.calls_per_minute, options.rules, everybody=everybody)
    began = time.process_time()
    bench.learn(options.days, options.calls_per_hour)
    gc.collect()
    print(f"{bench.told}, history read in {time.process_time() - began:.0f} s", flush=True)
    minutes = []
    for minute in bench.minutes(options.minutes):
        minutes.append(minute)
        if options.verbose:
            print(
                {name: round(spent, 3) for name, spent in vars(minute).items() if name != "steps"},
                dict(minute.steps),
                flush=True,
            )
    print(report(minutes, bench))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

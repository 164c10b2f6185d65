"""`tokenfuse replay` of a file with the shipped rules, on one core."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.speed.contender import ROOT, environment
from benchmarks.speed.events import Feed, messages
from benchmarks.speed.ratios import short, spread
from benchmarks.speed.row import Figures, Line, Options, Row, say
from benchmarks.speed.service import RULES
from benchmarks.speed.stage import CONTENDER_CORE, pinned

LEAST: Final = 100_000
EVENTS_PER_SECOND: Final = 1_000
"""By event time: a file holds hours, not the seconds that a broker at full speed sees."""


def measure(options: Options) -> Iterator[Figures]:
    """The same file again and again."""
    with tempfile.TemporaryDirectory() as directory:
        file, out = Path(directory, "events.jsonl"), Path(directory, "out")
        feed = Feed(options.events, events_per_second=EVENTS_PER_SECOND)
        with file.open("wb") as lines_:
            lines_.writelines(value + b"\n" for _, value in messages(feed))
        command = [
            sys.executable,
            "-m",
            "tokenfuse.cli.main",
            "replay",
            str(file),
            "--rules",
            str(RULES),
            "--out",
            str(out),
        ]
        while True:
            yield _replay(command, options.events)


def _replay(command: list[str], events: int) -> Figures:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    done = subprocess.run(
        pinned(command, CONTENDER_CORE),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    whole = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = re.search(r"(\d+) lines in ([\d.]+) s", done.stderr)
    if done.returncode or said is None or int(said[1]) != events:
        raise RuntimeError(f"replay: {done.stderr[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    figures = {"seconds": float(said[2]), "whole_seconds": whole, "cpu_seconds": cpu, "events": events}
    say(f"{events / figures['seconds']:,.0f} events/s, {1e6 * cpu / events:.2f} us of CPU an event")
    return figures


def lines(rounds: Sequence[Figures]) -> list[Line]:
    """Against the target."""
    rates = [figures["events"] / figures["seconds"] for figures in rounds]
    whole = spread([figures["events"] / figures["whole_seconds"] for figures in rounds])
    of = spread([rate / LEAST for rate in rates])
    middle = spread(rates)
    figure = f"{short(middle.median)} events/s"
    return [
        Line(
            "replay, shipped rules",
            f">= {LEAST:,} events/s",
            figure,
            f"{short(of.median)}x",
            str(of),
            of.median >= 1,
        ),
        Line("with the start of its process", "", f"{short(whole.median)} events/s", "", str(whole)),
    ]


ROW: Final = Row("replay", "Replay of a file on one core", measure, lines)

"""Soak: every role under a steady feed for ten minutes a batch; memory must stop growing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from benchmarks.speed.ratios import short, spread
from benchmarks.speed.row import Figures, Line, Options, Row, say
from benchmarks.speed.rows.decision import ROLES, installation
from benchmarks.speed.rows.takeover import feeding
from benchmarks.speed.service import RULES
from benchmarks.speed.stage import Stage

SECONDS: Final = 540.0
"""With start and end a batch is ten minutes."""

EVERY_SECONDS: Final = 10.0
FEED_PER_SECOND: Final = 1_000
MOST_PERCENT: Final = 5.0
"""Growth over the second half of a batch, by a line through it: ids and short windows still fill in the first."""

HORIZON_SECONDS: Final = 120
SCOPES_MAX: Final = 300
"""So that ids and scopes stop growing within a batch: the feed brings more than one new scope an event. At the bounds that ship
agents grew from 0.13 to 1.14 GB in seven minutes, which is their scopes; what grows beyond a bound is what a soak is to find."""


def measure(options: Options) -> Iterator[Figures]:
    """One batch a round, on a broker of its own; state does not outlive it."""
    while True:
        with Stage() as stage:
            settings = stage.settings(
                "soak.", deltas_partitions=options.deltas_partitions, dedup_horizon_seconds=HORIZON_SECONDS,
                scopes_per_axis_max=SCOPES_MAX,
            )  # fmt: skip
            with installation(settings, RULES) as roles, feeding(stage, "soak.", FEED_PER_SECOND):
                started, found = time.monotonic(), {name: [] for name in ROLES}
                while time.monotonic() < started + SECONDS * options.scale:
                    time.sleep(EVERY_SECONDS)
                    for name, role in roles.items():
                        found[name].append(round(role.resident_mb(), 1))
                    say(", ".join(f"{name} {sizes[-1]:.0f} MB" for name, sizes in found.items()))
        yield found


def growth_percent(sizes: Sequence[float]) -> float:
    """How much the second half grew, by a line fitted through it, of its middle; percent."""
    half = np.array(sizes[len(sizes) // 2 :])
    if len(half) < 2:
        return 0.0
    slope, _ = np.polyfit(np.arange(len(half)), half, 1)
    return float(100 * slope * (len(half) - 1) / np.median(half))


def lines(rounds: Sequence[Figures]) -> list[Line]:
    """Each role."""
    found = []
    for name in ROLES:
        grown = spread([growth_percent(figures[name]) for figures in rounds])
        memory = spread([figures[name][-1] for figures in rounds])
        what = f"{name}: resident memory at the end {short(memory.median)} MB; growth in the second half"
        reached = grown.median < MOST_PERCENT
        found.append(Line(what, f"< {MOST_PERCENT:g} %", f"{short(grown.median)} %", "", str(grown), reached))
    return found


ROW: Final = Row("soak", f"Soak, batches of ten minutes at {FEED_PER_SECOND:,} events/s", measure, lines)

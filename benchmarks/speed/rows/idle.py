"""What every role costs when nothing happens."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Final

from benchmarks.speed.ratios import short, spread
from benchmarks.speed.row import Figures, Line, Options, Row, say
from benchmarks.speed.service import Role, until
from benchmarks.speed.stage import Stage

ROLES: Final = ("ingest", "agents", "decider", "notify")
SETTLE_SECONDS: Final = 75.0
"""Idle means a minute without events: before it, panes close and checkpoints catch up."""
SECONDS: Final = 60.0
MOST_PERCENT: Final = 3.0


def measure(options: Options) -> Iterator[Figures]:
    """A minute a round, of roles that stay up."""
    with Stage() as stage, ExitStack() as stack:
        settings = stage.settings("idle.", deltas_partitions=options.deltas_partitions)
        roles = [stack.enter_context(Role(name, settings, core=None)) for name in ROLES]
        until(lambda: all(role.ready() for role in roles), "every role is ready")
        time.sleep(SETTLE_SECONDS)
        while True:
            before = [role.cpu_seconds() for role in roles]
            time.sleep(SECONDS)
            after = [role.cpu_seconds() for role in roles]
            used = {
                role.name: 100 * (b - a) / SECONDS for role, a, b in zip(roles, before, after, strict=True)
            }
            say(", ".join(f"{name} {percent:.1f} %" for name, percent in used.items()))
            yield used | {f"{role.name}_mb": role.resident_mb() for role in roles}


def lines(rounds: Sequence[Figures]) -> list[Line]:
    """Of all roles together, and of each."""
    total = spread([sum(figures[name] for name in ROLES) for figures in rounds])
    of = total.median / MOST_PERCENT
    what, target = "all roles, no events, % of a core", f"< {MOST_PERCENT:g} %"
    found = [
        Line(
            what, target, f"{short(total.median)} %", f"{short(of)}x", str(total), total.median < MOST_PERCENT
        )
    ]
    for name in ROLES:
        used = spread([figures[name] for figures in rounds])
        memory = spread([figures[f"{name}_mb"] for figures in rounds])
        found.append(
            Line(f"{name}; {short(memory.median)} MB resident", "", f"{short(used.median)} %", "", str(used))
        )
    return found


ROW: Final = Row("idle", "Idle", measure, lines)

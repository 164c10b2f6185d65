"""What the measured costs add up to at a million events a second: the table of docs/scaling.md."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Final

from benchmarks.speed.ratios import short, spread
from benchmarks.speed.results import Results
from benchmarks.speed.row import Figures

EVENTS_PER_SECOND: Final = 1_000_000
BUSY: Final = 0.7
"""Share of a core that is planned with: the rest works off backlogs and pays for take-overs."""

TOPICS: Final = ("deltas", "ids", "rollups", "checkpoint")
NOTHING: Final = "Not measured yet."


def middle(rounds: Sequence[Figures], name: str) -> float:
    """Median of one figure."""
    return spread([figures[name] for figures in rounds]).median


def costs(results: Results) -> str:
    """Measured: processor time and bytes an event, at full speed and at live rates."""
    backlog, live = results.rounds("agents"), results.rounds("traffic")
    if not backlog and not live:
        return NOTHING
    rows = []
    if backlog:
        sizes = [short(middle(backlog, f"{name}_bytes")) for name in TOPICS]
        cpu = [short(middle(backlog, f"{role}_cpu_us")) for role in ("ingest", "agents")]
        rows.append(("backlog at full speed", *cpu, *sizes))
    for rate in sorted((name for name in (live[0] if live else {}) if name.isdecimal()), key=int):
        rounds = [figures[rate] for figures in live]
        cpu = [short(middle(rounds, f"{role}_cpu_us")) for role in ("ingest", "agents")]
        rows.append(
            (f"{int(rate):,} events/s", *cpu, *(short(middle(rounds, f"{name}_bytes")) for name in TOPICS))
        )
    head = ("traffic", "ingest, us of CPU", "agents, us of CPU", *(f"{name}, bytes" for name in TOPICS))
    return markdown(head, rows)


def scopes(results: Results) -> str:
    """Measured: memory, checkpoint and restart by scopes."""
    agents, restart = results.rounds("agents"), results.rounds("restart")
    rows = []
    if agents:
        per = 1024 * middle(agents, "agents_mb") / middle(agents, "scopes")
        rows.append(
            (
                f"{short(middle(agents, 'scopes'))} after a backlog",
                f"{short(middle(agents, 'agents_mb'))} MB, {short(per)} KB a scope with the process itself",
                "",
            )
        )
    if restart:
        size = middle(restart, "bytes") / middle(restart, "scopes")
        text = f"{short(middle(restart, 'bytes') / 2**20)} MB of checkpoint rows, {short(size)} bytes a scope"
        rows.append(
            (
                f"{short(middle(restart, 'scopes'))} at a restart",
                text,
                f"{short(middle(restart, 'agents_whole'))} s to ready",
            )
        )
    return markdown(("scopes", "size", "time"), rows) if rows else NOTHING


def million(results: Results) -> str:
    """Reckoned: cores, partitions and bandwidth at a million events a second."""
    agents = results.rounds("agents")
    if not agents:
        return NOTHING
    ingest_us, agents_us = (middle(agents, f"{role}_cpu_us") for role in ("ingest", "agents"))
    ingest, agent = (cores(us) for us in (ingest_us, agents_us))
    sizes = {name: middle(agents, f"{name}_bytes") for name in TOPICS}
    rows = [
        ("ingest workers, one core each", f"{ingest}", f"{short(ingest_us)} us an event / {BUSY:g}"),
        (
            "source partitions, at least",
            f"{2 * ingest}",
            "two a worker, so that a worker more or less moves little",
        ),
        ("agents workers, one core each", f"{agent}", f"{short(agents_us)} us an event / {BUSY:g}"),
        (
            "deltas partitions, at least",
            f"{2 * agent}",
            "two a worker; fixed for ever, so choose for the years to come",
        ),
        *(
            (f"Kafka, {name}", f"{short(size)} MB/s", f"{short(size)} bytes an event, before replication")
            for name, size in sizes.items()
        ),
    ]
    return markdown((f"at {EVENTS_PER_SECOND:,} events/s", "needs", "because"), rows)


def cores(us_per_event: float) -> int:
    """For a million events a second.

    >>> cores(7.0)
    10
    """
    return ceil(round(us_per_event * EVENTS_PER_SECOND / 1e6 / BUSY, 6))


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A plain table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))

"""State: bytes per scope, what cost per event does as scopes grow, and the size of checkpoints. In one process, without Kafka."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Final

from benchmarks.speed.ratios import ratio, short, spread
from benchmarks.speed.row import Figures, Line, Options, Row, say
from benchmarks.speed.state import event_figures, state_figures

from tokenfuse.runtime.statelog.rows import ROW_BYTES_MAX

SCOPES: Final = 1_000_000
SCOPE_BYTES, GROWTH = 1024, 1.5


def measure(options: Options) -> Iterator[Figures]:
    """One round; it is the same every time but for the machine. Memory is measured in a process that did nothing before."""
    scopes = max(int(SCOPES * options.scale), 100)
    while True:
        few, many, state = (
            _alone(event_figures, 100),
            _alone(event_figures, scopes),
            _alone(state_figures, scopes),
        )
        say(f"{state['resident_bytes_per_scope']} bytes a scope, {many['cpu_us_per_row']} us a row")
        yield state | {
            "event_us_few": few["cpu_us_per_event"], "row_us_few": few["cpu_us_per_row"],
            "event_us": many["cpu_us_per_event"], "row_us": many["cpu_us_per_row"],
        }  # fmt: skip


def _alone(figures: Callable[[int], dict[str, Any]], scopes: int) -> dict[str, Any]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(figures, scopes).result()


def lines(rounds: Sequence[Figures]) -> list[Line]:
    """Bytes, growth and checkpoints against what is to be reached."""
    every = {name: spread([figures[name] for figures in rounds]) for name in rounds[0]}
    size, row = every["resident_bytes_per_scope"], every["largest_row_bytes"]
    growth = ratio([f["row_us"] for f in rounds], [f["row_us_few"] for f in rounds])
    share = row.median / ROW_BYTES_MAX
    return [
        Line(
            f"resident bytes a scope, {short(every['scopes'].median)} scopes; of them in arrays: "
            f"{short(every['array_bytes_per_scope'].median)}",
            f"<= {SCOPE_BYTES:,}", short(size.median), f"{size.median / SCOPE_BYTES:.3g}x", str(size),
            size.median <= SCOPE_BYTES,
        ),
        Line(
            f"us of CPU to add a row of a block; with 100 scopes: {short(every['row_us_few'].median)}",
            f"<= {GROWTH}x", short(every["row_us"].median), f"{short(growth.median)}x", str(growth),
            growth.median <= GROWTH,
        ),
        Line(
            f"us of CPU an event, 10,000 calls a block; with 100 scopes, which repeat all the time: "
            f"{short(every['event_us_few'].median)}",
            "", short(every["event_us"].median), "", str(every["event_us"]),
        ),
        Line(
            f"bytes of the largest row of a checkpoint; all {short(every['checkpoint_rows'].median)} rows: "
            f"{every['checkpoint_bytes'].median / 1e6:.3g} MB",
            f"<= {ROW_BYTES_MAX:,}", short(row.median), f"{share:.3g}x", str(row), share <= 1,
        ),
        Line("CPU seconds of a restart from it", "", short(every["restore_cpu_s"].median), "", str(every["restore_cpu_s"])),
    ]  # fmt: skip


ROW: Final = Row("state", "State", measure, lines)

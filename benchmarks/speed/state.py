"""The agents' state in one process, without Kafka: bytes per scope, CPU per event as scopes grow, checkpoints, restart.

    python -m benchmarks.speed.state --scopes 1000000

99 % of the scopes are users and runs, the rest tenants; every scope has calls in two hours of one day, so that it has
panes of every granularity of its kind.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tokenfuse.contracts.block import FORMAT, DeltaBlock
from tokenfuse.decide.agent import AgentConfig, AgentCore
from tokenfuse.ingest.aggregate import Aggregator
from tokenfuse.ingest.call import Call

T0_S: Final = 1_790_000_000
BLOCK_CALLS: Final = 10_000
SPAN_S: Final = 7200
ROUNDS: Final = 2


def state_figures(scopes: int) -> dict[str, Any]:
    """Resident bytes per scope, bytes of a whole checkpoint, its largest row, and CPU seconds of a restart from it."""
    config = AgentConfig(scopes_per_axis_max=scopes, rollup_ms=600_000)
    before = _resident_bytes()
    core = AgentCore(config, 0)
    for offset, block in enumerate(_blocks(scopes)):
        core.apply(offset, block)
    _send_rollups(core)
    held = sum(len(table.scopes) for table in core.state.tables.values())
    resident = _resident_bytes() - before
    rows = {name: core.snapshot(name) for name in core.dirty_rows()}
    arrays = sum(table.nbytes for table in core.state.tables.values())
    head, began = core.head(), time.process_time()
    AgentCore.restore(config, 0, head, rows)
    return {
        "scopes": held,
        "resident_bytes_per_scope": resident // held,
        "array_bytes_per_scope": arrays // held,
        "checkpoint_bytes": sum(map(len, rows.values())),
        "checkpoint_rows": len(rows),
        "largest_row_bytes": max(map(len, rows.values())),
        "restore_cpu_s": round(time.process_time() - began, 3),
    }


def event_figures(scopes: int) -> dict[str, Any]:
    """CPU microseconds of applying blocks, with so many scopes held already.

    Per event it depends on how often a scope repeats within a block of 10,000 calls, 100 scopes do all the time; per row
    of a block it does not.
    """
    core = AgentCore(AgentConfig(scopes_per_axis_max=max(scopes, 1000)), 0)
    blocks = list(_blocks(scopes))
    for offset, block in enumerate(blocks):
        core.apply(offset, block)
    _send_rollups(core)  # those of the scopes' beginning are no part of what further events cost
    more = list(_blocks(scopes, calls=20 * BLOCK_CALLS, after=blocks[-1]))
    began = time.process_time()
    for offset, block in enumerate(more, len(blocks)):
        core.apply(offset, block)
    spent_us = (time.process_time() - began) * 1e6
    rows = sum(len(part.dearest_id) for block in more for part in block.rows)
    return {
        "scopes": scopes,
        "cpu_us_per_event": round(spent_us / (20 * BLOCK_CALLS), 2),
        "cpu_us_per_row": round(spent_us / rows, 2),
    }


def _send_rollups(core: AgentCore) -> None:
    """In parts, as they leave a worker."""
    while core.state.take_rollups(10**9, totals_only=False, most=5000):
        pass
    core.flush(10**9)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _blocks(scopes: int, calls: int = 0, after: DeltaBlock | None = None) -> Iterator[DeltaBlock]:
    """Blocks in which every scope has `ROUNDS` calls, or so many calls over the same scopes, later."""
    people = max(scopes * 99 // 200, 1)
    count = calls or ROUNDS * people
    aggregator, a = Aggregator((), 1), after.b if after else 0
    start_ms = after.event_ms + 1000 if after else T0_S * 1000
    step_ms = SPAN_S * 1000 / (ROUNDS * people) if not calls else 0.1
    for first in range(0, count, BLOCK_CALLS):
        numbers = range(first, min(first + BLOCK_CALLS, count))
        made = [_call(n, n * 7919 % people, start_ms + int(n * step_ms), scopes) for n in numbers]
        event_ms = made[-1].time_ms
        yield DeltaBlock(
            FORMAT, 0, a, a + len(made), event_ms, event_ms, history=False, price_version="bench",
            rows=aggregator.rows(made)[0],
        )  # fmt: skip
        a += len(made)


def _call(number: int, who: int, time_ms: int, scopes: int) -> Call:
    fields: dict[str, Any] = dict.fromkeys(Call.__struct_fields__, 0)
    fields |= {
        "id": f"0b2c{number:028x}", "time_ms": time_ms, "tenant": f"tenant-{who % max(scopes // 100, 1):05d}",
        "feature": f"feature-{who % 40}", "model": f"model-{who % 4}", "prompt_template": None,
        "user": f"user-{who:07d}", "run_id": f"run-{who:07d}", "further": (), "cost_nanousd": 1_234_567 + number % 999,
        "unpriced": False, "input_tokens": 900 + number % 500, "output_tokens": 120, "retry": False, "error": False,
        "response_cache_hit": False, "tier": 1, "latency_ms": 700, "replaces": None, "parent_run_id": None,
    }  # fmt: skip
    return Call(**fields)


def main() -> None:
    """Print the figures as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scopes", type=int, default=1_000_000)
    scopes = parser.parse_args().scopes
    for size in (100, 10_000, scopes):
        print(json.dumps(event_figures(size)), flush=True)
    print(json.dumps(state_figures(scopes)))


if __name__ == "__main__":
    main()

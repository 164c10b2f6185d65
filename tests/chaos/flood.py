"""A flood of new scope values through the pure cores in one process: memory, exact totals, and what is said of it.

    python -m tests.chaos.flood --users 10000000

is the flood with the default bounds, all deltas partitions in one worker. It prints its progress and one JSON line at the end, and
ends with 1 where a total is off or memory went over `--limit-mb`. The CI runs a small one (tests/integration/test_bounds_flood.py).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY

from tokenfuse.contracts.axes import GLOBAL, OTHER
from tokenfuse.contracts.block import TICK_FORMAT, Tick, encode_block
from tokenfuse.contracts.measures import INDEX
from tokenfuse.ingest.record import Record
from tokenfuse.runtime.agents import AgentFactory, agents_spec
from tokenfuse.runtime.ingest.recipe import Recipe
from tokenfuse.runtime.settings import Settings

START_MS = 1_790_000_000_000
PER_SECOND = 20_000
CHECKPOINT_SLICES = 10
MEBIBYTE = 1024 * 1024


class Flood:
    """Events of one source partition, each with a user that never came before, and 99 % of them from one tenant."""

    def __init__(self, settings: Settings) -> None:
        self._cutter = Recipe(settings).cutter(0, 0)
        self._factory = AgentFactory(agents_spec(settings).factory.config, "signals", "rollups")
        self.agents = [self._factory.empty(number) for number in range(settings.deltas_partitions)]
        self._offsets = 0
        self.other_seen = 0

    def slice(self, first: int, count: int) -> None:
        """The events [first, first + count), and a tick."""
        now_ms = START_MS + first * 1000 // PER_SECOND
        records = [
            Record(number, now_ms, b"whale", event(number, now_ms)) for number in range(first, first + count)
        ]
        result = self._cutter.cut(self._cutter.draft(records), {})
        self._cutter.advance(result)
        tick = encode_block(Tick(TICK_FORMAT, 0, first + count, now_ms + 1000))
        for agent, block in zip(self.agents, result.blocks, strict=True):
            for value in (block, tick):
                self._read(agent.apply(self._offsets, value))
        self._offsets += 1

    def checkpoint(self) -> None:
        """Takes every changed row, as a checkpoint does: what is not taken is kept as changed."""
        for agent in self.agents:
            for row in agent.dirty_rows():
                agent.snapshot(row)
            agent.dropped_rows()
            agent.head()

    def _read(self, outputs: Any) -> None:
        for output in outputs:
            if output.topic == "rollups":
                self.other_seen += OTHER.encode() in output.key

    def calls(self, axis: str) -> int:
        """Over every scope of an axis."""
        tables = [agent.core.state.tables[axis].scopes for agent in self.agents]
        return sum(int(scopes.totals.gather(scopes.live())[:, INDEX["calls"]].sum()) for scopes in tables)

    def nanousd(self, axis: str) -> int:
        """Over every scope of an axis."""
        tables = [agent.core.state.tables[axis].scopes for agent in self.agents]
        return sum(
            int(scopes.totals.gather(scopes.live())[:, INDEX["cost_nanousd"]].sum()) for scopes in tables
        )

    def scopes(self, axis: str) -> int:
        """Held of an axis."""
        return sum(len(agent.core.state.tables[axis].scopes) for agent in self.agents)


def event(number: int, now_ms: int) -> bytes:
    """One call of a new user; one in a hundred is another tenant's."""
    tenant = "whale" if number % 100 else f"minnow-{number // 100 % 50}"
    return (
        f'{{"id":"e{number}","time":{now_ms / 1000},"tenant":"{tenant}","feature":"chat","model":"gpt-4o",'
        f'"user":"user-{number}","input_tokens":100,"output_tokens":10,"cost_usd":"0.001"}}'
    ).encode()


def peak_bytes() -> int:
    """The most memory that this process had; getrusage would count what its parent held when it forked."""
    (line,) = [
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")
    ]
    return int(line.split()[1]) * 1024


def run(users: int, settings: Settings) -> dict[str, Any]:
    """What came of it."""
    flood, started, said = Flood(settings), time.process_time(), time.monotonic()
    before = peak_bytes()
    for number, first in enumerate(range(0, users, PER_SECOND)):
        flood.slice(first, min(PER_SECOND, users - first))
        if number % CHECKPOINT_SLICES == 0:
            flood.checkpoint()
        if time.monotonic() - said > 10:
            said = time.monotonic()
            done = {"users": first, "scopes": flood.scopes("user"), "peak_mb": peak_bytes() // MEBIBYTE}
            print(json.dumps(done), file=sys.stderr, flush=True)
    axes = ("user", "tenant", GLOBAL)
    return {
        "users": users,
        "exact": all((flood.calls(a), flood.nanousd(a)) == (users, users * 1_000_000) for a in axes),
        "scopes": flood.scopes("user"),
        "folded": REGISTRY.get_sample_value("tokenfuse_folded_total", {"axis": "user"}) or 0,
        "other_rollups": flood.other_seen,
        "before_mb": before // MEBIBYTE,
        "peak_mb": peak_bytes() // MEBIBYTE,
        "cpu_us_per_event": round((time.process_time() - started) * 1e6 / users, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=10_000_000)
    parser.add_argument("--scopes-max", type=int, default=Settings().scopes_per_axis_max)
    parser.add_argument("--partitions", type=int, default=Settings().deltas_partitions)
    parser.add_argument("--limit-mb", type=int, default=16_000)
    given = parser.parse_args()
    settings = Settings(deltas_partitions=given.partitions, scopes_per_axis_max=given.scopes_max)
    found = run(given.users, settings)
    print(json.dumps(found))
    sys.exit(0 if found["exact"] and found["peak_mb"] <= given.limit_mb else 1)


if __name__ == "__main__":
    main()

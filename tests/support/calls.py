"""Calls and blocks for tests of what comes after ingest."""

from __future__ import annotations

from tokenfuse.contracts.block import FORMAT, TICK_FORMAT, DeltaBlock, Tick
from tokenfuse.ingest.aggregate import Aggregator
from tokenfuse.ingest.call import Call

T0_MS = 1_790_000_000_000
"""A Monday-ish moment in 2026; a multiple of 10 s."""


def call(number: int, at_s: float, **changes: object) -> Call:
    """One plausible call, at_s seconds after T0."""
    fields: dict[str, object] = {
        "id": f"call-{number}",
        "revision": 0,
        "time_ms": T0_MS + int(at_s * 1000),
        "tenant": "acme",
        "feature": "chat",
        "model": "gpt-4o",
        "prompt_template": "greet",
        "user": "ann",
        "run_id": None,
        "further": (),
        "cost_nanousd": 1_000_000,
        "unpriced": False,
        "input_tokens": 1000,
        "output_tokens": 100,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "reasoning_tokens": 0,
        "context_tokens": 0,
        "retry": False,
        "error": False,
        "response_cache_hit": False,
        "tool_calls": 0,
        "tier": 1,
        "latency_ms": 500,
        "depth": 0,
        "step": 0,
    }
    return Call(**(fields | changes))  # type: ignore[arg-type]


class BlockMaker:
    """Numbers slices of calls of one source partition, as ingest would."""

    def __init__(self, partitions: int = 1, source: int = 0, further: tuple[str, ...] = ()) -> None:
        """Start at offset 0."""
        self._aggregator = Aggregator(further, partitions)
        self._source = source
        self._position = 0
        self._event_ms = -1

    def blocks(
        self, calls: list[Call], *, history: bool = False, record_ms: int | None = None
    ) -> list[DeltaBlock]:
        """One block per output partition."""
        a, self._position = self._position, self._position + max(len(calls), 1)
        self._event_ms = max([self._event_ms, *(c.time_ms for c in calls)])
        clock = self._event_ms if record_ms is None else record_ms
        return [
            DeltaBlock(FORMAT, self._source, a, self._position, clock, self._event_ms, history, "test", rows)
            for rows in self._aggregator.rows(calls)
        ]

    def tick(self, at_s: float) -> Tick:
        """Time passes, at_s seconds after T0."""
        return Tick(TICK_FORMAT, self._source, self._position, T0_MS + int(at_s * 1000))

"""What happens in the judged weeks that nobody should be woken for. It is in the run and in the counterfactual."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from benchmarks.detection.calls import Calls
from benchmarks.detection.clock import DAY_MS, END_MS, HOUR_MS, JUDGED_MS, MINUTE_MS, stream
from benchmarks.detection.company import AGENT, TENANTS, Company
from benchmarks.detection.traces import Floats

SKEW_MS: Final = 7 * MINUTE_MS
LAUNCH_MORE: Final = 0.5
HOLIDAY_SHARE: Final = 0.35
LAUNCH_MS: Final = 5 * DAY_MS

QUIET: Final = frozenset({"missing_hours", "gateway_gap", "clock_skew", "backfill"})
"""Kinds during which no incident begins: what is not there cannot be found."""


@dataclass(frozen=True)
class Harmless:
    """One event; `cells` are the indices that it touches."""

    kind: str
    start_ms: int
    end_ms: int
    cells: tuple[int, ...]

    def label(self) -> dict[str, Any]:
        """As in the label file."""
        return asdict(self)


def plan(company: Company) -> tuple[Harmless, ...]:
    """One of each kind, at a time and place by the seed."""
    rng = stream(company.seed, "harmless")
    usual = [i for i, cell in enumerate(company.cells) if cell.tenant < TENANTS]
    asked = [i for i in usual if company.cells[i].feature != AGENT]
    newcomer = tuple(i for i, cell in enumerate(company.cells) if cell.tenant == TENANTS)
    launched = int(rng.choice(asked))
    joins_ms = _at(rng, 2, 6)
    return (
        _make("missing_hours", _at(rng, 1, 13), int(rng.integers(2, 5)) * HOUR_MS, tuple(usual)),
        _make(
            "gateway_gap",
            _at(rng, 1, 13),
            int(rng.integers(25, 90)) * MINUTE_MS,
            _tenants(rng, company, usual, 8),
        ),
        _make("clock_skew", _at(rng, 1, 13), 8 * HOUR_MS, _tenants(rng, company, usual, 5)),
        _make("holiday", _midnight(_at(rng, 1, 13)), DAY_MS, _tenants(rng, company, usual, 12)),
        Harmless("launch", start := _at(rng, 1, 8), min(start + LAUNCH_MS, END_MS), (launched,)),
        _make("large_call", _at(rng, 1, 13), MINUTE_MS, (int(rng.choice(asked)),)),
        _make("backfill", _at(rng, 1, 13), HOUR_MS, _tenants(rng, company, usual, 3)),
        Harmless("new_tenant", joins_ms, END_MS, newcomer),
    )


def rate(events: tuple[Harmless, ...], cell: int, at_ms: Floats) -> Floats:
    """Factor on the cell's calls per window, float64[w]; at_ms are the windows' starts."""
    factor = np.ones(len(at_ms))
    for event in events:
        if cell in event.cells and event.kind == "launch":
            done = np.clip((at_ms - event.start_ms) / LAUNCH_MS, 0, 1)
            factor *= 1 + LAUNCH_MORE * done
        elif cell in event.cells and event.kind == "holiday":
            factor[(at_ms >= event.start_ms) & (at_ms < event.end_ms)] *= HOLIDAY_SHARE
        elif cell in event.cells and event.kind == "new_tenant":
            factor[at_ms < event.start_ms] = 0
    return factor


def happen(events: tuple[Harmless, ...], calls: Calls) -> Calls:
    """Calls after gaps, skews, late deliveries and the one large call."""
    for event in events:
        inside = (calls["time_ms"] >= event.start_ms) & (calls["time_ms"] < event.end_ms)
        inside &= np.isin(calls["cell"], event.cells)
        if event.kind in ("missing_hours", "gateway_gap"):
            calls = calls[~inside]
        elif event.kind == "clock_skew":
            # Ahead: the other producers' calls are late then, by the newest event time.
            calls["time_ms"][inside] += SKEW_MS
        elif event.kind == "backfill":
            calls["arrive_ms"][inside] += HOUR_MS
        elif event.kind == "large_call":
            _enlarge(calls, event)
    return calls


def _enlarge(calls: Calls, event: Harmless) -> None:
    """The cell's next call is as long as a context window allows."""
    later = np.flatnonzero((calls["cell"] == event.cells[0]) & (calls["time_ms"] >= event.start_ms))
    if len(later):
        at = later[calls["time_ms"][later].argmin()]
        calls["input"][at], calls["output"][at], calls["cached"][at] = 190_000, 8_000, 0


def _make(kind: str, start_ms: int, length_ms: int, cells: tuple[int, ...]) -> Harmless:
    return Harmless(kind, start_ms, start_ms + length_ms, cells)


def _at(rng: np.random.Generator, first_day: float, last_day: float) -> int:
    return JUDGED_MS + int(rng.uniform(first_day, last_day) * DAY_MS) // MINUTE_MS * MINUTE_MS


def _midnight(at_ms: int) -> int:
    return JUDGED_MS + (at_ms - JUDGED_MS) // DAY_MS * DAY_MS


def _tenants(rng: np.random.Generator, company: Company, cells: list[int], count: int) -> tuple[int, ...]:
    """Cells of some tenants, as behind one gateway or in one country."""
    chosen = set(rng.permutation(TENANTS)[:count].tolist())
    return tuple(i for i in cells if company.cells[i].tenant in chosen)

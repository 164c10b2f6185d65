"""Burn rates on panes: which windows, when a budget is gone, and when the alert ends."""

from __future__ import annotations

from typing import Any

from tests.support.calls import T0_MS
from tests.unit.decide.rule_bench import COMMON, Bench, told

from tokenfuse.contracts.ruleset import BurnRateRule

DAY_S = 86_400
MIDNIGHT_S = DAY_S - T0_MS // 1000 % DAY_S


def burn(**changes: Any) -> BurnRateRule:
    fields: dict[str, Any] = {
        "id": "burn", "kind": "burn_rate", "driver": "cost", "axis": "tenant", "window": "day",
        "budget_nanousd": 86_400_000, "factor": 10.0, "long_seconds": 3600, "short_seconds": 300,
    }  # fmt: skip
    return BurnRateRule(**(COMMON | fields | changes))


def test_a_day_burnt_eleven_times_too_fast_says_when_it_is_exhausted_and_ends_with_the_short_window() -> None:
    """The plan is 1,000 a second, so 3.6 M an hour."""
    bench = Bench(burn())
    assert told(bench.at(MIDNIGHT_S + 600, cost_nanousd=36_000_000)) == []
    found = bench.at(MIDNIGHT_S + 650, cost_nanousd=3_600_000)
    assert [(v.state, v.value, v.excess_nanousd) for v in found] == [("breach", 11.0, 36_000_000)]
    # 46.8 M are left, at 11,000 a second
    assert found[0].exhausted_ms == T0_MS + (MIDNIGHT_S + 650) * 1000 + 4_254_000
    ended = bench.wait(MIDNIGHT_S + 660, MIDNIGHT_S + 1200)
    assert ended[-1].state == "clear"
    assert 270 <= ended[-1].at_ms // 1000 - (T0_MS // 1000 + MIDNIGHT_S + 650) <= 310


def test_a_table_says_whose_budget_is_how_large() -> None:
    bench = Bench(burn(budget_nanousd=None, budgets={"bolt": 86_400_000}))
    assert told(bench.at(MIDNIGHT_S + 600, cost_nanousd=10**12)) == []
    assert told(bench.at(MIDNIGHT_S + 610, tenant="bolt", cost_nanousd=40_000_000)) == ["breach tenant=bolt"]


def test_a_scope_younger_than_the_pace_is_not_judged_by_it() -> None:
    told_of = []
    for pace_s in (0, 7 * DAY_S):
        bench = Bench(burn(pace_seconds=pace_s))
        told_of.append(told(bench.at(MIDNIGHT_S + 600, cost_nanousd=40_000_000)))
    assert told_of == [["breach tenant=acme"], []]


def test_a_verdict_survives_a_restart_and_is_not_told_twice() -> None:
    bench = Bench(burn())
    assert told(bench.at(MIDNIGHT_S + 600, cost_nanousd=40_000_000)) == ["breach tenant=acme"]
    bench.restart()
    assert told(bench.at(MIDNIGHT_S + 610, cost_nanousd=1)) == []

"""Bursts on open panes: how soon, and what keeps quiet."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.calls import T0_MS
from tests.unit.decide.rule_bench import COMMON, Bench, told

from tokenfuse.contracts.ruleset import BurstRule

DAY_S = 86_400


def rule(**changes: Any) -> BurstRule:
    fields: dict[str, Any] = {
        "id": "b", "kind": "burst", "driver": "volume", "axis": "tenant", "windows_seconds": (10, 20, 60, 300), "factor": 4.0,
        "surprise_min": 14.0, "times_record": 1.5, "calls_min": 12, "floor_nanousd_per_hour": 10**9,
    }  # fmt: skip
    return BurstRule(**(COMMON | fields | changes))


def grown(calls_per_minute: int = 5, minutes: int = 60) -> tuple[Bench, float]:
    """A scope that is a day old and had an even hour; and the time now."""
    bench = Bench(rule())
    bench.at(0)
    for minute in range(minutes):
        bench.at(DAY_S + 60 * minute, calls_per_minute)
    return bench, DAY_S + 60 * minutes


def test_twenty_times_the_usual_calls_are_told_within_ten_seconds_of_event_time() -> None:
    """300 calls an hour become 6,000; blocks come twice a second."""
    bench, now = grown()
    for step in range(60):
        found = bench.at(now + step / 2, 1 if step % 6 else 2)
        if found:
            break
    assert told(found) == ["breach tenant=acme"]
    assert step / 2 <= 10
    assert found[0].starts_ms <= T0_MS + int(now * 1000)


@pytest.mark.parametrize(("calls", "cost"), [(1, 5 * 10**9), (11, 10**9)])
def test_a_few_dear_calls_are_no_burst(calls: int, cost: int) -> None:
    bench, now = grown()
    assert bench.at(now, calls, cost_nanousd=cost) == []


def test_calls_that_come_an_hour_late_are_no_burst() -> None:
    bench, now = grown()
    bench.at(now)
    assert bench.block(*(bench.call(now - 3600 + n / 10) for n in range(300))) == []


def test_the_first_day_is_silent_and_so_is_what_yesterday_held() -> None:
    bench = Bench(rule())
    for minute in range(60):
        assert bench.at(60 * minute, 5) == []
    assert bench.at(3600, 200) == []
    for minute in range(60):
        bench.at(DAY_S + 60 * minute, 5)
    assert bench.at(DAY_S + 3600, 250) == []
    bench.restart()
    assert told(bench.at(DAY_S + 3610, 100)) == ["breach tenant=acme"]


def test_a_burst_that_ended_is_cleared_and_does_not_become_the_record() -> None:
    bench, now = grown()
    assert told(bench.at(now, 200)) == ["breach tenant=acme"]
    assert told(bench.wait(now + 10, now + 400))[-1] == "clear tenant=acme"
    for minute in range(60):
        bench.at(now + DAY_S + 60 * minute, 5)
    assert told(bench.at(now + DAY_S + 3600, 100)) == ["breach tenant=acme"]

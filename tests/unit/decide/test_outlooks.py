"""What a month will come to is said with a budget's verdict, from the days that its scope has had."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.calls import T0_MS
from tests.unit.decide.rule_bench import COMMON, Bench

from tokenfuse.contracts.ruleset import BurnRateRule, CapRule

DAY_S = 86_400
NOON_S = DAY_S - T0_MS // 1000 % DAY_S + DAY_S // 2
USD = 1_000_000_000


def budget(**changes: Any) -> CapRule:
    fields: dict[str, Any] = {
        "id": "budget", "kind": "cap", "driver": "volume", "axis": "tenant", "window": "month", "limit_nanousd": 45 * USD,
    }  # fmt: skip
    return CapRule(**(COMMON | fields | changes))


def burn(**changes: Any) -> BurnRateRule:
    fields: dict[str, Any] = {
        "id": "burn", "kind": "burn_rate", "driver": "cost", "axis": "tenant", "window": "month",
        "budget_nanousd": 31 * USD, "factor": 1.5, "long_seconds": 6 * 3600, "short_seconds": 1800,
    }  # fmt: skip
    return BurnRateRule(**(COMMON | fields | changes))


def spend_ten_dollars_a_day(bench: Bench, days: int) -> list[Any]:
    """At noon UTC; returns what was said of the last day."""
    found: list[Any] = []
    for day in range(days):
        found = bench.at(NOON_S + day * DAY_S, cost_nanousd=10 * USD)
    return found


def month_end(day: int) -> datetime:
    now = datetime.fromtimestamp(T0_MS / 1000 + NOON_S + day * DAY_S, UTC)
    return datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("rule", [budget(), burn()])
def test_a_budgets_verdict_says_what_the_month_will_come_to(rule) -> None:
    bench = Bench(rule)
    (verdict,) = [v for v in spend_ten_dollars_a_day(bench, 5) if v.rule == rule.id]
    end, found = month_end(4), verdict.outlook
    left_s = end.timestamp() - (T0_MS / 1000 + NOON_S + 4 * DAY_S)
    spent = 10 * USD * min(5, datetime.fromtimestamp(T0_MS / 1000 + NOON_S + 4 * DAY_S, UTC).day)

    assert found.ends_ms == end.timestamp() * 1000
    # Three whole days of ten dollars each are known, the first one was not whole.
    assert found.nanousd == pytest.approx(spent + left_s / DAY_S * 10 * USD, rel=1e-4)
    assert found.low_nanousd == found.nanousd == found.high_nanousd, "all days are alike"


def test_with_two_whole_days_nothing_is_said() -> None:
    verdicts = spend_ten_dollars_a_day(Bench(budget(limit_nanousd=35 * USD)), 4)

    assert [v.outlook for v in verdicts] == [None]


@pytest.mark.parametrize("window", ["day", "24h", "30d"])
def test_only_calendar_months_have_an_end_to_speak_of(window) -> None:
    verdicts = spend_ten_dollars_a_day(Bench(budget(window=window, limit_nanousd=USD)), 6)

    assert all(v.outlook is None for v in verdicts)


def test_the_month_ends_in_the_tenants_zone() -> None:
    bench = Bench(budget(), time_zones={"acme": "Asia/Tokyo"})
    (verdict,) = spend_ten_dollars_a_day(bench, 5)

    assert verdict.outlook.ends_ms == (month_end(4).timestamp() - 9 * 3600) * 1000


def test_the_outlook_is_the_same_after_a_restart() -> None:
    first, second = Bench(budget()), Bench(budget())
    spend_ten_dollars_a_day(first, 4)
    spend_ten_dollars_a_day(second, 4)
    second.restart()
    said = [b.at(NOON_S + 4 * DAY_S, cost_nanousd=10 * USD) for b in (first, second)]

    assert said[0] == said[1]
    assert said[0][0].outlook is not None

"""Monthly budgets between alerts: whose, how much, and what they will come to."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.unit.decide.decider_log import cap
from tests.unit.decide.test_outlooks import burn

from tokenfuse.contracts.ruleset import RuleSet
from tokenfuse.decide.budgets import axes_of, outlooks

USD = 1_000_000_000
HOUR_S = 3600
DAY_S = 86_400
NOW_S = int(datetime(2025, 11, 21, 12, tzinfo=UTC).timestamp())


def month(name: str, **changes):
    return cap(name, **({"window": "month", "limit_nanousd": None} | changes))


def steady(usd_an_hour: int, days: int, until_s: int = NOW_S) -> dict[int, int]:
    first = until_s // DAY_S * DAY_S - days * DAY_S
    return dict.fromkeys(range(first, until_s, HOUR_S), usd_an_hour * USD)


def seen(rules, spend, **changes):
    return outlooks(RuleSet(id="r", rules=tuple(rules), **changes), spend, NOW_S)


@pytest.mark.parametrize(
    ("budget", "judgement"), [(400, "over"), (700, "will_be_over"), (720, "within"), (1000, "within")]
)
def test_a_steady_month_comes_to_its_hours_and_is_judged_by_them(budget, judgement) -> None:
    (found,) = seen(
        [month("m", limits={"acme": budget * USD})],
        {("tenant", "acme"): steady(1, 28), ("tenant", "x"): steady(9, 28)},
    )

    assert found.spent_nanousd == (20 * 24 + 12) * USD
    assert (found.low_nanousd, found.forecast_nanousd, found.high_nanousd) == (720 * USD,) * 3
    assert found.judgement == judgement


def test_days_that_differ_make_a_range_that_may_hold_the_budget() -> None:
    hours = steady(1, 28)
    uneven = {hour_s: nanousd * (2 if hour_s // DAY_S % 2 else 1) for hour_s, nanousd in hours.items()}
    (found,) = seen([month("m", limit_nanousd=1080 * USD)], {("tenant", "acme"): uneven})

    assert found.judgement == "may_be_over"
    assert found.low_nanousd < found.forecast_nanousd < found.high_nanousd


def test_the_budget_is_the_largest_monthly_limit_of_the_scope() -> None:
    rules = [
        month("half", limits={"acme": 50 * USD}), month("whole", limits={"acme": 100 * USD}),
        cap("day", window="day", limit_nanousd=10**15), burn(budgets={"acme": 100 * USD}, match="a*"),
        month("other", axis="feature", limit_nanousd=7 * USD), month("none", match="z*", limit_nanousd=9 * USD),
    ]  # fmt: skip
    spend = {
        ("tenant", "acme"): steady(1, 1),
        ("tenant", "~other/3"): steady(1, 1),
        ("feature", "chat"): steady(1, 1),
    }

    assert axes_of(RuleSet(id="r", rules=tuple(rules))) == {"tenant", "feature"}
    assert [(b.value, b.budget_nanousd // USD) for b in seen(rules, spend)] == [("chat", 7), ("acme", 100)]


def test_a_scope_of_two_whole_days_has_no_forecast_yet() -> None:
    hours = steady(1, 3)
    del hours[min(hours)]  # so the first day was not whole
    (found,) = seen([month("m", limit_nanousd=1000 * USD)], {("tenant", "acme"): hours})

    assert (found.forecast_nanousd, found.low_nanousd, found.judgement) == (None, None, "too_young")


def test_a_tenants_month_is_that_of_its_zone_and_what_comes_later_is_not_counted() -> None:
    hours = steady(1, 28) | {NOW_S + HOUR_S: 10**15}
    (found,) = seen(
        [month("m", limit_nanousd=1000 * USD)], {("tenant", "acme"): hours}, time_zones={"acme": "Asia/Tokyo"}
    )

    assert found.spent_nanousd == (20 * 24 + 12 + 9) * USD
    assert found.ends_s == datetime(2025, 11, 30, 15, tzinfo=UTC).timestamp()

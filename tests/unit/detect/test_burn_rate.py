"""Burn rate: both windows, the plan, and what is left of the budget."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tokenfuse.contracts.ruleset import BurnRateRule
from tokenfuse.detect.burn_rate import Budgets, BurnScore, burn_rate
from tokenfuse.detect.cap import NO_LIMIT

PERIOD_S = 720_000
"""So long that a budget of 720,000 is planned at 1 nano-dollar a second."""


def rule(**changes: Any) -> BurnRateRule:
    fields: dict[str, Any] = {
        "id": "burn", "kind": "burn_rate", "driver": "cost", "maturity": "stable", "axis": "tenant", "severity": "page",
        "mode": "warn", "window": "month", "factor": 10.0, "long_seconds": 3600, "short_seconds": 300,
    }  # fmt: skip
    return BurnRateRule(**(fields | changes))


def score(long: int, short: int, spent: int = 0, budget: int = PERIOD_S, **changes: Any) -> BurnScore:
    budgets = Budgets(*(np.array([n]) for n in (budget, spent, PERIOD_S, PERIOD_S // 2)))
    return burn_rate(np.array([long]), np.array([short]), np.array([long / 3600]), budgets, rule(**changes))


@pytest.mark.parametrize(
    ("long", "short", "fires"),
    [
        (36_001, 3001, True),
        (36_000, 3001, False),
        (36_001, 3000, False),
        (360_000, 0, False),
        (0, 30_000, False),
    ],
)
def test_both_windows_must_burn_faster_than_the_factor(long: int, short: int, fires: bool) -> None:
    assert score(long, short).fires.tolist() == [fires]


def test_a_budget_that_lasts_to_the_end_of_its_period_at_this_pace_is_not_told() -> None:
    """Twice the plan with half of the period left, and nothing spent before."""
    assert score(7200, 600, factor=1.5).fires.tolist() == [False]
    assert score(7200, 600, spent=1, factor=1.5).fires.tolist() == [True]


def test_an_excess_below_the_floor_is_not_told() -> None:
    assert score(39_600, 3300, floor_nanousd=36_001).fires.tolist() == [False]
    assert score(39_600, 3300, floor_nanousd=36_000).fires.tolist() == [True]


def test_it_says_how_long_the_budget_lasts() -> None:
    assert score(36_000, 3001, spent=PERIOD_S - 600).lasts_s.tolist() == [60.0]
    assert score(36_000, 3001, spent=PERIOD_S + 5).lasts_s.tolist() == [0.0]
    assert score(0, 0).lasts_s.tolist() == [float("inf")]


def test_a_scope_without_a_budget_never_burns_one_and_a_budget_of_nothing_is_gone_at_once() -> None:
    assert score(10**12, 10**12, budget=NO_LIMIT).fires.tolist() == [False]
    assert score(1, 1, budget=0).fires.tolist() == [True]

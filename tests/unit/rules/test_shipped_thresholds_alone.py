"""Thresholds of shipped rules that traffic seldom meets alone: each decides between two figures that differ in nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.unit.rules.test_shipped_thresholds import EXEMPT, RULES, broken

from tokenfuse.detect.agent import over
from tokenfuse.detect.burn_rate import Budgets, burn_rate
from tokenfuse.detect.burst import burst
from tokenfuse.detect.spike import spike_of_total
from tokenfuse.detect.volume import PRIOR_CALLS, VolumeScores, exceeds
from tokenfuse.rules.loader import load

USD = 1_000_000_000
DAY_S = 86_400
SHIPPED = {rule.id: rule for rule in load(RULES).rules}
Pair = Callable[[Any], list[bool]]
"""Whether a rule fires on the larger and on the smaller of two figures."""


def calls(larger: int, usual: float, phi: float = 0.5, record: int = 0) -> Pair:
    """A window of ten seconds with so many dear calls, and with one less."""

    def fires(rule: Any) -> list[bool]:
        seen = np.array([larger, larger - 1]), np.array([50 * USD, 50 * USD])
        likely = np.full(2, usual), np.zeros(2)
        return list(burst(seen, likely, np.full(2, phi), np.full(2, record), 10, rule).fires)

    return fires


def rate(usd_per_hour: int) -> Pair:
    """Forty calls within five minutes at such a rate, and at a slightly lower one."""

    def fires(rule: Any) -> list[bool]:
        nanousd = -(-usd_per_hour * USD // 12)
        seen, likely = (np.full(2, 40), np.array([nanousd, nanousd * 99 // 100])), (np.ones(2), np.zeros(2))
        return list(burst(seen, likely, np.full(2, 0.5), np.zeros(2, np.int64), 300, rule).fires)

    return fires


def window(usd: float) -> Pair:
    """Forty calls within ten seconds that cost so much, and a cent less."""

    def fires(rule: Any) -> list[bool]:
        spent = np.array([usd * USD, (usd - 0.01) * USD]).astype(np.int64)
        likely = np.ones(2), np.zeros(2)
        return list(
            burst((np.full(2, 40), spent), likely, np.full(2, 0.5), np.zeros(2, np.int64), 10, rule).fires
        )

    return fires


def pane(usd: float, panes: tuple[int, int] = (1000, 1000), less: float = 0.01) -> Pair:
    """A pane that costs so much after panes without traffic."""

    def fires(rule: Any) -> list[bool]:
        spent = np.array([usd * USD, (usd - less) * USD]).astype(np.int64)
        return list(spike_of_total(spent, np.zeros(2, np.int64), np.array(panes), rule).fires)

    return fires


def run(usd: float) -> Pair:
    """A run far over its limit that costs so much, and a cent less."""

    def fires(rule: Any) -> list[bool]:
        cost = np.array([usd * USD, (usd - 0.01) * USD]).astype(np.int64)
        return list(over(np.full(2, 10**9), np.ones(2), cost, rule))

    return fires


def burn(budget_usd: int, planned_usd: float) -> Pair:
    """A long window that costs five dollars more than the plan, and a cent less."""

    def fires(rule: Any) -> list[bool]:
        long = ((np.array([5.0, 4.99]) + planned_usd) * USD).astype(np.int64)
        each = np.ones(2, np.int64)
        budgets = Budgets(each * budget_usd * USD, 0 * each, each * 30 * DAY_S, each * 29 * DAY_S)
        return list(burn_rate(long, long, np.full(2, 1e9), budgets, rule).fires)

    return fires


def surge(larger: int) -> Pair:
    """So many calls in a window that usually has five, and one less."""

    def fires(rule: Any) -> list[bool]:
        seen = np.array([larger, larger - 1]) + PRIOR_CALLS
        return list(exceeds(rule, VolumeScores(seen, np.full(2, 5.0), np.ones(2, np.bool_)), np.full(2, 5.0)))

    return fires


ALONE: dict[tuple[str, str], Pair] = {
    ("burst.tenant", "calls_min"): calls(12, 0.05),
    ("burst.tenant", "factor"): calls(121, 30, phi=0.01),
    ("burst.tenant", "surprise_min"): calls(18, 1),
    ("global-burst", "calls_min"): calls(12, 0.05),
    ("global-burst", "factor"): calls(121, 30, phi=0.01),
    ("global-burst", "surprise_min"): calls(18, 1),
    ("user-burst", "calls_min"): calls(30, 1),
    ("user-burst", "factor"): calls(401, 100, phi=0.01),
    ("user-burst", "surprise_min"): calls(33, 2.38),
    ("user-burst", "times_record"): calls(33, 1, record=20),
    ("user-burst", "floor_nanousd_per_hour"): rate(30),
    ("burst.tenant", "floor_nanousd_per_hour"): rate(10),
    ("global-burst", "floor_nanousd_per_hour"): rate(10),
    ("burst.tenant", "floor_nanousd"): window(0.25),
    ("global-burst", "floor_nanousd"): window(0.25),
    ("hourly-spike.tenant", "floor_nanousd"): pane(5),
    ("hourly-spike.tenant", "history_panes_min"): pane(100, panes=(24, 23)),
    ("daily-spike.tenant", "floor_nanousd"): pane(20),
    ("daily-spike.tenant", "history_panes_min"): pane(100, panes=(7, 6)),
    ("run-depth-unusual", "floor_nanousd"): run(0.05),
    ("run-seconds", "floor_nanousd"): run(0.5),
    ("user-runs", "floor_nanousd"): run(5),
    ("feature-fan-out", "floor_nanousd"): run(0.5),
    ("volume-surge.tenant", "calls_min"): surge(20),
    ("volume-hours.tenant", "calls_min"): surge(20),
    ("monthly-burn@6", "floor_nanousd"): burn(60, 0.5),
    ("monthly-burn@1", "floor_nanousd"): burn(5, 0.5),
}


def test_every_threshold_that_traffic_does_not_hold_is_held_here():
    assert ALONE.keys() >= {(rule, field) for rule, fields in EXEMPT.items() for field in fields}


@pytest.mark.parametrize(("rule", "field"), list(ALONE))
def test_a_threshold_decides_between_two_figures_and_broken_by_a_fifth_it_decides_otherwise(rule, field):
    pair, shipped = ALONE[rule, field], SHIPPED[rule]
    assert pair(shipped) == [True, False]
    assert any(pair(broken(shipped, field, factor)) != [True, False] for factor in (0.8, 1.2))

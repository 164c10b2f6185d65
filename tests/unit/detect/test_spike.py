"""An hour over three times the mean of the hours that the scope has existed for."""

from __future__ import annotations

import numpy as np
import pytest

from tokenfuse.contracts.ruleset import SpikeRule
from tokenfuse.detect.spike import spike

USD = 10**9


def rule(**changes) -> SpikeRule:
    fields = {
        "id": "hourly", "kind": "spike", "driver": "volume", "maturity": "stable", "axis": "tenant", "severity": "page",
        "mode": "warn", "pane": "1h", "factor": 3.0, "history_panes": 168, "history_panes_min": 24, "floor_nanousd": USD,
    }  # fmt: skip
    return SpikeRule(**(fields | changes))


def judge(current: int, history: list[int], age: int, **changes):
    return spike(np.array([current]), np.array(history, np.int64)[:, None], np.array([age]), rule(**changes))


@pytest.mark.parametrize(("current", "fires"), [(3 * USD, False), (3 * USD + 10, True)])
def test_three_times_the_mean_is_not_over_it_and_a_little_more_is(current, fires):
    assert judge(current, [USD] * 168, 500).fires.tolist() == [fires]


def test_hours_without_traffic_count_as_zero_once_the_scope_exists():
    score = judge(10 * USD, [0, USD] * 84, 168)

    assert score.mean_nanousd.tolist() == [USD // 2]
    assert score.value.tolist() == [20.0]
    assert score.excess_nanousd.tolist() == [10 * USD - USD // 2]


def test_hours_before_the_scope_existed_do_not_dilute_its_mean():
    score = judge(2 * USD, [0] * 138 + [USD] * 30, 30)

    assert score.mean_nanousd.tolist() == [USD]
    assert not score.fires[0]


def test_a_scope_younger_than_the_minimum_history_is_silent():
    assert [bool(judge(9 * USD, [0] * 100 + [USD] * 68, age).fires[0]) for age in (0, 23, 24)] == [
        False,
        False,
        True,
    ]


def test_an_excess_below_the_floor_is_nobodys_page():
    assert not judge(USD // 2, [1000] * 168, 168).fires[0]


def test_only_the_rules_own_history_counts():
    assert judge(USD, [100 * USD] * 10 + [USD] * 168, 500).mean_nanousd.tolist() == [USD]


def test_a_scope_that_never_spent_fires_with_a_finite_value():
    score = judge(5 * USD, [0] * 168, 168)

    assert score.fires[0]
    assert np.isfinite(score.value[0])

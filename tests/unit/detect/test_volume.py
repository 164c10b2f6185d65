"""More calls than ever: every condition is needed, cells add up to scopes, and the excess is part of the cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace

from tokenfuse.contracts.rulekinds.volume import VolumeRule
from tokenfuse.detect.volume import (
    PRIOR_CALLS,
    VolumeScores,
    exceeds,
    excess_nanousd,
    score_volume,
    threshold,
)

RULE = VolumeRule(
    id="surge", kind="drift", driver="volume", maturity="stable", axis="tenant", severity="ticket", mode="warn",
    windows_seconds=(3600,), ratio_min=1.65, record_factor=2.5, baseline_hours=336, baseline_hours_min=24, calls_min=20,
    floor_nanousd_per_day=0, evaluation_interval_seconds=60,
)  # fmt: skip
SURGE = {"calls": 60.0, "usual": 20.0, "record": 20.0, "known": True}


def fires(rule: VolumeRule = RULE, **changed: float) -> bool:
    it = SURGE | changed
    scores = VolumeScores(np.array([it["calls"]]), np.array([it["usual"]]), np.array([it["known"]], np.bool_))
    return bool(exceeds(rule, scores, np.array([it["record"]]))[0])


def test_three_times_the_usual_and_the_record_fires():
    assert fires()


@pytest.mark.parametrize(
    "changed", [{"known": False}, {"record": 0.0}, {"record": 24.1}, {"usual": 36.5}, {"calls": 49.9}]
)
def test_no_condition_can_be_left_out(changed):
    assert not fires(**changed)


@pytest.mark.parametrize(("calls", "fired"), [(19, False), (20, True)])
def test_twenty_calls_are_enough_and_nineteen_are_not(calls, fired):
    assert fires(calls=calls + PRIOR_CALLS, usual=5.0, record=5.0) is fired


def test_a_higher_floor_of_calls_silences_what_is_below_it():
    assert not fires(replace(RULE, calls_min=58))


@given(
    usual=st.floats(PRIOR_CALLS, 1e6),
    record=st.floats(PRIOR_CALLS, 1e6),
    calls=st.floats(PRIOR_CALLS + 20, 1e7),
)
def test_a_scope_with_calls_enough_fires_if_and_only_if_it_is_over_the_threshold_that_is_told(
    usual, record, calls
):
    over = calls - PRIOR_CALLS > threshold(RULE, usual, record)

    assert fires(calls=calls, usual=usual, record=record) == over or calls - PRIOR_CALLS == pytest.approx(
        threshold(RULE, usual, record)
    )


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(-1, 3)), max_size=20))
def test_the_calls_of_a_scope_are_those_of_its_cells(cells):
    calls = np.array([calls for calls, _ in cells], np.int64)
    scope = np.array([scope for _, scope in cells], np.int64)
    none = np.zeros(len(cells))

    scores = score_volume(calls, none, none, none > 0, scope, 4)

    assert scores.calls.tolist() == [
        sum(n for n, s in cells if s == number) + PRIOR_CALLS for number in range(4)
    ]


def test_what_the_hours_before_brought_counts_where_it_is_more_than_usual():
    scores = score_volume(np.array([9]), np.array([2.0]), np.array([7.0]), np.array([True]), np.array([0]), 1)

    assert scores.usual.tolist() == [7.0 + PRIOR_CALLS]


@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=9), st.integers(1, 10**6), st.floats(0, 1e6))
def test_the_excess_is_no_less_than_nothing_and_no_more_than_the_cost(cost, calls, usual):
    excess = excess_nanousd(np.array(cost, np.int64), float(calls), usual)

    assert (excess >= 0).all()
    assert (excess <= np.array(cost)).all()

"""The forecast of a period's end: exact at its end, a range around a point, and about four ends of five inside it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

from tokenfuse.detect.forecast import DAY_S, DAYS, DAYS_MIN, Z, days_left, forecast

USD = 1_000_000_000
MONDAY = 19_996  # 2024-09-30, days since the epoch
dollars = st.integers(0, 10**15)


@st.composite
def scopes(draw: st.DrawFn) -> tuple:
    n, days = draw(st.integers(1, 5)), draw(st.integers(0, DAYS))
    spent = draw(hnp.arrays(np.int64, n, elements=dollars))
    daily = draw(hnp.arrays(np.int64, (days, n), elements=dollars))
    known = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 40)))
    return spent, daily, MONDAY + draw(st.integers(0, 6)), known


moments = st.integers(1_600_000_000, 1_900_000_000)


@given(scopes(), moments, st.integers(0, 32 * DAY_S))
def test_the_range_contains_the_point_and_begins_at_what_is_spent(scope, now_s, length_s) -> None:
    spent, *past = scope
    found = forecast(spent, *past, days_left(now_s, now_s + length_s))

    assert (found.low_nanousd <= found.nanousd).all()
    assert (found.nanousd <= found.high_nanousd).all()
    assert (found.low_nanousd >= spent).all()


@given(scopes(), moments)
def test_at_the_end_of_the_period_it_is_what_was_spent(scope, now_s) -> None:
    spent, *past = scope
    found = forecast(spent, *past, days_left(now_s, now_s))

    for part in (found.nanousd, found.low_nanousd, found.high_nanousd):
        assert part.tolist() == spent.tolist()


@given(scopes(), moments, st.integers(0, 32 * DAY_S))
def test_each_scope_is_judged_for_itself(scope, now_s, length_s) -> None:
    spent, daily, first_day, known = scope
    left = days_left(now_s, now_s + length_s)
    together = forecast(spent, daily, first_day, known, left)
    for i in range(len(spent)):
        alone = forecast(spent[[i]], daily[:, [i]], first_day, known[[i]], left)
        # Sums of floats in another order: equal but for the last digits.
        np.testing.assert_allclose(alone.nanousd[0], together.nanousd[i], rtol=1e-9)
        assert bool(alone.known[0]) == bool(together.known[i])


@given(moments, st.integers(0, 40 * DAY_S))
def test_what_is_left_adds_up(now_s, length_s) -> None:
    assert np.isclose(days_left(now_s, now_s + length_s).sum(), length_s / DAY_S)


def test_days_that_are_all_alike_leave_no_doubt() -> None:
    daily = np.full((DAYS, 1), 10 * USD)
    found = forecast(np.array([70 * USD]), daily, MONDAY, np.array([DAYS]), days_left(0, 10 * DAY_S))

    assert [found.low_nanousd[0], found.nanousd[0], found.high_nanousd[0]] == [170 * USD] * 3


def test_weekends_that_are_left_cost_what_weekends_cost() -> None:
    week = np.array([10, 10, 10, 10, 10, 1, 1]) * USD
    daily = np.tile(week, 4)[:, None]
    saturday_s = (MONDAY + DAYS + 5) * DAY_S
    spent = np.array([0])
    weekend = forecast(spent, daily, MONDAY, np.array([DAYS]), days_left(saturday_s, saturday_s + 2 * DAY_S))
    after = forecast(spent, daily, MONDAY, np.array([DAYS]), days_left(saturday_s, saturday_s + 3 * DAY_S))

    assert (weekend.nanousd[0], after.nanousd[0]) == (2 * USD, 12 * USD)


def test_a_young_scope_is_judged_by_the_days_that_it_had() -> None:
    daily = np.zeros((DAYS, 3), np.int64)
    daily[-4:] = 10 * USD
    known = np.array([4, DAYS, DAYS_MIN - 1])
    found = forecast(np.zeros(3, np.int64), daily, MONDAY, known, days_left(0, 7 * DAY_S))

    assert found.nanousd[0] == 70 * USD
    assert found.nanousd[1] < 20 * USD
    assert (found.known.tolist(), found.nanousd[2]) == ([True, True, False], 0)


def test_the_range_is_that_of_the_mean_method() -> None:
    """Two values in turn for 28 days, one of which every weekday has twice: s^2 = 28 / 21."""
    daily = np.repeat(np.tile([9 * USD, 11 * USD], 2), 7)[:, None]
    found = forecast(np.array([0]), daily, MONDAY, np.array([DAYS]), days_left(0, 7 * DAY_S))
    half = Z * np.sqrt(28 / 21) * np.sqrt(7 + 49 / 28)

    np.testing.assert_allclose(found.high_nanousd[0] / USD, 70 + half, rtol=1e-6)
    np.testing.assert_allclose(found.low_nanousd[0] / USD, 70 - half, rtol=1e-6)


def test_four_of_five_ends_lie_within_the_range() -> None:
    rng = np.random.default_rng(7)
    n, left = 4000, 14
    week = np.array([1.0, 1.2, 1.1, 1.0, 0.9, 0.3, 0.2])
    days = np.tile(week, 6)[:, None] * rng.gamma(9.0, 10 / 9.0, (DAYS + left, n)) * USD
    past, future = days[:DAYS].astype(np.int64), days[DAYS:].sum(axis=0)
    now_s = (MONDAY + DAYS) * DAY_S
    found = forecast(
        np.zeros(n, np.int64), past, MONDAY, np.full(n, DAYS), days_left(now_s, now_s + left * DAY_S)
    )
    inside = ((found.low_nanousd <= future) & (future <= found.high_nanousd)).mean()

    assert 0.76 < inside < 0.84

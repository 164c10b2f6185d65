"""Absence: what is usual, what a silence costs, and what of it is told."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from tokenfuse.contracts.ruleset import AbsenceRule
from tokenfuse.detect.absence import (
    HOUR_S,
    HOURS,
    AbsenceScore,
    Silences,
    absence,
    hours_before,
    known_and_silent,
)

RULE = AbsenceRule(
    id="a", kind="absence", driver="volume", maturity="stable", axis="tenant", severity="ticket", mode="warn",
    silence_min_seconds=600, calls_min=12, record_factor=1.5, baseline_hours_min=72, floor_nanousd_per_day=0,
)  # fmt: skip
MONDAY_S = 4 * 86_400
"""1970-01-05T00:00Z."""
ALWAYS = MONDAY_S - 90 * 86_400


def hours_of(pattern: str, now_s: int) -> np.ndarray:
    """Calls of each of the two weeks' hours: always 12, or from 8 to 18, or so on workdays only."""
    starts = np.array(hours_before(now_s))
    hour, weekday = starts // HOUR_S % 24, (starts // 86_400 + 3) % 7
    works = {
        "always": hour >= 0, "days": (hour >= 8) & (hour < 18),
        "workdays": (hour >= 8) & (hour < 18) & (weekday < 5), "mondays": (weekday == 0) & (hour >= 8) & (hour < 18),
    }[pattern]  # fmt: skip
    return np.where(works, 12, 0)


def judged(
    calls: np.ndarray,
    since_s: int,
    now_s: int,
    first_s: int = ALWAYS,
    gap_s: tuple[int, int] = (0, 0),
    **changes: object,
) -> AbsenceScore:
    """One scope, silent since then."""
    known, silent = known_and_silent(np.array([first_s]), np.array([since_s]), now_s, gap_s)
    past = Silences(calls[:, None], 1000 * calls[:, None], known, silent)
    return absence(past, msgspec.structs.replace(RULE, **changes))


def at(days: int, hours: float) -> int:
    return MONDAY_S + 28 * 86_400 + days * 86_400 + round(hours * 3600)


@pytest.mark.parametrize(
    ("pattern", "since", "now", "missed", "fires"),
    [
        pytest.param("always", at(1, 3), at(1, 3.9), 10.8, False, id="below the least calls"),
        pytest.param("always", at(1, 3), at(1, 4), 12.0, True, id="an hour of an even day"),
        pytest.param("days", at(1, 17.9), at(2, 4.5), 0.0, False, id="a night, at half past four"),
        pytest.param("days", at(1, 17.9), at(2, 9), 0.0, False, id="a day that begins an hour late"),
        pytest.param("days", at(1, 17.9), at(2, 10.5), 18.0, True, id="a day that does not begin"),
        pytest.param("days", at(1, 17), at(1, 23), 0.0, False, id="a day that ends an hour early"),
        pytest.param("workdays", at(4, 18), at(7, 8.5), 0.0, False, id="a weekend"),
        pytest.param("workdays", at(4, 18), at(7, 10.5), 18.0, True, id="a Monday without calls"),
        pytest.param("mondays", at(0, 18), at(7, 17), 0.0, False, id="one day a week"),
        pytest.param("always", at(1, 3), at(8, 2.9), 1992.0, True, id="a week, nearly"),
        pytest.param("always", at(1, 3), at(8, 3), 1980.0, False, id="a week: it is gone"),
    ],
)  # fmt: skip
def test_a_silence_costs_what_is_usual_at_its_hours(
    pattern: str, since: int, now: int, missed: float, fires: bool
) -> None:
    found = judged(hours_of(pattern, now), since, now)

    assert (round(float(found.missed[0]), 6), bool(found.fires[0])) == (missed, fires)


def test_the_record_is_the_costliest_silence_of_the_two_weeks() -> None:
    """Two hours without a call, half of the one before and a third of the one after are missing."""
    now = at(1, 12)
    calls = hours_of("always", now)
    calls[200:204] = [6, 0, 0, 8]

    assert judged(calls, at(1, 9), now).threshold[0] == 1.5 * (6 + 12 + 12 + 4)
    assert not judged(calls, at(1, 9), now).fires[0]
    assert judged(calls, at(1, 7.7), now).fires[0]


def test_hours_that_nobody_watched_are_no_record() -> None:
    now, gap = at(1, 12), (at(-2, 0), at(-1, 0))
    calls = hours_of("always", now)
    calls[HOURS - 85 : HOURS - 61] = 0

    assert judged(calls, at(1, 9), now).threshold[0] == 1.5 * 24 * 12
    assert judged(calls, at(1, 9), now, gap_s=(gap[0] + HOUR_S, gap[1])).threshold[0] == 1.5 * 12
    assert judged(calls, at(1, 9), now, gap_s=gap).threshold[0] == 12


def test_a_batch_that_ran_once_is_not_expected_again() -> None:
    now = at(1, 12)
    calls = hours_of("always", now)
    calls[HOURS - 168 - 10 : HOURS - 160] = 10_000

    assert judged(calls, at(1, 11.5), now).missed[0] == 6.0


def test_a_first_free_weekend_counts_as_a_silence_until_the_second_one() -> None:
    """A tenant that came ten days ago: its only weekend says that silences are long here."""
    now = at(2, 12)
    found = judged(hours_of("workdays", now), at(2, 9), now, first_s=at(-8, 8))

    assert found.threshold[0] > 100
    assert judged(hours_of("workdays", now), at(2, 9), now).fires[0]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"baseline_hours_min": 250}, id="too few hours with calls"),
        pytest.param({"floor_nanousd_per_day": 288_001}, id="too few dollars a day"),
        pytest.param({"silence_min_seconds": 3601}, id="too short"),
        pytest.param({"calls_min": 13}, id="too few calls"),
    ],
)
def test_every_threshold_has_to_be_reached(changes: dict[str, int]) -> None:
    now, first = at(1, 4), at(-9, 3)
    calls = hours_of("always", now)
    reached = {"baseline_hours_min": 240, "floor_nanousd_per_day": 288_000, "silence_min_seconds": 3600}

    assert judged(calls, at(1, 3), now, first, **reached).fires[0]
    assert not judged(calls, at(1, 3), now, first, **(reached | changes)).fires[0]


def test_what_is_missing_is_worth_what_calls_usually_cost() -> None:
    now = at(1, 5)

    assert judged(hours_of("always", now), at(1, 3), now).missed_nanousd[0] == 24_000


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 50), min_size=HOURS, max_size=HOURS),
    st.integers(60, 167 * 60),
    st.integers(1, 300),
)
def test_a_silence_that_lasts_costs_no_less_and_never_more_than_a_week_ago_had(
    hourly: list[int], minutes: int, more: int
) -> None:
    """What the judge relies on when it leaves scopes out."""
    calls, now = np.array(hourly), at(3, 0)
    since = now - minutes * 60
    found = judged(calls, since, now)
    _, silent = known_and_silent(np.array([ALWAYS]), np.array([since]), now, (0, 0))
    longer = judged(calls, since - more, now)

    assert found.missed[0] * HOUR_S <= (np.roll(calls, 168) * silent[:, 0]).sum()
    assert longer.missed[0] * HOUR_S <= (np.roll(calls, 168) * silent[:, 0]).sum() + more * 50


def test_steady_random_calls_are_silent_for_no_false_alarm() -> None:
    """Sixty scopes of 3 to 60 calls an hour, Poisson, for a week of looks: no silence between two calls is told."""
    rng = np.random.default_rng(7)
    rates = np.linspace(3, 60, 60)
    fired = 0
    for day in range(14):
        now = at(day, 0)
        calls = rng.poisson(np.broadcast_to(rates, (HOURS, len(rates)))).astype(np.int64)
        gaps = rng.exponential(3600 / rates, (2000, len(rates))).max(axis=0).astype(np.int64)
        known, silent = known_and_silent(np.full(len(rates), ALWAYS), now - gaps, now, (0, 0))
        fired += int(absence(Silences(calls, 10**9 * calls, known, silent), RULE).fires.sum())

    assert fired == 0

"""Records of scores: what a scope has to beat by what it and its peers are known for."""

from __future__ import annotations

import numpy as np
import pytest

from tokenfuse.detect.records import DAYS, UNKNOWN, Records


def records(first_days: list[int], today: int, score: float = 2.0, fired_days_max: int = 3) -> Records:
    """Scopes that show the same score on every day from their first one to the day before `today`."""
    found = Records(1, fired_days_max)
    found.meet(np.arange(1, len(first_days) + 1))
    for day in range(min(first_days), today + 1):
        found.move(day)
        if day < today:
            found.saw(slice(0, 1), np.array([[score if day >= first else 0.0 for first in first_days]]))
    return found


def test_after_two_weeks_the_bar_is_the_largest_score_of_them():
    assert records([0], DAYS).bars()[0, 0] == pytest.approx(2.0)
    assert records([0], DAYS + 10).bars()[0, 0] == pytest.approx(2.0)


def test_in_the_first_days_of_an_installation_a_short_record_counts_for_up_to_twice():
    assert records([0], 0).bars()[0, 0] == 0
    assert records([0], 1).bars()[0, 0] == pytest.approx(2.0 * (2 - 1 / 14))
    assert records([0], 7).bars()[0, 0] == pytest.approx(2.0 * 1.5)


@pytest.mark.parametrize("days", [0, 1, 2])
def test_a_scope_that_comes_late_is_not_judged_on_its_first_days(days):
    assert records([0, 20 - days], 20).bars()[0, 1] == UNKNOWN


def test_a_scope_that_comes_late_has_a_higher_bar_until_it_is_known_for_a_week():
    after = {days: records([0, 20 - days], 20).bars()[0, 1] for days in (3, 6, 7, 14)}
    assert after == {
        3: pytest.approx(2.0 * (2 - 3 / 14 + 4 / 7)),
        6: pytest.approx(2.0 * (2 - 6 / 14 + 1 / 7)),
        7: pytest.approx(2.0 * 1.5),
        14: pytest.approx(2.0),
    }


@pytest.mark.parametrize("fired_days_max", [1, 3])
def test_days_on_which_it_fired_are_no_record_up_to_a_few(fired_days_max):
    found = records([0], 20, fired_days_max=fired_days_max)
    for day in range(20, 20 + fired_days_max + 1):
        found.move(day)
        found.saw(slice(0, 1), np.array([[9.0]]))
        found.fires(0, np.array([0]))
        before = found.bars()[0, 0]
    found.move(20 + fired_days_max + 1)
    assert (before, found.bars()[0, 0]) == (pytest.approx(2.0), pytest.approx(9.0))

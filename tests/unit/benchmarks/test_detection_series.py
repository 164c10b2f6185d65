"""The product's drift detector on one series whose change is known."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.detection import series

STEP_S = 300
DAY_ROWS = 86_400 // STEP_S
ROWS = 6 * DAY_ROWS
CHANGE = 5 * DAY_ROWS + 100


def times():
    return 1_790_035_200.0 + STEP_S * np.arange(ROWS)


def steady(seed=1):
    """A season of the day with a tenth of noise."""
    season = 100 + 20 * np.sin(2 * np.pi * np.arange(ROWS) / DAY_ROWS)
    return season * np.random.default_rng(seed).normal(1, 0.1, ROWS)


def test_a_steady_season_stays_within_six_deviations():
    assert series.scores(steady(), times()).max() < 6


@pytest.mark.parametrize("factor", [2.0, 0.3])
def test_a_change_of_level_fires_within_two_hours_in_both_directions(factor):
    values = steady()
    values[CHANGE:] *= factor

    fired = np.flatnonzero(series.scores(values, times()) > 6)

    assert CHANGE <= fired[0] <= CHANGE + 2 * 12


def test_no_score_looks_at_a_later_value():
    values = steady()
    changed = values.copy()
    changed[CHANGE:] *= 3

    before, after = (series.scores(v, times())[:CHANGE] for v in (values, changed))

    assert before.tolist() == after.tolist()


def test_the_unit_of_a_series_does_not_matter():
    first, second = (series.standard(steady() * unit, times()) for unit in (1.0, 1e6))

    assert first == pytest.approx(second)


def test_an_alert_that_stands_is_raised_again_only_by_a_larger_score():
    at = np.arange(5) * 3600.0
    later = at + np.where(np.arange(5) == 4, 3 * 86_400.0, 0.0)

    assert series.raised(np.array([0, 2.0, 1.0, 3.0, 1.0]), at).tolist() == [0, 2.0, 0, 3.0, 0]
    assert series.raised(np.array([0, 2.0, 1.0, 3.0, 1.0]), later).tolist() == [0, 2.0, 0, 3.0, 1.0]


def test_a_score_has_to_beat_the_days_before_it():
    at = np.arange(3) * 86_400.0

    # A day on which it fired is left out; of a record of one day nearly twice as much is asked.
    assert series.bars(np.array([4.9, 1.0, 1.0]), at)[1] == pytest.approx(1.3 * 4.9 * (2 - 1 / 14), rel=1e-3)
    assert series.bars(np.array([10.0, 1.0, 1.0]), at).tolist() == [5.5, 5.5, 5.5]

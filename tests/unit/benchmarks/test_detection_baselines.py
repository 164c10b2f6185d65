"""The baselines on a cost that is steady until one hour."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.detection import baselines, company, panes, simulate
from benchmarks.detection.panes import JUDGED_PANE, PANES, PANES_PER_HOUR, Scopes, end_ms

SCOPES = Scopes(({"tenant": "t01"}, {"tenant": "t02"}), np.eye(2, dtype=bool))
AT = JUDGED_PANE + 20 * PANES_PER_HOUR


@pytest.fixture(scope="module")
def cost():
    """Two scopes; the second one costs ten times as much for four days from AT on."""
    steady = np.random.default_rng(1).gamma(50, 1 / 50, (2, PANES))
    steady[1, AT : AT + 96 * PANES_PER_HOUR] *= 10
    return steady


@pytest.mark.parametrize("method", baselines.METHODS)
def test_every_baseline_finds_a_tenfold_cost_and_is_quieter_where_nothing_happens(method, cost):
    alerts = baselines.alerts(method, cost, SCOPES)
    found = [alert for alert in alerts if alert.scope == SCOPES.axes[1] and alert.at_ms >= end_ms(AT)]
    quiet = [alert for alert in alerts if alert.scope == SCOPES.axes[0]]

    assert found
    assert found[0].at_ms <= end_ms(AT + 96 * PANES_PER_HOUR)
    assert len(quiet) <= 5


def test_the_running_hour_fires_as_soon_as_it_costs_three_times_the_mean(cost):
    first = next(a for a in baselines.alerts("3x-7-day", cost, SCOPES) if a.at_ms >= end_ms(AT - 1))

    # ten times as dear, so 3 of 10 hours' worth are spent in the fourth pane of the hour
    assert end_ms(AT + 2) <= first.at_ms <= end_ms(AT + 4)


def test_scopes_are_sums_of_the_same_calls():
    simulated, _, _ = simulate.both(made := company.found(1), 20_000)
    scopes = panes.scopes_of(made)
    summed = panes.cost_of_scopes(made, simulated, scopes)

    assert len(scopes.axes) == company.SCOPES
    assert summed[0].sum() == pytest.approx(simulated["cost"].sum() / 1e9)
    models = [i for i, axes in enumerate(scopes.axes) if "model" in axes]
    assert summed[models].sum() == pytest.approx(summed[0].sum())

"""Calls of one agent run are alike: by how much their sums vary more than those of as many calls alone."""

from __future__ import annotations

import numpy as np
import pytest

from tokenfuse.contracts.measures import INDEX
from tokenfuse.detect.signals import DESIGN_EFFECT_MAX, RUNS_RARE, design_effect


def effect(calls: int, runs: int) -> float:
    """Of so many calls in so many runs."""
    sums = np.zeros((len(INDEX), 1), np.int64)
    sums[INDEX["calls"]], sums[INDEX["runs"]] = calls, runs
    return float(design_effect(sums)[0])


def test_sums_over_runs_of_geometric_lengths_vary_as_much_as_the_design_effect_says():
    rng = np.random.default_rng(5)
    lengths = rng.geometric(1 / 12, (4000, 200))
    shown = (lengths * rng.standard_normal(lengths.shape)).sum(axis=1)
    predicted = effect(int(lengths.sum()), lengths.size) * lengths.sum(axis=1).mean()
    assert shown.var() == pytest.approx(predicted, rel=0.1)


@pytest.mark.parametrize(
    ("calls", "runs", "expected"),
    [(500, 0, 1.0), (500, 500, 1.0), (RUNS_RARE + 1, 1, 1.0), (RUNS_RARE, 1, DESIGN_EFFECT_MAX), (0, 0, 1.0)],
)
def test_calls_alone_count_for_themselves_and_the_longest_runs_for_a_set_number(calls, runs, expected):
    assert effect(calls, runs) == expected

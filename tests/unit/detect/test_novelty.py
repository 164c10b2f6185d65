"""Novelty: what is new, and from which dollar on it is told."""

from __future__ import annotations

import numpy as np
import pytest

from tokenfuse.contracts.ruleset import NoveltyRule
from tokenfuse.detect.novelty import is_new, novelty

HOUR_S = 3600
RULE = NoveltyRule(
    id="n", kind="novelty", driver="volume", maturity="stable", axis="model", severity="ticket", mode="warn",
    window_seconds=24 * HOUR_S, floor_nanousd=100, baseline_hours_min=72,
)  # fmt: skip
BEGAN_S = 1000 * HOUR_S


@pytest.mark.parametrize(
    ("first_hour", "now_hour", "expected"),
    [
        pytest.param(71, 80, False, id="seen while everything was learned"),
        pytest.param(72, 80, True, id="seen when the learning was over"),
        pytest.param(72, 95, True, id="within its first day"),
        pytest.param(72, 96, False, id="a day later"),
        pytest.param(-9, 80, False, id="older than the log"),
        pytest.param(80, 80, False, id="no minute of it has closed"),
    ],
)
def test_a_scope_is_new_for_a_day_once_all_was_learned(
    first_hour: int, now_hour: int, expected: bool
) -> None:
    first = np.array([BEGAN_S + first_hour * HOUR_S])

    assert is_new(first, BEGAN_S + now_hour * HOUR_S, BEGAN_S, RULE)[0] == expected


def test_it_fires_from_the_floor_on() -> None:
    new, spent = np.array([True, True, False]), np.array([99, 100, 100])

    assert novelty(new, spent, RULE).tolist() == [False, True, False]

"""Bursts: the four conditions, one by one, and how often chance meets the first two."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tokenfuse.contracts.ruleset import BurstRule
from tokenfuse.detect.burst import burst, dispersion, surprise


def rule(**changes: Any) -> BurstRule:
    fields: dict[str, Any] = {
        "id": "b", "kind": "burst", "driver": "volume", "maturity": "stable", "axis": "tenant", "severity": "page",
        "mode": "warn", "windows_seconds": (20,), "factor": 4.0, "surprise_min": 14.0, "times_record": 1.5,
        "calls_min": 12, "floor_nanousd_per_hour": 3600,
    }  # fmt: skip
    return BurstRule(**(fields | changes))


def fires(calls: int = 40, usual: float = 2.0, record: int = 10, excess: int = 1000, **changes: Any) -> bool:
    seen = np.array([calls]), np.array([excess])
    score = burst(
        seen, (np.array([usual]), np.zeros(1)), np.array([0.5]), np.array([record]), 20, rule(**changes)
    )
    return bool(score.fires[0])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"calls": 11, "usual": 0.05, "record": 0}, False),
        ({"usual": 10.0}, False),
        ({"usual": 9.0, "surprise_min": 1.0}, True),
        ({"surprise_min": 30.0}, False),
        ({"record": 26}, False),
        ({"record": 25}, True),
        ({"record": -1}, False),
        ({"excess": 19}, False),
        ({"excess": 20}, True),
    ],
)
def test_each_condition_alone_keeps_a_burst_from_being_told(changes: dict[str, Any], expected: bool) -> None:
    assert fires(**changes) is expected


def test_minutes_that_differ_more_make_the_same_number_less_surprising() -> None:
    even, uneven = np.full((55, 1), 6), np.array([[0]] * 50 + [[66]] * 5)
    spread = np.concatenate([dispersion(even), dispersion(uneven)])
    assert spread[0] == 0.5
    found = surprise(np.array([90, 90]), np.array([6.0, 6.0]), spread)
    assert found[0] > 14 > found[1]


def test_chance_is_below_its_bound() -> None:
    """Negative binomial numbers of mean 2 and over-dispersion 0.5: no more than exp(-I) of them reach I."""
    rng = np.random.default_rng(7)
    drawn = rng.negative_binomial(2, 0.5, 1_000_000)
    found = surprise(drawn, np.full(len(drawn), 2.0), np.full(len(drawn), 0.5))
    for least in (3.0, 5.0, 7.0):
        assert (found >= least).mean() <= np.exp(-least)

"""Agents: which thresholds hold for a run, and what repeated tool calls look like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tokenfuse.contracts.measures import INDEX, MAXIMA, MEASURES
from tokenfuse.contracts.ruleset import AgentRule
from tokenfuse.contracts.sketch import sketch_of
from tokenfuse.detect.agent import of_runs, over, squares, thresholds


def rule(**changes: Any) -> AgentRule:
    fields: dict[str, Any] = {
        "id": "a", "kind": "agent", "driver": "loop", "maturity": "stable", "axis": "run_id", "severity": "page",
        "mode": "warn", "measure": "steps",
    }  # fmt: skip
    return AgentRule(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"limit": 100}, [100, 100, 100]),
        ({"times_record": 2.0}, [80, 600, np.inf]),
        ({"times_record": 2.0, "limit": 100}, [80, 100, 100]),
        ({"times_record": 2.0, "at_least": 90}, [90, 600, np.inf]),
    ],
)
def test_the_lower_of_limit_and_record_holds_and_never_less_than_at_least(
    changes: dict[str, Any], expected: list[float]
) -> None:
    """Three features: with a past, with too short a one among peers, and alone."""
    record, days = np.array([40, 7]), np.array([3, 2])
    peers = thresholds(rule(**changes), record, days, 300).tolist()
    alone = thresholds(rule(**changes), np.array([7]), np.array([2]), 0).tolist()
    assert peers + alone == expected


def test_a_run_at_its_threshold_is_not_over_it_nor_one_below_the_floor() -> None:
    limits = np.array([10.0, 10.0, 10.0])
    costs = np.array([5, 5, 4])
    assert over(np.array([10, 11, 11]), limits, costs, rule(floor_nanousd=5)).tolist() == [False, True, False]


def test_steps_are_the_largest_step_or_else_the_calls_without_retries() -> None:
    totals, maxima = np.zeros((2, len(MEASURES)), np.int64), np.zeros((2, len(MAXIMA)), np.int64)
    totals[:, INDEX["calls"]], totals[:, INDEX["retries"]] = 9, 2
    maxima[0, MAXIMA.index("step")] = 5
    values = of_runs(totals, maxima, np.array([60, 60]), np.array([[2, 900], [3, 900]]))
    assert values["steps"].tolist() == [5, 7]
    assert values["context"].tolist() == [0, 300]


def test_the_sketch_tells_n_times_the_same_from_n_different_calls_over_many_runs() -> None:
    """A thousand runs of 60 different calls, and one loop each of one, two and three calls."""
    quiet = [sum(sketch_of(f"{run}-{n}") for n in range(60)) for run in range(1000)]
    loops = [sum(sketch_of(f"loop-{n % k}") for n in range(60)) for k in (1, 2, 3)]
    assert squares(np.array(quiet)).max() / 60 < 8
    assert squares(np.array(loops)).min() / 60 > 6
    assert squares(np.array(loops))[0] == 3600
    assert abs(squares(np.array(quiet)).mean() / 60 - 1) < 0.1

"""The benchmark of a minute's cost on a company small enough for a test, and the company that it draws."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from benchmarks.detection import cost
from benchmarks.detection.crowd import Crowd, Sizes

from tokenfuse.contracts.axes import CELL
from tokenfuse.contracts.measures import INDEX
from tokenfuse.decide.panel import Panel
from tokenfuse.windows.rows import decode_rows

SMALL = Sizes(tenants=5, features=4, cells=60, users=50, runs=40)
RULES = Path(__file__).parents[3] / "rules"


def rows_of(block, axis):
    return next(decode_rows(rows) for rows in block.rows if rows.axis == axis)


def test_everybody_has_calls_before_anybody_has_two_more_than_another():
    crowd = Crowd(SMALL, everybody=True)

    block = crowd.slice(120, 0, 9_999)

    for axis, count, each in ((CELL, 60, {2}), ("user", 50, {2, 3}), ("run_id", 40, {3})):
        rows = rows_of(block, axis)
        assert len(rows.values) == count
        assert set(rows.sums[:, INDEX["calls"]].tolist()) == each


def test_by_their_shares_few_have_most_calls():
    users = rows_of(Crowd(SMALL, everybody=False).slice(2000, 0, 9_999), "user")

    calls = np.sort(users.sums[:, INDEX["calls"]])

    assert calls[-5:].sum() > 2000 / 4


def test_slices_follow_each_other_and_a_weight_multiplies_every_sum():
    first = Crowd(SMALL, everybody=True).slice(60, 0, 9_999)
    crowd = Crowd(SMALL, everybody=True)

    weighty, later = crowd.slice(60, 0, 9_999, weight=7), crowd.slice(60, 10_000, 19_999)

    assert (weighty.a, weighty.b, later.a, later.b) == (0, 60, 60, 120)
    assert (rows_of(weighty, CELL).sums == 7 * rows_of(first, CELL).sums).all()
    assert rows_of(later, CELL).sums[:, INDEX["calls"]].sum() == 60


def test_prompts_of_a_grown_tenant_triple():
    plain, grown = (Crowd(SMALL, everybody=True) for _ in range(2))
    grown.grown.add("tenant-003")

    before, after = (rows_of(crowd.slice(600, 0, 9_999), "tenant") for crowd in (plain, grown))
    ratio = after.sums[:, INDEX["input_tokens"]] / before.sums[:, INDEX["input_tokens"]]

    assert ratio[before.values.index("tenant-003")] == pytest.approx(3, rel=0.01)
    assert ratio[before.values.index("tenant-002")] == 1


def test_a_minute_is_measured_where_it_closes_and_the_watch_lets_go_again():
    plain = Panel.judge
    bench = cost.Bench(SMALL, 120, RULES, everybody=True)
    bench.learn(days=3, calls_per_hour=120)

    minutes = list(bench.minutes(3))

    assert all(0 < minute.closing <= minute.whole for minute in minutes)
    assert all(minute.steps["judge"] >= minute.steps["judge drift and volume"] > 0 for minute in minutes)
    assert Panel.judge is plain
    assert bench.scopes()[CELL] == 60
    assert "3 minutes" in cost.report(minutes, bench)


def test_learning_is_reported_apart():
    minutes = [
        cost.Minute(0.5, 0.0, 1.0, Counter()), cost.Minute(0.7, 2.0, 4.0, Counter()), cost.Minute(0.6, 0.0, 1.0, Counter()),
    ]  # fmt: skip

    text = cost.report(minutes, cost.Bench(SMALL, 120, RULES, everybody=True))

    assert "median 0.600 s, worst 0.700 s" in text
    assert "2.00 s" in text

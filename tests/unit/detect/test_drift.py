"""Planted changes are found with the right signal and size; harmless ones are not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from tests.unit.detect.drift_of import SIGNALS, Judged, judged
from tests.unit.detect.traffic import Cell, history, measure, window

from tokenfuse.contracts.ruleset import DriftRule, DriftSignal
from tokenfuse.detect.baseline import learn_baseline
from tokenfuse.detect.drift import DOLLARS_Z_MIN, bennett_z, dollars_z

HOURS = 96
CHEAP, DEAR = Cell(), Cell(prompt=4000, cached=0.3, retried=0.1)
CELLS = [CHEAP, CHEAP.but(per_hour=60, prompt=300), DEAR]


def rule(signal: DriftSignal, **changes) -> DriftRule:
    fields = {
        "id": f"{signal}-drift", "kind": "drift", "driver": signal, "maturity": "stable", "axis": "tenant",
        "severity": "page", "mode": "warn", "signal": signal, "windows_seconds": (1800, 7200), "z_min": 5.0,
        "effect_min": 0.3 if signal in ("prompt", "output") else 0.1, "baseline_hours": 336, "baseline_hours_min": 24,
        "calls_min": 20, "floor_nanousd_per_day": 0, "evaluation_interval_seconds": 60,
    }  # fmt: skip
    return DriftRule(**(fields | changes))


class Pairs(NamedTuple):
    scope_of_cell: np.ndarray
    group_of_cell: np.ndarray


def one_scope(cells: int, groups: list[int] | None = None) -> Pairs:
    return Pairs(np.zeros(cells, np.int64), np.array(groups or range(cells)))


def score_drift(recent, baseline, pairs: Pairs, rule: DriftRule, seconds: int, **more) -> Judged:
    return judged(recent, baseline, pairs.scope_of_cell, pairs.group_of_cell, rule, seconds, **more)


def fired(
    past: list[Cell], now: list[Cell], seed: int = 1, groups: list[int] | None = None, hours: float = 0.5
) -> set[str]:
    """Signals that fire on the one scope of these cells."""
    rng = np.random.default_rng(seed)
    pairs = one_scope(len(past), groups)
    baseline = learn_baseline(history(past, HOURS, rng), pairs.group_of_cell)
    recent = window(now, hours, rng)
    return {s for s in SIGNALS if score_drift(recent, baseline, pairs, rule(s), int(hours * 3600)).fires[0]}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("signal", "change"),
    [
        ("prompt", {"prompt": 3000.0}),
        ("output", {"output": 500.0}),
        ("cache", {"cached": 0.1}),
        ("retry", {"retried": 0.4}),
    ],
)
def test_a_planted_change_in_every_cell_fires_its_own_signal_only(signal, change, seed):
    past = [CHEAP, CHEAP.but(per_hour=60)]

    assert {signal} == fired(past, [cell.but(**change) for cell in past], seed)


@pytest.mark.parametrize("seed", range(5))
def test_traffic_that_moves_to_the_frontier_model_of_the_same_feature_is_tier_drift_only(seed):
    past = [CHEAP.but(per_hour=190), CHEAP.but(per_hour=10, frontier=True, price=10)]
    now = [CHEAP.but(per_hour=100), CHEAP.but(per_hour=100, frontier=True, price=10)]

    assert {"tier"} == fired(past, now, seed, groups=[0, 0])


def test_a_frontier_model_that_the_feature_never_used_before_is_tier_drift():
    """The new cell has no past of its own, its group has."""
    rng = np.random.default_rng(3)
    baseline = learn_baseline(history([CHEAP], HOURS, rng), np.array([0]))
    recent = window([CHEAP.but(per_hour=60), CHEAP.but(per_hour=60, frontier=True, price=10)], 0.5, rng)

    score = score_drift(recent, baseline, one_scope(2, [0, 0]), rule("tier"), 1800)

    assert score.fires[0]
    assert score.cell_excess_nanousd[1] == measure(recent, "cost_nanousd")[1]


@pytest.mark.parametrize("seed", range(10))
def test_a_change_of_traffic_mix_alone_is_no_drift(seed):
    """The mean prompt of the scope more than doubles, though no cell changed."""
    past = [CHEAP.but(per_hour=200), DEAR.but(per_hour=20)]
    now = [CHEAP.but(per_hour=20), DEAR.but(per_hour=200)]

    assert set() == fired(past, now, seed)


@pytest.mark.parametrize("factor", [0.1, 3, 10])
@pytest.mark.parametrize("seed", range(5))
def test_a_change_of_volume_alone_is_no_drift(factor, seed):
    assert set() == fired(CELLS, [cell.but(per_hour=cell.per_hour * factor) for cell in CELLS], seed)


def test_cheaper_calls_are_no_alarm():
    """Shorter prompts, more cache hits and fewer retries cost nobody anything."""
    assert set() == fired([DEAR], [DEAR.but(prompt=500, output=20, cached=0.9, retried=0.0)])


def test_no_scope_fires_in_a_week_of_hours_on_steady_traffic():
    """168 windows x 5 signals x 30 scopes at the shipped thresholds: none."""
    rng = np.random.default_rng(7)
    cells = [CHEAP.but(per_hour=rate) for rate in np.geomspace(5, 300, 30)]
    pairs = Pairs(np.arange(30), np.arange(30))
    baseline = learn_baseline(history(cells, HOURS, rng), pairs.group_of_cell)
    alarms = sum(
        score_drift(recent, baseline, pairs, rule(s), 3600).fires.sum()
        for recent in (window(cells, 1, rng) for _ in range(168))
        for s in SIGNALS
    )

    assert alarms == 0


def test_calls_of_one_agent_run_are_one_surprise_and_runs_that_all_changed_are_found():
    """A run's calls are alike, so an hour of two or three runs is no hundred calls; a run longer than usual is still one."""
    past, rng = [Cell(run=40, per_hour=120, spread=1.0)], np.random.default_rng(3)
    pairs, six_hours = one_scope(1), 6 * 3600
    baseline = learn_baseline(history(past, 336, rng), pairs.group_of_cell)
    z = {
        name: [
            score_drift(window([now], 6, rng), baseline, pairs, rule("prompt"), six_hours).z[0] for _ in range(50)
        ]
        for name, now in (
            ("usual", past[0]),
            ("long", past[0].but(run=400)),
            ("changed", past[0].but(prompt=16_000)),
        )
    }  # fmt: skip
    assert max(z["usual"]) < 4
    assert max(z["long"]) < 4
    assert min(z["changed"]) > 5


def test_hours_that_differ_from_one_another_in_the_past_widen_what_is_normal():
    """Prompts swing by 1.6 from hour to hour: the same swing later is no drift, on steady cells it is."""
    rng = np.random.default_rng(5)
    swinging = np.concatenate([history([CHEAP.but(prompt=p)], 1, rng) for p in (800, 1280) * 48], axis=1)
    recent = window([CHEAP.but(prompt=1600)], 1, rng)
    pairs = one_scope(1)

    steady = score_drift(
        recent, learn_baseline(history([CHEAP], HOURS, rng), pairs.group_of_cell), pairs, rule("prompt"), 3600
    )
    swung = score_drift(recent, learn_baseline(swinging, pairs.group_of_cell), pairs, rule("prompt"), 3600)

    assert (bool(steady.fires[0]), bool(swung.fires[0])) == (True, False)


def test_an_incident_in_one_day_of_the_past_does_not_hide_the_next_one():
    rng = np.random.default_rng(6)
    incident = history([CHEAP.but(cached=0.0)], 24, rng)
    past = np.concatenate([history([CHEAP], 72, rng), incident, history([CHEAP], 240, rng)], axis=1)
    pairs = one_scope(1)

    score = score_drift(
        window([CHEAP.but(cached=0.1)], 0.5, rng),
        learn_baseline(past, pairs.group_of_cell),
        pairs,
        rule("cache"),
        1800,
    )

    assert score.fires[0]


def test_a_cell_without_enough_hours_is_left_out_and_its_money_too():
    rng = np.random.default_rng(8)
    past = history([CHEAP, CHEAP], HOURS, rng)
    past[:, :-5, 1] = 0
    pairs = one_scope(2)

    score = score_drift(
        window([CHEAP, CHEAP.but(prompt=9000)], 1, rng),
        learn_baseline(past, pairs.group_of_cell),
        pairs,
        rule("prompt"),
        3600,
    )

    assert not score.fires[0]
    assert score.cell_excess_nanousd[1] == 0


def test_one_small_cell_does_not_fire_the_scope_that_it_is_a_small_part_of():
    past = [CHEAP.but(per_hour=100)] * 9

    assert set() == fired(past, [CHEAP.but(per_hour=100, prompt=3000), *past[1:]])


def test_values_are_in_units_that_people_read_at_todays_mix():
    rng = np.random.default_rng(9)
    pairs = one_scope(2)
    past, now = (
        [CHEAP, CHEAP.but(prompt=300)],
        [CHEAP.but(prompt=2000, per_hour=600), CHEAP.but(prompt=600, per_hour=600)],
    )
    baseline = learn_baseline(history(past, HOURS, rng), pairs.group_of_cell)
    score = score_drift(window(now, 2, rng), baseline, pairs, rule("prompt"), 7200)

    assert score.value[0] == pytest.approx((2000 * 600) ** 0.5, rel=0.05)
    assert score.usual[0] == pytest.approx((1000 * 300) ** 0.5, rel=0.05)
    assert score.effect[0] == pytest.approx(1.0, abs=0.06)
    assert score.threshold[0] == pytest.approx(1.3 * score.usual[0])


def test_a_collapsed_cache_reads_as_a_share_that_fell():
    rng = np.random.default_rng(10)
    pairs = one_scope(1)
    baseline = learn_baseline(history([CHEAP], HOURS, rng), pairs.group_of_cell)
    score = score_drift(
        window([CHEAP.but(cached=0.1, per_hour=2000)], 1, rng), baseline, pairs, rule("cache"), 3600
    )

    assert (
        pytest.approx(score.value[0], abs=0.03), pytest.approx(score.usual[0], abs=0.02), pytest.approx(score.effect[0], abs=0.04),
    ) == (0.1, 0.8, 0.7)  # fmt: skip


def test_the_excess_is_the_cost_above_as_many_calls_of_the_past_exactly():
    pairs = one_scope(1)
    rng = np.random.default_rng(11)
    past = history([CHEAP], HOURS, rng)
    baseline, recent = learn_baseline(past, pairs.group_of_cell), window([CHEAP.but(prompt=3000)], 1, rng)
    calls, cost = measure(past, "calls").sum(), measure(past, "cost_nanousd").sum()

    score = score_drift(recent, baseline, pairs, rule("prompt"), 3600)

    normal = (2 * int(measure(recent, "calls")[0]) * int(cost) + int(calls)) // (2 * int(calls))
    assert int(measure(recent, "cost_nanousd")[0]) - normal == score.excess_nanousd[0]


def test_retries_cost_their_own_calls():
    """As many tasks as before, each tried twice: half of the cost is excess."""
    rng = np.random.default_rng(12)
    pairs = one_scope(1)
    baseline = learn_baseline(history([CHEAP.but(retried=0)], HOURS, rng), pairs.group_of_cell)
    recent = window([CHEAP.but(retried=0.5, per_hour=2000)], 1, rng)

    score = score_drift(recent, baseline, pairs, rule("retry"), 3600)

    assert score.excess_nanousd[0] / measure(recent, "cost_nanousd")[0] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("changes", "fires"),
    [
        ({}, True),
        ({"floor_nanousd_per_day": 10**12}, False),
        ({"calls_min": 1000}, False),
        ({"effect_min": 5.0}, False),
    ],
)
def test_every_threshold_of_the_rule_can_keep_it_quiet(changes, fires):
    rng = np.random.default_rng(13)
    pairs = one_scope(1)
    baseline = learn_baseline(history([CHEAP], HOURS, rng), pairs.group_of_cell)
    recent = window([CHEAP.but(prompt=3000)], 1, rng)

    assert fires == bool(score_drift(recent, baseline, pairs, rule("prompt", **changes), 3600).fires[0])


def test_a_scope_has_to_beat_its_own_record():
    rng = np.random.default_rng(14)
    pairs = one_scope(1)
    baseline = learn_baseline(history([CHEAP], HOURS, rng), pairs.group_of_cell)
    recent = window([CHEAP.but(cached=0.3)], 1, rng)
    strict = rule("cache", record_factor=1.2)
    z = float(score_drift(recent, baseline, pairs, strict, 3600).z[0])

    assert score_drift(recent, baseline, pairs, strict, 3600, record=z / 1.21).fires[0]
    assert not score_drift(recent, baseline, pairs, strict, 3600, record=z / 1.19).fires[0]


def test_what_the_same_hour_usually_brings_is_no_drift():
    """Every night the batch jobs retry four calls in ten."""
    rng = np.random.default_rng(16)
    day = [CHEAP.but(retried=0.4 if 0 <= hour < 5 else 0.02, per_hour=400) for hour in range(24)]
    past = np.concatenate([history([cell], 1, rng) for _ in range(14) for cell in day], axis=1)
    baseline, pairs = learn_baseline(past, np.array([0])), one_scope(1)
    night = window([CHEAP.but(retried=0.4, per_hour=400)], 1, rng)

    at_night, at_noon = (
        score_drift(night, baseline, pairs, rule("retry"), 3600, hour=hour).fires[0] for hour in (2, 12)
    )

    assert (bool(at_night), bool(at_noon)) == (False, True)


def test_scopes_without_traffic_or_cells_are_silent_and_finite():
    empty = np.zeros((len(window([CHEAP], 1, np.random.default_rng(0))), 1), np.int64)
    pairs = one_scope(1)
    baseline = learn_baseline(np.zeros((len(empty), 0, 1), np.int64), pairs.group_of_cell)

    score = score_drift(empty, baseline, pairs, rule("prompt"), 60)

    assert score.fires.tolist() == [False]
    assert all(np.isfinite(a).all() for a in (score.z, score.effect, score.value, score.usual))


def test_bennetts_z_is_the_plain_one_for_small_steps_and_much_smaller_for_single_large_ones():
    total, variance = np.array([5.0, 5.0, -5.0]), np.array([1.0, 1.0, 1.0])

    small, large, negative = bennett_z(total, variance, np.array([1e-6, 5.0, 5.0]))

    assert small == pytest.approx(5.0, rel=1e-3)
    assert large < 3
    assert negative == -5.0


def test_dollars_of_one_unit_are_as_certain_as_its_score() -> None:
    assert dollars_z(np.array([30, 50]), np.array([7, 7]), np.array([5.0, 5.0])) == pytest.approx(5.0)


def test_equal_units_that_changed_alike_are_together_as_certain_as_their_sum() -> None:
    z = dollars_z(np.full(9, 1000), np.arange(9), np.full(9, 1.5))

    assert z == pytest.approx(4.5)


def test_a_cheap_unit_that_changed_and_a_dear_one_by_chance_are_no_excess() -> None:
    excess, units = np.array([1_000, 120_000]), np.array([0, 1])

    assert dollars_z(excess, units, np.array([9.0, 1.3])) < DOLLARS_Z_MIN
    assert dollars_z(excess[::-1], units, np.array([9.0, 1.3])) > DOLLARS_Z_MIN


def test_a_unit_whose_score_is_nothing_is_not_endlessly_uncertain() -> None:
    excess, units = np.array([100_000, 1_000]), np.array([0, 1])

    assert dollars_z(excess, units, np.array([5.0, 0.0])) == pytest.approx(5.0, rel=0.01)


def test_no_excess_has_no_certainty() -> None:
    assert dollars_z(np.zeros(3, np.int64), np.arange(3), np.ones(3)) == 0

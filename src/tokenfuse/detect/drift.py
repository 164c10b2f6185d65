"""Drift: a per-call quantity moved away from what is normal for the same cells (docs/detection.md, DETECTION's recipe).

Every cell is compared with its own past and the comparisons are then combined, so that traffic moving between cells
(a big tenant waking up) does not look like drift. Volume does not enter: ten times as many equal calls are no drift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from tokenfuse.contracts.measures import INDEX
from tokenfuse.contracts.ruleset import DriftRule, DriftSignal
from tokenfuse.detect.arrays import BoolArray, FloatArray, IntArray, segment_sum
from tokenfuse.detect.baseline import DriftBaseline, UnitBaseline, collapse
from tokenfuse.detect.signals import LENGTHS, SIGNALS, moments, natural, priced_per, score_sum

CLIP: Final = 6.0
"""A unit counts for at most 6 of its standard deviations, so one cell fires only a scope of which it is the main part:
with z_min 5 it needs (5 / 6)^2 = 69 % of the weight."""

DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class DriftScore:
    """Verdicts of one drift rule on n scopes with k pairs of scope and cell.

    Attributes:
        fires: bool[n].
        z: float64[n], standard deviations, positive in the direction that costs money.
        effect: float64[n], relative change (lengths) or change of share (others), positive where it costs money.
        value, baseline, threshold: float64[n], now, normally, and where `effect_min` lies, all at today's mix of
            cells, in tokens (geometric mean) or shares.
        calls: int64[n], recent calls with a baseline.
        excess_nanousd: int64[n], what these calls cost above the same number of calls of the same cells normally.
        window_seconds: int64[n], the window that was judged.
        pair_excess_nanousd: int64[k], the same per pair, adding up to the scope's.
    """

    fires: BoolArray
    z: FloatArray
    effect: FloatArray
    value: FloatArray
    baseline: FloatArray
    threshold: FloatArray
    calls: IntArray
    excess_nanousd: IntArray
    window_seconds: IntArray
    pair_excess_nanousd: IntArray


@dataclass(frozen=True, slots=True)
class Pairs:
    """Which cells make up which scope.

    Attributes:
        scope_of_cell: int64[k], scope number of each pair, 0 to n_scopes - 1.
        cell_index: int64[k], cell number of each pair: a column of `recent`.
        n_scopes: how many scopes there are.
        group_of_cell: int64[c], as for `learn_baseline`; grown at the end by cells that came since.
    """

    scope_of_cell: IntArray
    cell_index: IntArray
    n_scopes: int
    group_of_cell: IntArray


def score_drift(
    recent: IntArray, baseline: DriftBaseline, pairs: Pairs, rule: DriftRule, window_seconds: int
) -> DriftScore:
    """Judges one window of one drift rule on every scope.

    Args:
        recent: int64[M, c], sums over the window per cell; c may exceed the cells of the baseline. A cell with fewer
            than `rule.baseline_hours_min` hours of traffic has no baseline and is left out.
        baseline: from `learn_baseline` over hours before the window.
        pairs: which cells make up which scope.
        rule: signal and thresholds.
        window_seconds: length of the window.
    """
    unit_of_cell = pairs.group_of_cell if rule.signal == "tier" else np.arange(recent.shape[1])
    units = int(unit_of_cell.max(initial=-1)) + 1
    now = collapse(recent, unit_of_cell, units) if rule.signal == "tier" else recent
    past = baseline.units(rule.signal).padded(units)
    judged = (past.hours >= rule.baseline_hours_min) & (now[INDEX["calls"]] > 0)
    columns = _columns(rule.signal, now, past, judged, window_seconds)
    scope, unit = _unit_pairs(pairs, unit_of_cell, units)
    summed: FloatArray = np.stack(
        [np.bincount(scope, row[unit], pairs.n_scopes).astype(np.float64) for row in columns]
    )
    excess = _excess(
        rule.signal, recent, now, past, baseline.cells.padded(recent.shape[1]), unit_of_cell, judged
    )[pairs.cell_index]
    return _verdict(
        rule, summed, segment_sum(excess, pairs.scope_of_cell, pairs.n_scopes), excess, window_seconds
    )


def score_windows(
    recents: Sequence[IntArray], baseline: DriftBaseline, pairs: Pairs, rule: DriftRule
) -> DriftScore:
    """Judges every window of a rule and keeps, per scope, the one that fires with the largest z, else the largest z.

    Args:
        recents: one int64[M, c] per entry of `rule.windows_seconds`.
        baseline: as for `score_drift`.
        pairs: as for `score_drift`.
        rule: signal and thresholds.
    """
    windows = zip(recents, rule.windows_seconds, strict=True)
    scores = [score_drift(recent, baseline, pairs, rule, seconds) for recent, seconds in windows]
    best = np.argmax([np.where(score.fires, 1e9, 0.0) + score.z for score in scores], axis=0)
    picked = {f.name: np.choose(best, [getattr(s, f.name) for s in scores]) for f in fields(DriftScore)[:-1]}
    pair_excess = np.choose(best[pairs.scope_of_cell], [s.pair_excess_nanousd for s in scores])
    return DriftScore(**picked, pair_excess_nanousd=pair_excess)


def _columns(
    signal: DriftSignal, now: IntArray, past: UnitBaseline, judged: BoolArray, window_seconds: int
) -> tuple[FloatArray, ...]:
    """Per unit, float64[u] each: calls, sum S, N mu, a R, the same clipped, a^2 var, a^3 var b; all 0 where not judged."""
    usual = moments(signal, past.sums)
    calls = np.where(judged, now[INDEX["calls"]], 0).astype(np.float64)
    score = np.where(judged, score_sum(signal, now), 0.0)
    expected = calls * usual.mean
    variance = _variance(calls, usual.variance, past.tau2[SIGNALS.index(signal)], past, window_seconds)
    weight = np.where(judged, calls * usual.shift / np.maximum(variance, 1e-12), 0.0)
    spread = weight * weight * variance
    residual = weight * (score - expected)
    clipped = np.clip(residual, -CLIP * np.sqrt(spread), CLIP * np.sqrt(spread))
    return calls, score, expected, residual, clipped, spread, spread * weight * usual.step


def _variance(
    calls: FloatArray, variance: FloatArray, tau2: FloatArray, past: UnitBaseline, window_seconds: int
) -> FloatArray:
    """Variance of R = sum(S - mu): the calls' own, the hours', and that of mu itself: float64[u].

    Calls of a surge are not independent, hence N / (2 E + 3) with E the calls that the window usually has.
    """
    past_calls, past_hours = np.maximum(past.sums[INDEX["calls"]], 1), np.maximum(past.hours, 1)
    usual_calls = past_calls / past_hours * window_seconds / 3600
    own = variance * calls * np.maximum(1.0, calls / (2 * usual_calls + 3))
    total: FloatArray = own + np.square(calls) * (tau2 * (1 + 1 / past_hours) + variance / past_calls)
    return total


def _unit_pairs(pairs: Pairs, unit_of_cell: IntArray, units: int) -> tuple[IntArray, IntArray]:
    """Pairs of scope and unit, each once: a scope's cells of one group are one unit."""
    if len(unit_of_cell) == units:
        return pairs.scope_of_cell, unit_of_cell[pairs.cell_index]
    scope, unit = np.divmod(np.unique(pairs.scope_of_cell * units + unit_of_cell[pairs.cell_index]), units)
    return scope, unit


def _excess(
    signal: DriftSignal, recent: IntArray, now: IntArray, past: UnitBaseline, past_cells: UnitBaseline,
    unit_of_cell: IntArray, judged: BoolArray,
) -> IntArray:  # fmt: skip
    """Cost above what as many calls of the unit cost normally: int64[c], rounded half up, exact integers throughout."""
    count = priced_per(signal, now)[unit_of_cell]
    past_count = np.maximum(priced_per(signal, past.sums), 1)[unit_of_cell]
    each, rest = np.divmod(past_cells.sums[INDEX["cost_nanousd"]], past_count)
    normal = count * each + (2 * count * rest + past_count) // (2 * past_count)
    return np.where(judged[unit_of_cell], recent[INDEX["cost_nanousd"]] - normal, 0)


def _verdict(
    rule: DriftRule, summed: FloatArray, excess: IntArray, pair_excess: IntArray, window_seconds: int
) -> DriftScore:
    calls, score, expected, residual, clipped, spread, third = summed
    some = np.maximum(calls, 1)
    value, normal = natural(rule.signal, score / some), natural(rule.signal, expected / some)
    effect = _effect(rule.signal, score / some, expected / some)
    # Two reasons to doubt a sum: rare large steps (Bennett) and one cell speaking for all (the clip). Both must agree.
    z = np.minimum(bennett_z(residual, spread, third), bennett_z(clipped, spread, np.zeros_like(third)))
    enough = (calls >= rule.calls_min) & (excess * DAY_SECONDS >= rule.floor_nanousd_per_day * window_seconds)
    return DriftScore(
        fires=enough & (z > rule.z_min) & (effect > rule.effect_min),
        z=z, effect=effect, value=value, baseline=normal, threshold=_threshold(rule, normal),
        calls=calls.astype(np.int64), excess_nanousd=excess,
        window_seconds=np.full(len(calls), window_seconds), pair_excess_nanousd=pair_excess,
    )  # fmt: skip


def _effect(signal: DriftSignal, mean: FloatArray, usual: FloatArray) -> FloatArray:
    return np.exp2(mean - usual) - 1 if signal in LENGTHS else mean - usual


def _threshold(rule: DriftRule, normal: FloatArray) -> FloatArray:
    if rule.signal in LENGTHS:
        return normal * (1 + rule.effect_min)
    return normal - rule.effect_min if rule.signal == "cache" else normal + rule.effect_min


def bennett_z(total: FloatArray, variance: FloatArray, third: FloatArray) -> FloatArray:
    """Standard deviations of a sum of bounded terms by Bennett's inequality, which keeps single rare calls quiet.

    Args:
        total: float64[n], the sum.
        variance: float64[n], its variance.
        third: float64[n], sum of each term's variance times its largest step; 0: unbounded, the plain z.

    Returns:
        float64[n]: z with P(Z > z) about exp(-z^2 / 2); 0 where there is no variance. Source: Bennett (1962).
    """
    safe = np.maximum(variance, 1e-300)
    plain = np.where(variance > 0, total / np.sqrt(safe), 0.0)
    step = third / safe
    bounded = (step > 0) & (total > 0)
    step = np.where(bounded, step, 1.0)
    u = np.where(bounded, step * total / safe, 0.0)
    return np.where(
        bounded, np.sqrt(2 * safe) / step * np.sqrt(np.maximum((1 + u) * np.log1p(u) - u, 0)), plain
    )

"""Drift: a per-call quantity moved away from what is normal for the same cells (method and sources: docs/detection.md).

Every cell is compared with its own past and the comparisons are then combined, so that traffic moving between cells
(a big tenant waking up) does not look like drift. Volume does not enter: ten times as many equal calls are no drift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tokenfuse.contracts.measures import INDEX
from tokenfuse.contracts.ruleset import DriftRule, DriftSignal
from tokenfuse.detect.arrays import BoolArray, FloatArray, IntArray
from tokenfuse.detect.baseline import DriftBaseline, UnitBaseline, collapse
from tokenfuse.detect.signals import LENGTHS, SIGNALS, moments, natural, priced_per, score_sum

CLIP: Final = 6.0
"""A unit counts for at most 6 of its standard deviations, so one cell fires only a scope of which it is the main part:
with z_min 5 it needs (5 / 6)^2 = 69 % of the weight."""

HOUR_SECONDS: Final = 3600
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


@dataclass(frozen=True, slots=True)
class UnitScores:
    """One signal judged on u units (cells; for tier: groups) in W windows, before units are put together to scopes.

    It does not depend on the axis, so the rules of one signal on several axes may share it.

    Attributes:
        columns: float64[7, W, u]: calls, sum S, N mu, a R, a R clipped, a^2 var, a^3 var b; 0 where not judged.
        excess_nanousd: int64[W, c], by cell.
        unit_of_cell: int64[c].
        units: how many units there are.
        windows_seconds: the W windows.
    """

    columns: FloatArray
    excess_nanousd: IntArray
    unit_of_cell: IntArray
    units: int
    windows_seconds: tuple[int, ...]


def score_drift(
    recent: IntArray, baseline: DriftBaseline, pairs: Pairs, rule: DriftRule, window_seconds: int
) -> DriftScore:
    """Judges one window, int64[M, c] sums of cells over window_seconds; see `score_windows`."""
    units = score_units([recent], baseline, pairs.group_of_cell, rule, (window_seconds,))
    return score_scopes(units, pairs, rule)


def score_windows(
    recents: Sequence[IntArray], baseline: DriftBaseline, pairs: Pairs, rule: DriftRule
) -> DriftScore:
    """Judges every window of a rule and keeps, per scope, the one that fires with the largest z, else the largest z.

    Args:
        recents: one int64[M, c] per entry of `rule.windows_seconds`, sums over the window by cell; c may exceed the
            cells of the baseline. A cell with fewer than `rule.baseline_hours_min` hours of traffic has no baseline
            and is left out.
        baseline: from `learn_baseline` over hours before the windows.
        pairs: which cells make up which scope.
        rule: signal and thresholds.
    """
    units = score_units(recents, baseline, pairs.group_of_cell, rule, rule.windows_seconds)
    return score_scopes(units, pairs, rule)


def score_units(
    recents: Sequence[IntArray], baseline: DriftBaseline, group_of_cell: IntArray, rule: DriftRule,
    windows_seconds: tuple[int, ...],
) -> UnitScores:  # fmt: skip
    """First half of `score_windows`: every unit against its own past. Of the rule: signal and baseline_hours_min."""
    recent = np.stack(recents, axis=1)
    cells = recent.shape[2]
    unit_of_cell = group_of_cell if rule.signal == "tier" else np.arange(cells)
    units = int(unit_of_cell.max(initial=-1)) + 1
    now = collapse(recent, unit_of_cell, units) if rule.signal == "tier" else recent
    past = baseline.units(rule.signal).padded(units)
    judged = (past.hours >= rule.baseline_hours_min) & (now[INDEX["calls"]] > 0)
    columns = _columns(rule.signal, now, past, judged, windows_seconds)
    excess = _excess(rule.signal, recent, now, past, baseline.cells.padded(cells), unit_of_cell, judged)
    return UnitScores(columns, excess, unit_of_cell, units, windows_seconds)


def score_scopes(scores: UnitScores, pairs: Pairs, rule: DriftRule) -> DriftScore:
    """Second half of `score_windows`: units put together to scopes. Of the rule: its thresholds."""
    scope, unit = _unit_pairs(pairs, scores.unit_of_cell, scores.units)
    summed = _sum_floats(scores.columns[:, :, unit], scope, pairs.n_scopes)
    pair_excess = scores.excess_nanousd[:, pairs.cell_index]
    excess = np.zeros((pairs.n_scopes, len(pair_excess)), dtype=np.int64)
    np.add.at(excess, pairs.scope_of_cell, pair_excess.T)
    return _verdict(rule, summed, excess.T, pair_excess, pairs, scores.windows_seconds)


def _columns(
    signal: DriftSignal,
    now: IntArray,
    past: UnitBaseline,
    judged: BoolArray,
    windows_seconds: tuple[int, ...],
) -> FloatArray:
    """The columns of UnitScores: float64[7, W, u]."""
    usual = moments(signal, past.sums)
    calls = np.where(judged, now[INDEX["calls"]], 0).astype(np.float64)
    score = np.where(judged, score_sum(signal, now), 0.0)
    expected = calls * usual.mean
    variance = _variance(calls, usual.variance, past.tau2[SIGNALS.index(signal)], past, windows_seconds)
    weight = calls * usual.shift / np.maximum(variance, 1e-12)
    spread = weight * weight * variance
    residual = weight * (score - expected)
    most = CLIP * np.sqrt(spread)
    clipped = np.minimum(np.maximum(residual, -most), most)
    return np.stack([calls, score, expected, residual, clipped, spread, spread * weight * usual.step])


def _variance(
    calls: FloatArray,
    variance: FloatArray,
    tau2: FloatArray,
    past: UnitBaseline,
    windows_seconds: tuple[int, ...],
) -> FloatArray:
    """Variance of R = sum(S - mu): the calls' own, the hours', and that of mu itself: float64[W, u].

    Calls of a surge are not independent, hence N / (2 E + 3) with E the calls that the window usually has.
    """
    past_calls, past_hours = np.maximum(past.sums[INDEX["calls"]], 1), np.maximum(past.hours, 1)
    usual_calls = past_calls / past_hours * (np.array(windows_seconds) / HOUR_SECONDS)[:, None]
    own = variance * calls * np.maximum(1.0, calls / (2 * usual_calls + 3))
    total: FloatArray = own + calls * calls * (tau2 * (1 + 1 / past_hours) + variance / past_calls)
    return total


def _excess(
    signal: DriftSignal, recent: IntArray, now: IntArray, past: UnitBaseline, past_cells: UnitBaseline,
    unit_of_cell: IntArray, judged: BoolArray,
) -> IntArray:  # fmt: skip
    """Cost above what as many calls of the unit cost normally: int64[W, c], rounded half up, in integers throughout."""
    count = priced_per(signal, now)[:, unit_of_cell]
    past_count = np.maximum(priced_per(signal, past.sums), 1)[unit_of_cell]
    each, rest = np.divmod(past_cells.sums[INDEX["cost_nanousd"]], past_count)
    normal = count * each + (2 * count * rest + past_count) // (2 * past_count)
    return np.where(judged[:, unit_of_cell], recent[INDEX["cost_nanousd"]] - normal, 0)


def _unit_pairs(pairs: Pairs, unit_of_cell: IntArray, units: int) -> tuple[IntArray, IntArray]:
    """Pairs of scope and unit, each once: a scope's cells of one group are one unit."""
    if len(unit_of_cell) == units:
        return pairs.scope_of_cell, unit_of_cell[pairs.cell_index]
    scope, unit = np.divmod(np.unique(pairs.scope_of_cell * units + unit_of_cell[pairs.cell_index]), units)
    return scope, unit


def _sum_floats(values: FloatArray, scope: IntArray, n_scopes: int) -> FloatArray:
    """Sums by scope in one pass: float64[7, W, pairs] to float64[7, W, n]."""
    rows = values.shape[0] * values.shape[1]
    place = (np.arange(rows)[:, None] * n_scopes + scope).ravel()
    summed = np.bincount(place, values.ravel(), rows * n_scopes).astype(np.float64)
    return summed.reshape(*values.shape[:2], n_scopes)


def _verdict(
    rule: DriftRule, summed: FloatArray, excess: IntArray, pair_excess: IntArray, pairs: Pairs,
    windows_seconds: tuple[int, ...],
) -> DriftScore:  # fmt: skip
    """Thresholds on every window, float64[7, W, n] and int64[W, n], then the best window of each scope."""
    calls, score, expected, residual, clipped, spread, third = summed
    some = np.maximum(calls, 1)
    mean, usual = score / some, expected / some
    effect = np.exp2(mean - usual) - 1 if rule.signal in LENGTHS else mean - usual
    # Two reasons to doubt a sum: rare large steps (Bennett) and one cell speaking for all (the clip). Both must agree.
    z = np.minimum(bennett_z(residual, spread, third), plain_z(clipped, spread))
    seconds = np.array(windows_seconds)
    costly = excess * DAY_SECONDS >= rule.floor_nanousd_per_day * seconds[:, None]
    fires = costly & (calls >= rule.calls_min) & (z > rule.z_min) & (effect > rule.effect_min)
    window = np.argmax(np.where(fires, 1e9, 0.0) + z, axis=0)
    best = window, np.arange(pairs.n_scopes)
    normal = natural(rule.signal, usual[best])
    return DriftScore(
        fires=fires[best], z=z[best], effect=effect[best], value=natural(rule.signal, mean[best]), baseline=normal,
        threshold=_threshold(rule, normal), calls=calls[best].astype(np.int64), excess_nanousd=excess[best],
        window_seconds=seconds[window],
        pair_excess_nanousd=pair_excess[window[pairs.scope_of_cell], np.arange(len(pairs.scope_of_cell))],
    )  # fmt: skip


def _threshold(rule: DriftRule, normal: FloatArray) -> FloatArray:
    if rule.signal in LENGTHS:
        return normal * (1 + rule.effect_min)
    return normal - rule.effect_min if rule.signal == "cache" else normal + rule.effect_min


def plain_z(total: FloatArray, variance: FloatArray) -> FloatArray:
    """Standard deviations of a sum: float64[...]; 0 where there is no variance."""
    z: FloatArray = total / np.sqrt(np.maximum(variance, 1e-300))
    return z


def bennett_z(total: FloatArray, variance: FloatArray, third: FloatArray) -> FloatArray:
    """Standard deviations of a sum of bounded terms by Bennett's inequality, which keeps single rare calls quiet.

    Args:
        total: float64[...], the sum.
        variance: float64[...], its variance.
        third: float64[...], sum of each term's variance times its largest step; 0: unbounded, the plain z.

    Returns:
        float64[...]: z with P(Z > z) at most exp(-z^2 / 2). Source: Bennett, JASA 57 (1962), 33-45.
    """
    plain = plain_z(total, variance)
    if not third.any():
        return plain
    safe = np.maximum(variance, 1e-300)
    bounded = (third > 0) & (total > 0)
    step = np.where(bounded, third / safe, 1.0)
    u = np.where(bounded, step * total / safe, 0.0)
    exponent = np.maximum((1 + u) * np.log1p(u) - u, 0.0)
    return np.where(bounded, np.sqrt(2 * safe * exponent) / step, plain)

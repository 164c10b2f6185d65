"""One drift rule on sums that a test made: both halves of the detector and the dollars, as the agents put them together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenfuse.contracts.ruleset import DriftRule, DriftSignal
from tokenfuse.detect.arrays import BoolArray, FloatArray, IntArray
from tokenfuse.detect.baseline import DriftBaseline, collapse
from tokenfuse.detect.drift import breaches, excess_nanousd, score_axes, threshold
from tokenfuse.detect.signals import CELL_SIGNALS, GROUP_SIGNALS, natural
from tokenfuse.detect.units import score_units, usual

SIGNALS: tuple[DriftSignal, ...] = (*CELL_SIGNALS, *GROUP_SIGNALS)


@dataclass(frozen=True)
class Judged:
    """By scope, [n]; `cell_excess_nanousd` by cell, [c]."""

    fires: BoolArray
    z: FloatArray
    effect: FloatArray
    value: FloatArray
    usual: FloatArray
    threshold: FloatArray
    excess_nanousd: IntArray
    cell_excess_nanousd: IntArray


def judged(
    recent: IntArray, baseline: DriftBaseline, scope_of_cell: IntArray, group_of_cell: IntArray, rule: DriftRule,
    window_seconds: int, *, hour: int = 0, record: float = 0.0,
) -> Judged:  # fmt: skip
    """Judges int64[M, c] sums over a window that ends within an hour of the day."""
    scopes, groups = int(scope_of_cell.max()) + 1, int(group_of_cell.max()) + 1
    past, signals, now, scope = baseline.cells, CELL_SIGNALS, recent, scope_of_cell
    unit_of_cell = np.arange(recent.shape[1])
    if rule.signal in GROUP_SIGNALS:
        past, signals, now = baseline.groups, GROUP_SIGNALS, collapse(recent, group_of_cell, groups)
        scope, unit_of_cell = np.zeros(groups, np.int64), group_of_cell
        scope[group_of_cell] = scope_of_cell
    normal = usual(signals, past, hour, window_seconds, rule.baseline_hours_min)
    before = np.full(now.shape[1], np.inf)
    scores = score_axes(score_units(now, normal, before, window_seconds), [scope], [scopes])[0]
    row = signals.index(rule.signal)
    known = past.padded(now.shape[1]).hours[unit_of_cell] >= rule.baseline_hours_min
    cell_past = baseline.cells.padded(recent.shape[1]).sums
    excess = excess_nanousd(rule.signal, recent, cell_past, unit_of_cell, known)
    by_scope = np.array([excess[scope_of_cell == n].sum() for n in range(scopes)], np.int64)
    costly = by_scope * 86_400 >= rule.floor_nanousd_per_day * window_seconds
    return Judged(
        breaches(rule, scores, row, np.full(scopes, record)) & costly,
        scores.z[row], scores.effect[row], natural(rule.signal, scores.mean[row]), natural(rule.signal, scores.usual[row]),
        np.array([threshold(rule, float(u)) for u in scores.usual[row]]), by_scope, excess,
    )  # fmt: skip

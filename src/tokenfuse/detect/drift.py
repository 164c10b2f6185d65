"""Drift: a per-call quantity moved away from what is normal for the same cells (method and sources: docs/detection.md).

Every cell is compared with its own past (`units`) and the comparisons are then combined, so that traffic moving between
cells (a big tenant waking up) does not look like drift. Volume does not enter: ten times as many equal calls are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from tokenfuse.contracts.measures import INDEX
from tokenfuse.contracts.ruleset import DriftRule, DriftSignal
from tokenfuse.detect.arrays import BoolArray, FloatArray, IntArray
from tokenfuse.detect.signals import LENGTHS, natural, priced_per
from tokenfuse.detect.units import CALLS, CLIPPED, EXPECTED, RESIDUAL, SCORE, SPREAD, THIRD, UnitScores

NOTHING: Final = -1
"""Scope of a unit that has none on the axis."""

DOLLARS_Z_MIN: Final = 2.0
"""Dollars as far above normal by chance are one case in forty; that something changed is certain by the score."""

UNIT_Z_MIN: Final = 0.5
"""A unit whose score is about nothing may have an excess, since scores of lengths are logarithms: it is not endlessly uncertain."""


@dataclass(frozen=True, slots=True)
class ScopeScores:
    """Some signals of n scopes of one axis in one window; float64[S, n] each.

    Attributes:
        z: standard deviations, positive in the direction that costs money.
        effect: relative change (lengths) or change of share (others), positive where it costs money.
        mean, usual: mean score now and normally, at today's mix of cells.
        calls: recent calls with a baseline.
    """

    z: FloatArray
    effect: FloatArray
    mean: FloatArray
    usual: FloatArray
    calls: FloatArray

    def part(self, first: int, end: int) -> ScopeScores:
        """Some scopes that follow each other."""
        arrays = (self.z, self.effect, self.mean, self.usual, self.calls)
        return ScopeScores(*(array[:, first:end] for array in arrays))


def score_axes(
    scores: UnitScores, scope_of_unit: Sequence[IntArray], scopes: Sequence[int]
) -> list[ScopeScores]:
    """Second half of drift: units put together to the scopes of each axis.

    All axes at once: they have few scopes, so that most of the time goes to the number of operations. No axis' figures
    depend on the others', since each scope's units are added in their own order.

    Args:
        scores: from `score_units`.
        scope_of_unit: by axis int64[u], scope number of every unit, 0 to scopes - 1, or NOTHING.
        scopes: by axis n.
    """
    ends = np.cumsum([0, *scopes]).tolist()
    by_axis = [of_unit[scores.unit] for of_unit in scope_of_unit]
    inside = [np.flatnonzero(scope != NOTHING) for scope in by_axis]
    places = [scope[some] + end for scope, some, end in zip(by_axis, inside, ends[:-1], strict=True)]
    summed = _sum_by_scope(scores.columns, np.concatenate(inside), np.concatenate(places), ends[-1])
    together = _scored(scores, summed)
    return [together.part(first, end) for first, end in pairwise(ends)]


def _scored(scores: UnitScores, summed: FloatArray) -> ScopeScores:
    """From the columns of the units, summed by scope: float64[7, S, n]."""
    calls, mean, usual = summed[CALLS], *(summed[c] / np.maximum(summed[CALLS], 1) for c in (SCORE, EXPECTED))
    effect = np.stack([
        np.exp2(m - u) - 1 if signal in LENGTHS else m - u
        for signal, m, u in zip(scores.signals, mean, usual, strict=True)
    ])  # fmt: skip
    # Two reasons to doubt a sum: rare large steps (Bennett) and one cell speaking for all (the clip). Both must agree.
    bounded = bennett_z(summed[RESIDUAL], summed[SPREAD], summed[THIRD])
    return ScopeScores(
        np.minimum(bounded, plain_z(summed[CLIPPED], summed[SPREAD])), effect, mean, usual, calls
    )


def breaches(rule: DriftRule, scores: ScopeScores, row: int, record: FloatArray) -> BoolArray:
    """Which scopes are over every threshold of a rule but the dollars: bool[n].

    Args:
        rule: its signal is row `row` of the scores.
        scores: of the rule's axis.
        row: which signal.
        record: float64[n], the largest z that each scope has shown on ordinary days (`records`).
    """
    z_min = np.maximum(rule.z_min, rule.record_factor * record)
    enough = (scores.calls[row] >= rule.calls_min) & (scores.effect[row] > rule.effect_min)
    return np.asarray(enough & (scores.z[row] > z_min))


def excess_nanousd(
    signal: DriftSignal, recent: IntArray, past: IntArray, unit_of_cell: IntArray, known: BoolArray
) -> IntArray:
    """Cost above what as many calls of the unit cost normally: int64[c], rounded half up, in integers throughout.

    Args:
        signal: decides what the calls are counted per.
        recent, past: int64[M, c], sums of some cells over the window and over the history.
        unit_of_cell: int64[c], numbered from 0 among themselves: cells of one unit are priced together.
        known: bool[c], cells whose unit has a baseline; the money of others says nothing.
    """
    units = int(unit_of_cell.max(initial=-1)) + 1
    count, past_count = (_per_unit(priced_per(signal, sums), unit_of_cell, units) for sums in (recent, past))
    past_count = np.maximum(past_count, 1)
    each, rest = np.divmod(past[INDEX["cost_nanousd"]], past_count)
    normal = count * each + (2 * count * rest + past_count) // (2 * past_count)
    return np.where(known, recent[INDEX["cost_nanousd"]] - normal, 0)


def dollars_z(excess: IntArray, units: IntArray, z: FloatArray) -> float:
    """Standard deviations by which an excess in dollars is above nothing, if each unit's dollars are as uncertain as its score.

    The score of a scope weighs units by what can be known of them, its dollars by what they cost: a cheap unit that
    certainly changed and a dear one that happens to be above its mean make no incident together.

    Args:
        excess: int64[c] nano-dollars. units: int64[c], unit of each cell. z: float64[c], score of that unit alone.
    """
    _, first, place = np.unique(units, return_index=True, return_inverse=True)
    dollars = np.bincount(place, excess)
    deviations = dollars / np.maximum(np.abs(z[first]), UNIT_Z_MIN)
    return float(dollars.sum() / max(np.sqrt(np.square(deviations).sum()), 1.0))


def threshold(rule: DriftRule, usual: float) -> float:
    """Where `effect_min` lies for a scope, in the unit people read."""
    normal = float(natural(rule.signal, np.array(usual)))
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


def _per_unit(values: IntArray, unit_of_cell: IntArray, units: int) -> IntArray:
    """Each cell's unit total: int64[c]."""
    totals = np.zeros(units, np.int64)
    np.add.at(totals, unit_of_cell, values)
    return totals[unit_of_cell]


def _sum_by_scope(columns: FloatArray, unit: IntArray, scope: IntArray, scopes: int) -> FloatArray:
    """Sums by scope: float64[K, S, a] to float64[K, S, n].

    Row after row, so that one row and its sums stay in the processor's caches: all at once take seven times as long.

    Args:
        columns: what is summed.
        unit: int64[k], column of each addend. scope: int64[k], where it goes. scopes: n.
    """
    summed = np.empty((*columns.shape[:2], scopes))
    for row in np.ndindex(columns.shape[:2]):
        summed[row] = np.bincount(scope, columns[row][unit], scopes)
    return summed

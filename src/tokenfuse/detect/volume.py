"""Volume: more calls than a scope has ever had in a window, and than this time of the day and the last hours explain.

A level that a scope has already shown on an ordinary day is no news, whatever the model of its day says: the record of
the level beats seasonal residuals on traffic with sharp peaks (docs/detection.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tokenfuse.contracts.rulekinds.volume import VolumeRule
from tokenfuse.detect.arrays import BoolArray, FloatArray, IntArray
from tokenfuse.detect.drift import NOTHING

PRIOR_CALLS: Final = 4
"""Calls added to both sides of every ratio: three calls instead of one are nothing."""


@dataclass(frozen=True, slots=True)
class VolumeScores:
    """n scopes of one axis in one window; float64[n] each.

    Attributes:
        calls: in the window, PRIOR_CALLS added.
        usual: the larger of what this time of the day usually brings and what the hours before brought, likewise.
        known: bool[n], some cell of the scope has enough of a past.
    """

    calls: FloatArray
    usual: FloatArray
    known: BoolArray


def score_volume(
    calls: IntArray, usual_calls: FloatArray, calls_before: FloatArray, known: BoolArray, scope_of_cell: IntArray,
    scopes: int,
) -> VolumeScores:  # fmt: skip
    """Sums cells to scopes.

    Args:
        calls: int64[c] in the window. usual_calls, calls_before: float64[c], scaled to its length.
        known: bool[c], cells with enough of a past.
        scope_of_cell: int64[c], NOTHING where a cell has none.
        scopes: n.
    """
    inside = np.flatnonzero(scope_of_cell != NOTHING)
    scope = scope_of_cell[inside]
    now, usual, before, sure = (
        np.bincount(scope, values[inside], scopes).astype(np.float64)
        for values in (calls, usual_calls, calls_before, known)
    )
    return VolumeScores(now + PRIOR_CALLS, np.maximum(usual, before) + PRIOR_CALLS, sure > 0)


def exceeds(rule: VolumeRule, scores: VolumeScores, record: FloatArray) -> BoolArray:
    """Which scopes are over every threshold of a rule but the dollars: bool[n].

    Args:
        rule: its thresholds.
        scores: of the rule's axis.
        record: float64[n], the most that such a window had on ordinary days, PRIOR_CALLS added; 0: nothing known.
    """
    ratio = scores.calls / scores.usual
    enough = scores.known & (scores.calls >= rule.calls_min + PRIOR_CALLS) & (record > 0)
    return np.asarray(enough & (ratio > rule.ratio_min) & (scores.calls > rule.record_factor * record))


def threshold(rule: VolumeRule, usual: float, record: float) -> float:
    """Calls beyond which a scope is over the rule's thresholds."""
    return max(rule.ratio_min * usual, rule.record_factor * record) - PRIOR_CALLS


def excess_nanousd(cost_nanousd: IntArray, calls: float, usual: float) -> IntArray:
    """Cost of the calls above what is usual: every cell's share of it, int64[n], rounded down."""
    above = max(int(calls - usual), 0)
    whole, rest = np.divmod(cost_nanousd, max(int(calls), 1))
    return np.asarray(whole * above + rest * above // max(int(calls), 1))

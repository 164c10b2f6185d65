"""Spikes: one pane's spend over a multiple of the mean of the panes before it, the rule of thumb that people know."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenfuse.contracts.ruleset import SpikeRule
from tokenfuse.detect.arrays import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class SpikeScore:
    """Verdicts of one spike rule on n scopes.

    Attributes:
        fires: bool[n].
        value: float64[n], current over mean (over one nano-dollar where the mean is 0); 0 without history.
        threshold: the rule's factor.
        mean_nanousd: int64[n], per pane of the history, rounded down.
        excess_nanousd: int64[n], current minus mean; negative in a quiet pane.
    """

    fires: BoolArray
    value: FloatArray
    threshold: float
    mean_nanousd: IntArray
    excess_nanousd: IntArray


def spike(
    current_nanousd: IntArray, history_nanousd: IntArray, age_panes: IntArray, rule: SpikeRule
) -> SpikeScore:
    """Compares the current pane with the mean of the panes that each scope has existed for.

    A pane without traffic counts as 0 once the scope exists, so a scope that works one hour a day has a low mean;
    panes before its birth do not count, so a new scope is not diluted.

    Args:
        current_nanousd: int64[n], spend of the pane being judged (open or closed).
        history_nanousd: int64[h, n], the panes before it, oldest first; 0 where there was no traffic. At most
            `rule.history_panes` of them, the latest, are used.
        age_panes: int64[n], whole panes since the scope was first seen, the current one not counted.
        rule: factor, history and floor.
    """
    history = history_nanousd[-rule.history_panes :]
    return spike_of_total(current_nanousd, history.sum(axis=0), np.minimum(age_panes, len(history)), rule)


def spike_of_total(
    current_nanousd: IntArray, history_nanousd: IntArray, panes: IntArray, rule: SpikeRule
) -> SpikeScore:
    """The same from a running total.

    Args:
        current_nanousd: int64[n].
        history_nanousd: int64[n], the sum over the history panes.
        panes: int64[n], how many of them each scope has existed for.
        rule: factor, history and floor.
    """
    mean = history_nanousd // np.maximum(panes, 1)
    excess = current_nanousd - mean
    value = np.where(panes > 0, current_nanousd / np.maximum(mean, 1), 0.0)
    fires = (panes >= rule.history_panes_min) & (value > rule.factor) & (excess >= rule.floor_nanousd)
    return SpikeScore(fires, value, rule.factor, mean, excess)

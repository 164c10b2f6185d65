"""Burn rate: how many times faster than planned a budget is being spent, and when it will be gone.

Multi-window, multi-burn-rate alerts of the Site Reliability Workbook, chapter 5 (Beyer et al., O'Reilly 2018), with a
budget of dollars in place of one of errors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenfuse.contracts.ruleset import BurnRateRule
from tokenfuse.detect.arrays import BoolArray, FloatArray, IntArray
from tokenfuse.detect.cap import NO_LIMIT


@dataclass(frozen=True, slots=True)
class Budgets:
    """Budgets of n scopes and where their period stands.

    Attributes:
        nanousd: int64[n]; NO_LIMIT: none. spent_nanousd: int64[n], in this period so far.
        period_s, left_s: int64[n], length of the period and what is left of it, seconds.
    """

    nanousd: IntArray
    spent_nanousd: IntArray
    period_s: IntArray
    left_s: IntArray


@dataclass(frozen=True, slots=True)
class BurnScore:
    """Verdicts of one burn-rate rule on n scopes.

    Attributes:
        fires: bool[n].
        value: float64[n], times the planned rate over the long window.
        excess_nanousd: int64[n], of the long window, above the plan.
        lasts_s: float64[n], seconds until the budget is gone at the pace; 0: it is gone; inf: nothing is spent.
    """

    fires: BoolArray
    value: FloatArray
    excess_nanousd: IntArray
    lasts_s: FloatArray


def burn_rate(
    long_nanousd: IntArray,
    short_nanousd: IntArray,
    pace_nanousd_per_s: FloatArray,
    budgets: Budgets,
    rule: BurnRateRule,
) -> BurnScore:
    """Compares two windows with the plan, and the pace with what is left.

    Args:
        long_nanousd, short_nanousd: int64[n], spend of the rule's two windows.
        pace_nanousd_per_s: float64[n], the rate at which the rest of the period is forecast.
        budgets: of the same scopes.
        rule: factor, windows and floor.
    """
    planned = (
        np.maximum(budgets.nanousd, 1) / budgets.period_s
    )  # a budget of 0 is burnt by the first nano-dollar
    value = long_nanousd / (planned * rule.long_seconds)
    short = short_nanousd / (planned * rule.short_seconds)
    excess = (long_nanousd - planned * rule.long_seconds).astype(np.int64)
    left = np.maximum(budgets.nanousd - budgets.spent_nanousd, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        lasts = np.where(left > 0, left / pace_nanousd_per_s, 0.0)
    too_fast = (value > rule.factor) & (short > rule.factor)
    fires = too_fast & (lasts < budgets.left_s) & (excess >= rule.floor_nanousd)
    return BurnScore(fires & (budgets.nanousd != NO_LIMIT), value, excess, lasts)

"""Bursts: the number of calls of some seconds against the scope's own last hour and its records of two weeks.

Calls of an hour are not independent: their number per minute varies more than a Poisson one. So the chance of n calls where
m are usual is bounded by that of a negative binomial with the variance m + phi m^2, phi from the hour's own minutes and at
least 0.5, by Chernoff's bound: P(N >= n) <= exp(-I), I = n ln(n/m) - (n+r) ln((n+r)/(m+r)), r = 1/phi.

False alarms: at I > 14 below 8e-7 per look if the last hour is like the next seconds. It is not at the start of a working day,
after a gap or when a batch begins; there the record of two weeks of days decides, which such hours are part of. One call,
however dear, is no burst (`calls_min`); what comes late is counted where it belongs, not in the last seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tokenfuse.contracts.ruleset import BurstRule
from tokenfuse.detect.arrays import BoolArray, FloatArray, IntArray

PHI_MIN: Final = 0.5
RECORD_PRIOR: Final = 4
"""Calls added to both sides of a comparison with a record, so that twice two calls are no record."""
USUAL_MIN: Final = 0.05
"""Calls: an hour without any does not make the first ones infinitely surprising."""


@dataclass(frozen=True, slots=True)
class BurstScore:
    """Verdicts of one window on n scopes.

    Attributes:
        fires: bool[n]. value: float64[n], calls over the usual number. threshold: float64[n], what `value` had to exceed.
        excess_nanousd: int64[n], of the window.
    """

    fires: BoolArray
    value: FloatArray
    threshold: FloatArray
    excess_nanousd: IntArray


def dispersion(minutes: IntArray) -> FloatArray:
    """Over-dispersion of calls per minute beyond a Poisson number, float64[n] from int64[h, n]; at least PHI_MIN."""
    mean = np.maximum(minutes.mean(axis=0), USUAL_MIN)
    beyond = (minutes.var(axis=0) - mean) / mean**2
    found: FloatArray = np.maximum(beyond, PHI_MIN)
    return found


def surprise(calls: IntArray, usual: FloatArray, phi: FloatArray) -> FloatArray:
    """Minus the logarithm of (a bound of) the chance of as many calls, float64[n]; 0 where no more than usual."""
    n, size = np.maximum(calls, 1).astype(np.float64), 1 / phi
    bound = n * np.log(n / usual) - (n + size) * np.log((n + size) / (usual + size))
    found: FloatArray = np.where(n > usual, bound, 0.0)
    return found


def is_costly(excess_nanousd: IntArray, window_seconds: int, rule: BurstRule) -> BoolArray:
    """Whether the excess of a window reaches both floors of a rule: bool[n]."""
    reached: BoolArray = excess_nanousd * 3600 >= rule.floor_nanousd_per_hour * window_seconds
    return reached & (excess_nanousd >= rule.floor_nanousd)


def burst(
    seen: tuple[IntArray, IntArray],
    usual: tuple[FloatArray, FloatArray],
    phi: FloatArray,
    record: IntArray,
    window_seconds: int,
    rule: BurstRule,
) -> BurstScore:
    """Judges one window.

    Args:
        seen: calls and nano-dollars of the window, int64[n] each.
        usual: the same that the last hour makes likely, float64[n] each.
        phi: float64[n], over-dispersion of the hour.
        record: int64[n], most calls of such a window on a day before; -1: no day is known, so it does not fire.
        window_seconds: length of the window.
        rule: thresholds.
    """
    calls, nanousd = seen
    expected = np.maximum(usual[0], USUAL_MIN)
    excess = (nanousd - usual[1]).astype(np.int64)
    least = np.maximum(rule.factor * expected, rule.times_record * (record + RECORD_PRIOR) - RECORD_PRIOR)
    fires = (calls >= rule.calls_min) & (calls > least) & (record >= 0)
    fires &= is_costly(excess, window_seconds, rule)
    fires &= surprise(calls, expected, phi) > rule.surprise_min
    return BurstScore(fires, calls / expected, least / expected, excess)

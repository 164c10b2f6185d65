"""Forecast: what a period's spend will come to at its end, with a range.

Seasonal mean of daily spend: every day that is left costs what its weekday cost on average, as far as days are known. The
range is that of the mean method: independent days of one variance around their weekday's mean, plus the error of the mean
itself (Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd ed. 2021, sections 5.2 and 5.5):
L days left, T days known, standard deviation s: s * sqrt(L + L^2 / T), times Z for four ends of five.

Limits: a trend or a launch is in no mean, so growth comes out low until days of it are known; days that resemble each other
more than their weekday explains make the range too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tokenfuse.detect.arrays import BoolArray, FloatArray, IntArray

DAY_S: Final = 86_400
WEEK: Final = 7
DAYS: Final = 28
"""Whole weeks, so that every weekday is known equally often."""

DAYS_MIN: Final = 3
"""With fewer days known nothing is said."""

SAMPLES_MIN: Final = 2
"""A weekday that was seen once is no better known than the mean of all days."""

Z: Final = 1.2815515655446004
"""Four of five ends lie within the range: the normal quantile at 0.9."""

EPOCH_WEEKDAY: Final = 3
"""1970-01-01 was a Thursday; Monday is 0."""

NANOUSD_MAX: Final = 2.0**62


@dataclass(frozen=True, slots=True)
class Forecast:
    """Spend of n scopes at the end of their period.

    Attributes:
        nanousd, low_nanousd, high_nanousd: int64[n]; never below what is spent.
        known: bool[n], enough days are known; of others the three are what is spent.
    """

    nanousd: IntArray
    low_nanousd: IntArray
    high_nanousd: IntArray
    known: BoolArray


def days_left(now_s: int, end_s: int) -> FloatArray:
    """What is left of a period, in days by weekday (UTC, Monday first): float64[7].

    >>> days_left(0, 2 * DAY_S).tolist(), days_left(DAY_S // 2, DAY_S).tolist()
    ([0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0])
    """
    if end_s <= now_s:
        return np.zeros(WEEK)
    days = np.arange(now_s // DAY_S, -(-end_s // DAY_S))
    inside = np.minimum((days + 1) * DAY_S, end_s) - np.maximum(days * DAY_S, now_s)
    return np.bincount((days + EPOCH_WEEKDAY) % WEEK, inside / DAY_S, WEEK).astype(np.float64)


def forecast(
    spent_nanousd: IntArray, daily_nanousd: IntArray, first_day: int, known_days: IntArray, left_days: FloatArray
) -> Forecast:  # fmt: skip
    """Adds to what is spent what the days left usually cost.

    Args:
        spent_nanousd: int64[n], in the period so far.
        daily_nanousd: int64[d, n], whole days before today, the oldest first; 0 where nothing was spent.
        first_day: number of the oldest of them, days since the epoch.
        known_days: int64[n], how many of the latest of them each scope has existed for.
        left_days: float64[7], from `days_left`.
    """
    days = len(daily_nanousd)
    known = np.arange(days)[:, None] >= days - known_days
    weekday = (first_day + EPOCH_WEEKDAY + np.arange(days)) % WEEK
    count, total = np.minimum(known_days, days), left_days.sum()
    usual, means = _weekday_means(np.where(known, daily_nanousd, 0).astype(np.float64), known, weekday)
    off = np.where(known, daily_nanousd - usual[weekday], 0.0)
    variance = (off**2).sum(axis=0) / np.maximum(count - means, 1)
    rest = np.maximum(left_days @ usual, 0.0)
    half = Z * np.sqrt(variance * (total + total**2 / np.maximum(count, 1)))
    enough = count >= DAYS_MIN
    point, low, high = (_above(spent_nanousd, part, enough) for part in (rest, rest - half, rest + half))
    return Forecast(point, low, high, enough)


def _weekday_means(daily: FloatArray, known: BoolArray, weekday: IntArray) -> tuple[FloatArray, IntArray]:
    """Usual spend by weekday, float64[7, n], and of how many means it is made, int64[n]."""
    of_weekday = (np.arange(WEEK)[:, None] == weekday).astype(np.float64)
    seen, total = of_weekday @ known, of_weekday @ daily
    overall = daily.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    own = seen >= SAMPLES_MIN
    usual = np.where(own, total / np.maximum(seen, 1), overall)
    return usual, np.maximum(own.sum(axis=0), 1)


def _above(spent: IntArray, rest: FloatArray, enough: BoolArray) -> IntArray:
    more = np.where(enough, np.clip(np.rint(rest), 0, NANOUSD_MAX), 0).astype(np.int64)
    return np.asarray(spent + more)

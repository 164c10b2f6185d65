"""First half of drift: every unit (cell, or group of cells) against its own past, in one window, for every signal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tokenfuse.contracts.measures import INDEX
from tokenfuse.contracts.ruleset import DriftSignal
from tokenfuse.detect.arrays import BoolArray, FloatArray, IntArray
from tokenfuse.detect.baseline import AROUND, HOURS, UnitBaseline, usual_mean
from tokenfuse.detect.signals import design_effect, moments, score_sums

HOUR_SECONDS: Final = 3600
DAY_SECONDS: Final = 86_400
CALLS, SCORE, EXPECTED, RESIDUAL, CLIPPED, SPREAD, THIRD = range(7)
"""Columns of UnitScores."""

CLIP: Final = 6.0
"""A unit counts for at most 6 of its standard deviations, so one cell fires only a scope of which it is the main part:
with z_min 5 it needs (5 / 6)^2 = 69 % of the weight."""

LONG_SECONDS: Final = 6 * HOUR_SECONDS
"""From here on a window is compared with how much days differ from each other, below it with hours."""


@dataclass(frozen=True, slots=True)
class Usual:
    """What is normal for u units at one time of the day, for windows of one length; S signals.

    Attributes:
        mean, variance, shift, step: float64[S, u], as `signals.Moments`.
        tau2: float64[S, u], of hours or of days, whichever the window is compared with, and of the mean itself.
        calls_per_hour: float64[u].
        design_effect: float64[u], of runs, that the variance contains; 1 where calls are no agents'.
        known: bool[u], enough hours with traffic.
    """

    signals: tuple[DriftSignal, ...]
    mean: FloatArray
    variance: FloatArray
    shift: FloatArray
    step: FloatArray
    tau2: FloatArray
    calls_per_hour: FloatArray
    design_effect: FloatArray
    known: BoolArray


@dataclass(frozen=True, slots=True)
class UnitScores:
    """Some signals judged on the a units that had calls in the window, before units are put together to scopes.

    Attributes:
        unit: int64[a], which units.
        columns: float64[7, S, a]: calls, sum S, N mu, a R, a R clipped, a^2 var, a^3 var b.
        window_seconds: the window.
    """

    signals: tuple[DriftSignal, ...]
    unit: IntArray
    columns: FloatArray
    window_seconds: int


def usual(
    signals: Sequence[DriftSignal], past: UnitBaseline, hour: int, window_seconds: int, hours_min: int
) -> Usual:
    """What is normal for a window that ends within an hour of the day, UTC.

    Args:
        signals: those that `past` was learned for.
        past: from `learn_units`.
        hour: 0 to 23.
        window_seconds: a window up to LONG_SECONDS is compared with the same hour of the day and AROUND hours to either
            side, a longer one with the hours that it covers.
        hours_min: hours with traffic below which a unit is not judged.
    """
    length = window_seconds / HOUR_SECONDS
    long = window_seconds >= LONG_SECONDS
    reach = (
        range(hour - min(round(length), HOURS) + 1, hour + 1)
        if long
        else range(hour - AROUND, hour + AROUND + 1)
    )
    some = [h % HOURS for h in reach]
    calls, scores = past.at(some)
    mean = usual_mean(signals, calls, scores, past.calls, past.scores)
    each = moments(signals, mean, past.sums)
    many = np.maximum(past.sums[INDEX["calls"]], 1)
    hours = np.maximum(past.hours, 1)
    periods = hours / HOURS if long else hours
    tau2 = past.tau2_days if long else past.tau2_hours
    return Usual(
        tuple(signals), each.mean, each.variance, each.shift, each.step,
        tau2 * (1 + 1 / np.maximum(periods, 1)) + each.variance / many,
        calls / max(int(past.covered[some].sum()), 1),
        design_effect(past.sums),
        past.hours >= hours_min,
    )  # fmt: skip


def score_units(now: IntArray, normal: Usual, before_per_hour: FloatArray, window_seconds: int) -> UnitScores:
    """Scores one window.

    Args:
        now: int64[M, u], sums of the units over the window; units that came after the baseline have no past and are
            left out.
        normal: of u units or fewer.
        before_per_hour: float64[u], calls an hour in the hours before the window: calls of a surge are not independent,
            and a surge is measured from the lower of what is usual and what was there before.
        window_seconds: length.
    """
    units = len(normal.known)
    unit = np.flatnonzero(normal.known & (now[INDEX["calls"], :units] > 0))
    calls = now[INDEX["calls"], unit].astype(np.float64)
    score = score_sums(normal.signals, now)[:, unit]
    expected = calls * normal.mean[:, unit]
    usual_calls = (
        np.minimum(normal.calls_per_hour[unit], before_per_hour[unit]) * window_seconds / HOUR_SECONDS
    )
    clumped = calls * np.maximum(1.0, calls / (2 * usual_calls + 3)) * _longer_runs(now, normal, unit)
    variance = normal.variance[:, unit] * clumped + calls * calls * normal.tau2[:, unit]
    shift = calls * normal.shift[:, unit]
    weight = shift / np.maximum(variance, 1e-12)
    spread = weight * weight * variance
    residual = weight * (score - expected)
    most = CLIP * np.sqrt(spread)
    columns = np.stack([
        np.broadcast_to(calls, score.shape), score, expected, residual, np.clip(residual, -most, most), spread,
        spread * weight * normal.step[:, unit],
    ])  # fmt: skip
    return UnitScores(normal.signals, unit, columns, window_seconds)


def _longer_runs(now: IntArray, normal: Usual, unit: IntArray) -> FloatArray:
    """By how much runs of the window are longer than is usual, at least 1: one run of 400 calls is one surprise, not ten."""
    usually = normal.design_effect[unit]
    here = 2 * now[INDEX["calls"], unit] / np.maximum(now[INDEX["runs"], unit], 1) - 1
    longer: FloatArray = np.where(usually > 1, np.maximum(here / usually, 1.0), 1.0)
    return longer

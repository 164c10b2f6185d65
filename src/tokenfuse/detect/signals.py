"""Drift signals: what each one measures of a call, and which shift of it costs money.

A signal is a score S per call whose rise costs money; cells keep sums only (docs/detection.md).
Lengths are logarithms to base 2; shares are 0 or 1 per call, the cache's negative, since its loss costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tokenfuse.contracts.measures import INDEX, LOG_SCALE
from tokenfuse.contracts.ruleset import DriftSignal
from tokenfuse.detect.arrays import FloatArray, IntArray

CELL_SIGNALS: Final[tuple[DriftSignal, ...]] = ("prompt", "output", "cache", "retry")
"""Compared within a cell."""

GROUP_SIGNALS: Final[tuple[DriftSignal, ...]] = ("tier",)
"""Compared within a group of cells that differ in the model only: a call that moves to another model changes its cell."""

GROUP_MEASURES: Final = ("calls", "tier_frontier", "tier_reasoning", "runs")
"""All that GROUP_SIGNALS are made of."""

LENGTHS: Final = ("prompt", "output")

SHARE_MIN, SHARE_MAX = 0.003, 0.997
"""A share is never certain: a cell that has not retried in 50 calls still may (docs/detection.md)."""

SHIFT_LENGTH: Final = float(np.log2(1.3))
"""Shift of a log length worth finding: 30 %."""

DESIGN_EFFECT_MAX: Final = 200.0
RUNS_RARE: Final = 1000
"""Where fewer than one call in RUNS_RARE begins a run, calls are not agents'."""

SPREAD_MIN: Final = 0.05
"""Constant prompts have no variance; a floor of 3.5 % of length keeps the first odd call quiet."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Per-call moments, float64[S, u] each: S signals, u units (cells, or groups of cells).

    Attributes:
        mean, variance: of the score S of one call, times the design effect of runs.
        shift: D, the expected shift under the alternative; weighs the units.
        step: b, the largest amount by which one call can exceed the mean; 0 where unbounded (lengths).
    """

    mean: FloatArray
    variance: FloatArray
    shift: FloatArray
    step: FloatArray


def design_effect(sums: IntArray) -> FloatArray:
    """By how much calls in runs vary more than as many calls alone: float64[...] from int64[M, ...], up to DESIGN_EFFECT_MAX.

    Calls of one agent run are alike, so a run is one surprise. A call's run is longer than runs are: with m calls a run in
    the mean and geometric lengths by E[L^2] / E[L] = 2 m - 1 (design effect of clusters; Kish, Survey Sampling, 1965,
    ch. 5). 1 where there are no runs.
    """
    calls, runs = sums[INDEX["calls"]], sums[INDEX["runs"]]
    agents = runs * RUNS_RARE >= np.maximum(calls, 1)
    effect = 2 * calls / np.maximum(runs, 1) - 1
    found: FloatArray = np.where(agents, np.clip(effect, 1, DESIGN_EFFECT_MAX), 1.0)
    return found


def score_sum(signal: DriftSignal, sums: IntArray) -> FloatArray:
    """Sum of S over the calls: int64[M, ...] measures to float64[...]."""
    if signal in LENGTHS:
        total = sums[INDEX[f"{signal}_log"]] / LOG_SCALE
    elif signal == "cache":
        total = -sums[INDEX["cached_calls"]]
    elif signal == "retry":
        total = sums[INDEX["retries"]]
    else:
        total = sums[INDEX["tier_frontier"]] + sums[INDEX["tier_reasoning"]]
    return np.asarray(total, dtype=np.float64)


def score_sums(signals: Sequence[DriftSignal], sums: IntArray) -> FloatArray:
    """The same for several signals: float64[S, ...]."""
    return np.stack([score_sum(signal, sums) for signal in signals])


def priced_per(signal: DriftSignal, sums: IntArray) -> IntArray:
    """What the excess is counted per: calls; for retries the tasks behind them, since retries themselves are calls."""
    calls = sums[INDEX["calls"]]
    return np.asarray(calls - sums[INDEX["retries"]] if signal == "retry" else calls)


def moments(signals: Sequence[DriftSignal], mean: FloatArray, sums: IntArray) -> Moments:
    """Moments of one call.

    Args:
        signals: S of them.
        mean: float64[S, u], what is normal now; shares within SHARE_MIN and SHARE_MAX (the cache's negative).
        sums: int64[M, u] over the whole past, for the spread of lengths.
    """
    columns = [_moments(signal, each, sums) for signal, each in zip(signals, mean, strict=True)]
    variance, shift, step = (np.stack(parts) for parts in zip(*columns, strict=True))
    return Moments(mean, variance * design_effect(sums), shift, step)


def natural(signal: DriftSignal, mean: FloatArray) -> FloatArray:
    """Mean score in the unit people read: geometric mean of tokens, or a share from 0 to 1."""
    if signal in LENGTHS:
        return np.exp2(mean) - 1
    return -mean if signal == "cache" else mean


def bounded_mean(signal: DriftSignal, mean: FloatArray) -> FloatArray:
    """A mean score that is possible and, for shares, not certain."""
    if signal in LENGTHS:
        return mean
    low, high = (-SHARE_MAX, -SHARE_MIN) if signal == "cache" else (SHARE_MIN, SHARE_MAX)
    clipped: FloatArray = np.clip(mean, low, high)
    return clipped


def _moments(
    signal: DriftSignal, mean: FloatArray, sums: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Variance, shift and step."""
    if signal in LENGTHS:
        calls = np.maximum(sums[INDEX["calls"]], 1)
        square = sums[INDEX[f"{signal}_log_sq"]] / (LOG_SCALE * LOG_SCALE)
        whole = score_sum(signal, sums) / calls
        variance = np.maximum(square / calls - whole * whole, SPREAD_MIN**2)
        return variance, np.full_like(mean, SHIFT_LENGTH), np.zeros_like(mean)
    share = np.abs(mean)
    variance = share * (1 - share)
    if signal == "cache":
        return variance, 0.7 * share + 0.02, share
    shift = np.full_like(share, 0.2) if signal == "retry" else 0.2 * (1 - share)
    return variance, shift, 1 - share

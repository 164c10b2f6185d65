"""Drift signals: what each one measures of a call, and which shift of it costs money.

A signal is a score S per call whose rise costs money; cells keep sums only (docs/detection.md).
Lengths are logarithms to base 2; shares are 0 or 1 per call, the cache's negative, since its loss costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tokenfuse.contracts.measures import INDEX, LOG_SCALE
from tokenfuse.contracts.ruleset import DriftSignal
from tokenfuse.detect.arrays import FloatArray, IntArray

SIGNALS: Final[tuple[DriftSignal, ...]] = ("prompt", "output", "cache", "retry", "tier")
LENGTHS: Final = ("prompt", "output")

SHARE_MIN, SHARE_MAX = 0.003, 0.997
"""A share is never certain: a cell that has not retried in 50 calls still may (docs/detection.md)."""

SHIFT_LENGTH: Final = float(np.log2(1.3))
"""Shift of a log length worth finding: 30 %."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Per-call moments of one signal, float64[u] each, u units (cells, or groups of cells).

    Attributes:
        mean, variance: of the score S of one call.
        shift: D, the expected shift under the alternative; weighs the units.
        step: b, the largest amount by which one call can exceed the mean; 0 where unbounded (lengths).
    """

    mean: FloatArray
    variance: FloatArray
    shift: FloatArray
    step: FloatArray


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


def priced_per(signal: DriftSignal, sums: IntArray) -> IntArray:
    """What the excess is counted per: calls; for retries the tasks behind them, since retries themselves are calls."""
    calls = sums[INDEX["calls"]]
    return np.asarray(calls - sums[INDEX["retries"]] if signal == "retry" else calls)


def moments(signal: DriftSignal, sums: IntArray) -> Moments:
    """Moments of one call from sums over many: int64[M, u]; anything where there were no calls."""
    calls = np.maximum(sums[INDEX["calls"]], 1)
    total = score_sum(signal, sums)
    return _length(signal, sums, calls, total) if signal in LENGTHS else _share(signal, calls, total)


def natural(signal: DriftSignal, mean: FloatArray) -> FloatArray:
    """Mean score in the unit people read: geometric mean of tokens, or a share from 0 to 1."""
    if signal in LENGTHS:
        return np.exp2(mean) - 1
    return -mean if signal == "cache" else mean


def _length(signal: str, sums: IntArray, calls: IntArray, total: FloatArray) -> Moments:
    mean = total / calls
    square = sums[INDEX[f"{signal}_log_sq"]] / (LOG_SCALE * LOG_SCALE)
    # Constant prompts have no variance; a floor of (0.05)^2, 3.5 % of length, keeps the first odd call quiet.
    variance = np.maximum(square / calls - mean * mean, 0.05**2)
    return Moments(mean, variance, np.full_like(mean, SHIFT_LENGTH), np.zeros_like(mean))


def _share(signal: str, calls: IntArray, total: FloatArray) -> Moments:
    # Half a call of each kind (Jeffreys) instead of a pool of peers: which peers an owner sees depends on the number
    # of partitions, and a replay must find the same.
    share = np.clip((np.abs(total) + 0.5) / (calls + 1), SHARE_MIN, SHARE_MAX)
    variance = share * (1 - share)
    if signal == "cache":
        return Moments(-share, variance, 0.7 * share + 0.02, share)
    shift = np.full_like(share, 0.2) if signal == "retry" else 0.2 * (1 - share)
    return Moments(share, variance, shift, 1 - share)

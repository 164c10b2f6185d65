"""What is normal for a cell: sums over its past by hour of the day, and how much hours and days differ from each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tokenfuse.contracts.measures import INDEX
from tokenfuse.contracts.ruleset import DriftSignal
from tokenfuse.detect.arrays import FloatArray, IntArray
from tokenfuse.detect.signals import (
    CELL_SIGNALS,
    GROUP_MEASURES,
    GROUP_SIGNALS,
    bounded_mean,
    moments,
    score_sums,
)

Floats = npt.NDArray[np.float32]
HOURS: Final = 24
DAYS_PER_DROPPED: Final = 7
"""One day in seven, the worst, is left out of tau2 (two of 14), so that an old incident hides no new one."""

PRIOR_CALLS: Final = 300
"""Weight of the whole day's mean in the mean at one time of the day, in calls."""

PRIOR_HOURS: Final = 24
PRIOR_DAYS: Final = 3
PRIOR_SPREAD: Final = 0.1
"""Until enough hours (days) say otherwise, they are taken to differ by a tenth of the shift worth finding."""

AROUND: Final = 2
"""The same hour of the day reaches two hours to either side: a single hour of two weeks has too few calls."""

UNITS_MAX: Final = 4096
"""Units learned at a time: 336 hours of 25 measures of all cells at once would not fit into memory."""


@dataclass(frozen=True, slots=True)
class UnitBaseline:
    """The past of u units (cells, or groups of cells) for S signals.

    Attributes:
        sums: int64[M, u], over the whole history.
        hours: int64[u], hours with traffic.
        covered: int64[24], how many of the history's hours are this hour of the day, UTC.
        calls: float32[24, u], by hour of the day, UTC.
        scores: float32[S, 24, u], sums of the scores.
        tau2_hours, tau2_days: float32[S, u], variance of the mean score between hours (days) beyond what the calls'
            own variance and the time of the day explain.
    """

    sums: IntArray
    hours: IntArray
    covered: IntArray
    calls: Floats
    scores: Floats
    tau2_hours: Floats
    tau2_days: Floats

    def padded(self, units: int) -> UnitBaseline:
        """The same with at least `units` columns: what came after it was learned has no past."""
        more = units - len(self.hours)
        if more <= 0:
            return self
        wider = {name: _wider(getattr(self, name), more) for name in _ARRAYS}
        return UnitBaseline(covered=self.covered, **wider)

    def at(self, hours_of_day: Sequence[int]) -> tuple[FloatArray, FloatArray]:
        """Calls and score sums at some hours of the day: float64[u] and float64[S, u]."""
        some = list(hours_of_day)
        return self.calls[some].sum(axis=0, dtype=np.float64), self.scores[:, some].sum(
            axis=1, dtype=np.float64
        )


_ARRAYS: Final = ("sums", "hours", "calls", "scores", "tau2_hours", "tau2_days")


@dataclass(frozen=True, slots=True)
class DriftBaseline:
    """What is normal for every cell, and for every group of cells: see GROUP_SIGNALS."""

    cells: UnitBaseline
    groups: UnitBaseline


def learn_units(signals: Sequence[DriftSignal], history: IntArray, first_hour: int) -> UnitBaseline:
    """Learns some signals of some units from whole hours.

    Args:
        signals: S of them.
        history: int64[M, h, u], hour panes, oldest first, without the hours to be judged; 0 where no traffic.
        first_hour: hour of the day, UTC, of the first pane.
    """
    sums, calls = history.sum(axis=1), history[INDEX["calls"]].astype(np.float64)
    hours = np.count_nonzero(calls, axis=0).astype(np.int64)
    scores = score_sums(signals, history)
    by_hour, scores_by_hour = _by_hour_of_day(calls, first_hour), _by_hour_of_day(scores, first_hour)
    mean = usual_mean(signals, _around(by_hour), _around(scores_by_hour), by_hour, scores_by_hour)
    spread = moments(
        signals, usual_mean(signals, *[a.sum(axis=-2) for a in (by_hour, scores_by_hour)] * 2), sums
    )
    place = (first_hour + np.arange(calls.shape[0])) % HOURS
    residual = scores - calls * mean[:, place]
    noise = calls * spread.variance[:, None, :]
    prior = (PRIOR_SPREAD * spread.shift) ** 2
    return UnitBaseline(
        sums, hours, np.bincount(place, minlength=HOURS), by_hour.astype(np.float32), scores_by_hour.astype(np.float32),
        _tau2(residual**2 - noise, calls**2, hours, PRIOR_HOURS, prior),
        _tau2(by_day(residual) ** 2 - by_day(noise), by_day(calls) ** 2, hours / HOURS, PRIOR_DAYS, prior),
    )  # fmt: skip


def usual_mean(
    signals: Sequence[DriftSignal],
    calls: FloatArray,
    scores: FloatArray,
    all_calls: FloatArray | Floats,
    all_scores: FloatArray | Floats,
) -> FloatArray:
    """Mean score at some time of the day, drawn towards the whole day's with a weight of PRIOR_CALLS.

    Args:
        signals: S of them.
        calls, scores: float64[..., u] and float64[S, ..., u] at that time.
        all_calls, all_scores: the same shapes, or float64[24, u] and float64[S, 24, u] of the whole day.
    """
    if all_calls.ndim > 1:
        all_calls, all_scores = all_calls.sum(axis=0), all_scores.sum(axis=1)
    # Half a call of each kind (Jeffreys) instead of a pool of peers: which peers an owner sees depends on the number
    # of partitions, and a replay must find the same.
    half = np.array([0.0 if s in ("prompt", "output") else -0.5 if s == "cache" else 0.5 for s in signals])
    one = np.array([0.0 if s in ("prompt", "output") else 1.0 for s in signals])
    pool = (all_scores + half[:, None]) / np.maximum(all_calls + one[:, None], 1)
    pool = pool.reshape(len(signals), *([1] * (scores.ndim - 2)), pool.shape[-1])
    mean = (scores + PRIOR_CALLS * pool) / (calls + PRIOR_CALLS)
    return np.stack([bounded_mean(signal, each) for signal, each in zip(signals, mean, strict=True)])


def collapse(sums: IntArray, group_of_cell: IntArray, groups: int) -> IntArray:
    """Cells summed into groups, only what GROUP_SIGNALS read: int64[M, ..., c] to int64[M, ..., groups], exact."""
    out = np.zeros((*sums.shape[:-1], groups), np.int64)
    for row in [INDEX[name] for name in GROUP_MEASURES]:
        np.add.at(out[row].T, group_of_cell, sums[row].T)
    return out


def learn_baseline(history: IntArray, group_of_cell: IntArray, first_hour: int = 0) -> DriftBaseline:
    """Learns every signal of every cell. Call it again as often as the past should move on.

    Args:
        history: int64[M, h, c] as for `learn_units`.
        group_of_cell: int64[c], groups numbered from 0; the same number for equal tenant, feature and template.
        first_hour: as for `learn_units`.
    """
    groups = int(group_of_cell.max(initial=-1)) + 1
    grouped = collapse(history, group_of_cell, groups)
    return DriftBaseline(
        learn_units(CELL_SIGNALS, history, first_hour), learn_units(GROUP_SIGNALS, grouped, first_hour)
    )


def joined(parts: Sequence[UnitBaseline]) -> UnitBaseline:
    """Baselines of consecutive units as one."""
    arrays = {name: np.concatenate([getattr(part, name) for part in parts], axis=-1) for name in _ARRAYS}
    return UnitBaseline(covered=parts[0].covered, **arrays)


def by_day(hourly: FloatArray) -> FloatArray:
    """Sums over whole days counted from the end: float64[..., h, u] to float64[..., d, u]."""
    *rest, hours, units = hourly.shape
    padded = np.zeros((*rest, hours + -hours % HOURS, units))
    padded[..., -hours:, :] = hourly
    days: FloatArray = padded.reshape(*rest, -1, HOURS, units).sum(axis=-2)
    return days


def _by_hour_of_day(hourly: FloatArray, first_hour: int) -> FloatArray:
    """float64[..., h, u] to float64[..., 24, u]."""
    *rest, hours, units = hourly.shape
    padded = np.zeros((*rest, first_hour + hours + -(first_hour + hours) % HOURS, units))
    padded[..., first_hour : first_hour + hours, :] = hourly
    summed: FloatArray = padded.reshape(*rest, -1, HOURS, units).sum(axis=-3)
    return summed


def _around(by_hour: FloatArray) -> FloatArray:
    """Every hour of the day with AROUND hours to either side: float64[..., 24, u]."""
    out = by_hour.copy()
    for step in range(1, AROUND + 1):
        out += np.roll(by_hour, step, axis=-2) + np.roll(by_hour, -step, axis=-2)
    return out


def _tau2(
    beyond: FloatArray,
    weight: FloatArray,
    periods: FloatArray | IntArray,
    prior_periods: int,
    prior: FloatArray,
) -> Floats:
    """Moment estimate sum(R^2 - V) / sum(N^2) over the kept days, shrunk to the prior: float32[S, u].

    Args:
        beyond: float64[S, h or d, u], R^2 - V. weight: float64[h or d, u], N^2.
        periods: [u], hours or days with traffic. prior_periods: the prior's weight.
    """
    beyond, weight = (by_day(a) if weight.shape[0] > HOURS else a for a in (beyond, weight))
    dropped = beyond.shape[1] // DAYS_PER_DROPPED
    keep = np.argsort(beyond, axis=1)[:, : beyond.shape[1] - dropped]
    kept = np.take_along_axis(beyond, keep, axis=1).sum(axis=1)
    kept_weight = np.take_along_axis(np.broadcast_to(weight, beyond.shape), keep, axis=1).sum(axis=1)
    estimate = np.maximum(kept, 0) / np.maximum(kept_weight, 1)
    shrunk = (periods * estimate + prior_periods * prior) / (periods + prior_periods)
    return np.asarray(shrunk, np.float32)


def _wider(array: npt.NDArray[Any], more: int) -> npt.NDArray[Any]:
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, more)])

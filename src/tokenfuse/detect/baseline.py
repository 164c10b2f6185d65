"""What is normal for a cell: sums over its past, and how much its hours differ from one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tokenfuse.contracts.measures import INDEX
from tokenfuse.contracts.ruleset import DriftSignal
from tokenfuse.detect.arrays import FloatArray, IntArray
from tokenfuse.detect.signals import SIGNALS, moments, score_sum

DAY_PANES: Final = 24
DAYS_PER_DROPPED: Final = 7
"""One day in seven, the worst, is left out of tau2 (two of 14), so that an old incident hides no new one."""

PRIOR_HOURS: Final = 24
PRIOR_SPREAD: Final = 0.1
"""Until a day of hours says otherwise, hours are taken to differ by a tenth of the shift worth finding."""


@dataclass(frozen=True, slots=True)
class UnitBaseline:
    """The past of u units (cells, or groups of cells).

    Attributes:
        sums: int64[M, u], over the whole history.
        hours: int64[u], hours with traffic.
        tau2: float64[S, u], variance of the mean score between hours, beyond what the calls' own variance explains;
            rows in the order of SIGNALS.
    """

    sums: IntArray
    hours: IntArray
    tau2: FloatArray

    def padded(self, units: int) -> UnitBaseline:
        """The same with at least `units` columns: what came after it was learned has no past."""
        more = units - len(self.hours)
        if more <= 0:
            return self
        wide = ((0, 0), (0, more))
        return UnitBaseline(np.pad(self.sums, wide), np.pad(self.hours, (0, more)), np.pad(self.tau2, wide))


@dataclass(frozen=True, slots=True)
class DriftBaseline:
    """What is normal for every cell, and for every group: cells that differ in the model only.

    A call that moves to another model changes its cell, so tier mix is compared within groups, the rest within cells.
    """

    cells: UnitBaseline
    groups: UnitBaseline

    def units(self, signal: DriftSignal) -> UnitBaseline:
        """Whose past a signal is compared with."""
        return self.groups if signal == "tier" else self.cells


def learn_baseline(history: IntArray, group_of_cell: IntArray) -> DriftBaseline:
    """Learns every signal of every cell from whole hours. Call it again as often as the past should move on.

    Args:
        history: int64[M, h, c], hour panes, oldest first, without the hours to be judged; 0 where no traffic.
        group_of_cell: int64[c], groups numbered from 0; the same number for equal tenant, feature and template.
    """
    groups = int(group_of_cell.max(initial=-1)) + 1
    return DriftBaseline(_learn(history), _learn(collapse(history, group_of_cell, groups)))


def collapse(sums: IntArray, group_of_cell: IntArray, groups: int) -> IntArray:
    """Cells summed into groups: int64[..., c] to int64[..., groups], exact."""
    out = np.zeros((groups, *sums.shape[:-1]), dtype=np.int64)
    np.add.at(out, group_of_cell, np.moveaxis(sums, -1, 0))
    return np.ascontiguousarray(np.moveaxis(out, 0, -1))


def _learn(history: IntArray) -> UnitBaseline:
    sums = history.sum(axis=1)
    hours = np.count_nonzero(history[INDEX["calls"]], axis=0).astype(np.int64)
    return UnitBaseline(sums, hours, np.stack([_tau2(s, history, sums, hours) for s in SIGNALS]))


def _tau2(signal: DriftSignal, history: IntArray, sums: IntArray, hours: IntArray) -> FloatArray:
    """Moment estimate sum(R^2 - V) / sum(N^2) over the hours of the kept days, shrunk to the prior: float64[u]."""
    usual = moments(signal, sums)
    calls = history[INDEX["calls"]].astype(np.float64)
    residual = score_sum(signal, history) - calls * usual.mean
    beyond, weight = _kept_days(residual**2 - calls * usual.variance, calls**2)
    estimate = np.maximum(beyond, 0) / np.maximum(weight, 1)
    prior = (PRIOR_SPREAD * usual.shift) ** 2
    return (hours * estimate + PRIOR_HOURS * prior) / (hours + PRIOR_HOURS)


def _kept_days(beyond: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sums over days, the worst ones of each unit left out: float64[h, u] twice to float64[u] twice."""
    by_day = [_by_day(a) for a in (beyond, weight)]
    dropped = len(by_day[0]) // DAYS_PER_DROPPED
    keep = np.argsort(by_day[0], axis=0)[: len(by_day[0]) - dropped]
    kept = [np.take_along_axis(a, keep, axis=0).sum(axis=0) for a in by_day]
    return kept[0], kept[1]


def _by_day(hourly: FloatArray) -> FloatArray:
    padded = np.pad(hourly, [(-len(hourly) % DAY_PANES, 0), (0, 0)])
    days: FloatArray = padded.reshape(-1, DAY_PANES, hourly.shape[1]).sum(axis=1)
    return days

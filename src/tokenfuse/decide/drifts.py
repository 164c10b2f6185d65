"""Drift rules: closed windows of every scope against its cells' learned baselines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tokenfuse.contracts.ruleset import DriftRule
from tokenfuse.decide.learned import LearnedJudge
from tokenfuse.detect.arrays import IntArray
from tokenfuse.detect.drift import DOLLARS_Z_MIN, breaches, dollars_z, excess_nanousd, threshold
from tokenfuse.detect.signals import GROUP_SIGNALS, natural


@dataclass(frozen=True)
class DriftHit:
    """A scope that is over a rule's thresholds in one window; mean scores now and usually."""

    window_seconds: int
    z: float
    mean: float
    usual: float


class DriftJudge(LearnedJudge[DriftRule, DriftHit]):
    """One drift rule on one deltas partition; of several windows the one with the largest score is told."""

    def _score(self, window_seconds: int) -> Iterator[tuple[int, DriftHit]]:
        scores, row = self._board.scores(self.rule.signal, window_seconds, self.rule.axis)
        if scores.z[row].max(initial=0.0) <= self.rule.z_min:
            return
        bar = self._board.bar(self.rule.signal, self.rule.axis)
        for scope in np.flatnonzero(breaches(self.rule, scores, row, bar)).tolist():
            z, mean, usual = (float(row_of[row, scope]) for row_of in (scores.z, scores.mean, scores.usual))
            yield scope, DriftHit(window_seconds, z, mean, usual)

    def _in_order(self, hits: list[DriftHit]) -> list[DriftHit]:
        return sorted(hits, key=lambda hit: -hit.z)

    def _window_of(self, hit: DriftHit) -> int:
        return hit.window_seconds

    def _numbers(self, hit: DriftHit) -> tuple[float, float]:
        return float(natural(self.rule.signal, np.array(hit.mean))), threshold(self.rule, hit.usual)

    def _last(self, scope: int) -> tuple[float, float]:
        window_seconds = self.rule.windows_seconds[-1]
        scores, row = self._board.scores(self.rule.signal, window_seconds, self.rule.axis)
        return self._numbers(
            DriftHit(window_seconds, 0.0, float(scores.mean[row, scope]), float(scores.usual[row, scope]))
        )

    def _excess(self, cells: IntArray, hit: DriftHit) -> IntArray:
        past, judged, _ = self._board.past(cells)
        units = np.arange(len(cells))
        if self.rule.signal in GROUP_SIGNALS:
            judged = self._board.groups_judged(cells)
            units = self._board.baselines.cells.groups_of(cells.astype(np.int32))
        recent = self._board.recent.of(hit.window_seconds)[:, cells]
        return excess_nanousd(self.rule.signal, recent, past, units, judged)

    def _is_certain(self, cells: IntArray, excess: IntArray, hit: DriftHit) -> bool:
        units = cells
        if self.rule.signal in GROUP_SIGNALS:
            units = self._board.baselines.cells.group_of_cell()[cells]
        z = self._board.unit_z(self.rule.signal, hit.window_seconds, units)
        return dollars_z(excess, units, z) >= DOLLARS_Z_MIN

    def _fires(self, scopes: IntArray) -> None:
        self._board.fires(self.rule.signal, self.rule.axis, scopes)

"""Volume rules: the calls of every scope in closed windows against what it usually has and has ever had."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tokenfuse.contracts.measures import INDEX
from tokenfuse.contracts.ruleset import VolumeRule
from tokenfuse.decide.learned import LearnedJudge
from tokenfuse.decide.scoreboard import volume_subject
from tokenfuse.detect.arrays import FloatArray, IntArray
from tokenfuse.detect.records import Records
from tokenfuse.detect.volume import PRIOR_CALLS, VolumeScores, exceeds, excess_nanousd, threshold


@dataclass(frozen=True)
class VolumeHit:
    """A scope that is over a rule's thresholds in one window; calls with PRIOR_CALLS added."""

    window_seconds: int
    calls: float
    usual: float
    threshold: float


class VolumeJudge(LearnedJudge[VolumeRule, VolumeHit]):
    """One volume rule on one deltas partition; of several windows the shortest that costs enough says when it began."""

    def _score(self, window_seconds: int) -> Iterator[tuple[int, VolumeHit]]:
        scores, record = self._against(window_seconds)
        for scope in np.flatnonzero(exceeds(self.rule, scores, record)).tolist():
            usual = float(scores.usual[scope])
            limit = threshold(self.rule, usual, float(record[scope]))
            yield scope, VolumeHit(window_seconds, float(scores.calls[scope]), usual, limit)

    def _in_order(self, hits: list[VolumeHit]) -> list[VolumeHit]:
        return hits

    def _window_of(self, hit: VolumeHit) -> int:
        return hit.window_seconds

    def _numbers(self, hit: VolumeHit) -> tuple[float, float]:
        return hit.calls - PRIOR_CALLS, hit.threshold

    def _last(self, scope: int) -> tuple[float, float]:
        scores, record = self._against(self.rule.windows_seconds[-1])
        limit = threshold(self.rule, float(scores.usual[scope]), float(record[scope]))
        return float(scores.calls[scope]) - PRIOR_CALLS, limit

    def _excess(self, cells: IntArray, hit: VolumeHit) -> IntArray:
        cost = self._board.recent.of(hit.window_seconds)[INDEX["cost_nanousd"], cells]
        return excess_nanousd(cost, hit.calls, hit.usual)

    def _is_costly(self, excess: int, length_seconds: int) -> bool:
        """A short window counts as the longest: a surge of minutes has to have cost something, not only to go on to."""
        return super()._is_costly(excess, max(length_seconds, self.rule.windows_seconds[-1]))

    def _fires(self, scopes: IntArray) -> None:
        for row in range(len(self.rule.windows_seconds)):
            self._records.fires(row, scopes)

    @property
    def _records(self) -> Records:
        return self._board.records[volume_subject(self.rule.windows_seconds), self.rule.axis]

    def _against(self, window_seconds: int) -> tuple[VolumeScores, FloatArray]:
        """Calls of every scope in a window, and the records that they have to beat, float64[n]."""
        windows = self.rule.windows_seconds
        row = windows.index(window_seconds)
        scores = self._board.volume(window_seconds, self.rule.axis, (volume_subject(windows), row))
        return scores, self._records.bars()[row]

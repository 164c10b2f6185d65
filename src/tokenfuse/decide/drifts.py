"""Drift rules: closed windows of every scope against its cells' learned baselines, at intervals of event time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Final

import numpy as np

from tokenfuse.contracts.ruleset import DriftRule
from tokenfuse.decide.baselines import HOUR_S
from tokenfuse.decide.evidence import Evidence, Witness
from tokenfuse.decide.scoreboard import Scoreboard
from tokenfuse.decide.standings import Finding, Standings
from tokenfuse.detect.arrays import IntArray
from tokenfuse.detect.drift import breaches, excess_nanousd, is_costly, threshold
from tokenfuse.detect.signals import natural

STEPS_S: Final = (60, 120, 300, 600, 900)
"""A window is judged every tenth of its length, in these steps: what a day tells does not change within a minute."""


@dataclass(frozen=True)
class Hit:
    """A scope that is over a rule's thresholds in one window."""

    window_seconds: int
    z: float
    mean: float
    usual: float


def step_s(rule: DriftRule, window_seconds: int) -> int:
    """How often a rule judges one of its windows."""
    most = max((step for step in STEPS_S if step * 10 <= window_seconds), default=0)
    return max(most, rule.evaluation_interval_seconds)


class DriftJudge:
    """One drift rule on one deltas partition."""

    def __init__(self, rule: DriftRule, board: Scoreboard, witness: Witness, standings: Standings) -> None:
        """Bind a rule to the scores that it reads."""
        self.rule = rule
        self._board = board
        self._witness = witness
        self._standings = standings
        self._members = board.members[rule.axis]

    def judge(self, before_s: int, judged_s: int, now_ms: int, *, learning: bool) -> None:
        """Judge the windows whose turn came since `before_s`; while history is read scores only become records."""
        due = [w for w in self.rule.windows_seconds if _is_due(step_s(self.rule, w), before_s, judged_s)]
        hits: dict[int, Hit] = {}
        for window_seconds in due:
            self._score(window_seconds, hits)
        if learning:
            return
        standing = self._standings.of(self.rule)
        found = [scope for scope in sorted(hits) if self._found(scope, hits[scope], judged_s, now_ms)]
        if found:
            self._board.fires(self.rule.signal, self.rule.axis, np.array(found, np.int64))
        if standing and len(due) == len(self.rule.windows_seconds):
            self._clear({self._members.value(scope) for scope in found}, judged_s)

    def _score(self, window_seconds: int, hits: dict[int, Hit]) -> None:
        scores, row = self._board.scores(self.rule.signal, window_seconds, self.rule.axis)
        bar = self._board.bar(self.rule.signal, self.rule.axis)
        for scope in np.flatnonzero(breaches(self.rule, scores, row, bar)).tolist():
            z = float(scores.z[row, scope])
            if scope not in hits or hits[scope].z < z:
                hits[scope] = Hit(
                    window_seconds, z, float(scores.mean[row, scope]), float(scores.usual[row, scope])
                )

    def _found(self, scope: int, hit: Hit, judged_s: int, now_ms: int) -> bool:
        """Whether a hit is a finding; it is told if it is time to."""
        value = self._members.value(scope)
        if value is None or not fnmatchcase(value, self.rule.match):
            return False
        standing = self._standings.of(self.rule).get(value)
        if standing is not None and not self._standings.due(self.rule, value, now_ms):
            return True
        cells = np.flatnonzero(self._members.of_cells() == scope)
        excess = self._excess(cells, hit.window_seconds)
        length = self._board.recent.length_seconds(hit.window_seconds)
        if not is_costly(int(excess.sum()), self.rule, length):
            return False
        rate = int(excess.sum()) * HOUR_S // length
        at_ms = judged_s * 1000
        so_far = int(excess.sum())
        if standing is not None:
            so_far = standing.excess_nanousd + rate * (at_ms - standing.at_ms) // (HOUR_S * 1000)
        finding = Finding(
            value=float(natural(self.rule.signal, np.array(hit.mean))),
            threshold=threshold(self.rule, hit.usual),
            at_ms=at_ms,
            starts_ms=at_ms - length * 1000,
            excess_nanousd=so_far,
            per_hour_nanousd=lambda: rate,
            evidence=partial(self._evidence, cells, excess, hit.window_seconds, length),
        )
        self._standings.found(self.rule, value, finding, now_ms)
        return True

    def _excess(self, cells: IntArray, window_seconds: int) -> IntArray:
        past, judged, _ = self._board.past(cells)
        if self.rule.signal == "tier":
            judged = self._board.groups_judged(cells)
            units = self._board.baselines.cells.groups_of(cells.astype(np.int32))
        else:
            units = np.arange(len(cells))
        recent = self._board.recent.of(window_seconds)[:, cells]
        return excess_nanousd(self.rule.signal, recent, past, units, judged)

    def _evidence(self, cells: IntArray, excess: IntArray, window_seconds: int, length: int) -> Evidence:
        past, _, hours = self._board.past(cells)
        recent = self._board.recent.of(window_seconds)[:, cells]
        sides = recent.T, past.T
        found = self._witness.of_cells(
            self.rule.axis, cells.astype(np.int32), sides, (length, hours * HOUR_S), excess
        )
        return replace(found, driver=self.rule.driver)

    def _clear(self, found: set[str | None], judged_s: int) -> None:
        for value in [value for value in self._standings.of(self.rule) if value not in found]:
            scope = self._members.number(value)
            number, limit = (0.0, 0.0) if scope is None else self._last_of(scope)
            self._standings.cleared(self.rule, value, judged_s * 1000, number, limit)

    def _last_of(self, scope: int) -> tuple[float, float]:
        """Value and threshold of the longest window."""
        scores, row = self._board.scores(self.rule.signal, self.rule.windows_seconds[-1], self.rule.axis)
        number = float(natural(self.rule.signal, np.array(scores.mean[row, scope])))
        return number, threshold(self.rule, float(scores.usual[row, scope]))


def _is_due(step_s: int, before_s: int, now_s: int) -> bool:
    return now_s // step_s > before_s // step_s

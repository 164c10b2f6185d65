"""What rules with a learned baseline have in common: windows that take turns, findings with their dollars, and the end.

A finding may be told at any turn of its window. What stands is cleared only at moments when every window had its turn,
so that no state but the standing verdict itself has to survive a restart.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Final, Generic, TypeVar

import numpy as np

from tokenfuse.contracts.ruleset import DriftRule, VolumeRule
from tokenfuse.decide.baselines import HOUR_S
from tokenfuse.decide.evidence import Evidence, Witness
from tokenfuse.decide.scoreboard import Scoreboard
from tokenfuse.decide.standings import Finding, Standings
from tokenfuse.detect.arrays import IntArray

STEPS_S: Final = {60: 300, 120: 900, 300: 3600, 900: 86_400}
"""Windows up to so long are judged this often: what a day tells does not change within a minute."""

FLOOR_SECONDS_MIN: Final = 3 * HOUR_S
"""A page's floor by the day counts over so long at least: ten dollars a day are $1.25. The ticket beside it says it earlier."""

LearnedRule = DriftRule | VolumeRule
R = TypeVar("R", DriftRule, VolumeRule)
H = TypeVar("H")


class LearnedJudge(ABC, Generic[R, H]):
    """One rule on one deltas partition; a hit, H, is what its detector says of one scope in one window."""

    def __init__(self, rule: R, board: Scoreboard, witness: Witness, standings: Standings) -> None:
        """Bind a rule to the scores that it reads."""
        self.rule: R = rule
        self._board = board
        self._witness = witness
        self._standings = standings
        self._members = board.members[rule.axis]
        self._pages = rule.severity == "page"
        self._steps_s = [(w, _step_s(rule, w)) for w in rule.windows_seconds]

    @abstractmethod
    def _score(self, window_seconds: int) -> Iterator[tuple[int, H]]:
        """The scopes that are over the rule's thresholds in a window, but for the dollars."""

    @abstractmethod
    def _in_order(self, hits: list[H]) -> list[H]:
        """One scope's hits in the windows that had their turn, the one first that is to be told if all would do."""

    @abstractmethod
    def _window_of(self, hit: H) -> int:
        """The window of a hit, seconds."""

    @abstractmethod
    def _numbers(self, hit: H) -> tuple[float, float]:
        """Value and threshold, in the rule's own unit."""

    @abstractmethod
    def _last(self, scope: int) -> tuple[float, float]:
        """The same for a scope that is over no threshold any more."""

    @abstractmethod
    def _excess(self, cells: IntArray, hit: H) -> IntArray:
        """Nano-dollars above normal in the window, by cell, int64[n]."""

    @abstractmethod
    def _fires(self, scopes: IntArray) -> None:
        """These scopes fire today: no ordinary day for their records."""

    def judge(self, before_s: int, judged_s: int, now_ms: int, *, learning: bool) -> None:
        """Judge the windows whose turn came since `before_s`; while history is read scores only become records."""
        due = [w for w, step_s in self._steps_s if judged_s // step_s > before_s // step_s]
        if not due:
            return
        hits: dict[int, list[H]] = defaultdict(list)
        for window_seconds in due:
            for scope, hit in self._score(window_seconds):
                hits[scope].append(hit)
        if learning:
            return
        standing = self._standings.of(self.rule)
        found = [scope for scope in sorted(hits) if self._found(scope, hits[scope], judged_s, now_ms)]
        if found:
            self._fires(np.array(found, np.int64))
        if standing and len(due) == len(self.rule.windows_seconds):
            self._clear({self._members.value(scope) for scope in found}, judged_s)

    def _found(self, scope: int, hits: list[H], judged_s: int, now_ms: int) -> bool:
        """Whether a hit is a finding; it is told if it is time to. A window too short to cost enough hides no longer one."""
        value = self._members.value(scope)
        if value is None or not fnmatchcase(value, self.rule.match):
            return False
        stands = value in self._standings.of(self.rule)
        if stands and not self._standings.due(self.rule, value, now_ms):
            return True
        cells = np.flatnonzero(self._members.of_cells() == scope)
        for hit in self._in_order(hits):
            excess = self._excess(cells, hit)
            if self._is_serious(cells, excess, hit):
                finding = self._finding(value, cells, excess, hit, judged_s)
                self._standings.found(self.rule, value, finding, now_ms)
                return True
        return False

    def _is_serious(self, cells: IntArray, excess: IntArray, hit: H) -> bool:
        """Whether the dollars are enough, and certain where somebody would be woken for them."""
        length = self._board.recent.length_seconds(self._window_of(hit))
        costly = self._is_costly(int(excess.sum()), length)
        return costly and (not self._pages or self._is_certain(cells, excess, hit))

    def _finding(self, value: str, cells: IntArray, excess: IntArray, hit: H, judged_s: int) -> Finding:
        length = self._board.recent.length_seconds(self._window_of(hit))
        at_ms, so_far = judged_s * 1000, int(excess.sum())
        rate = so_far * HOUR_S // length
        standing = self._standings.of(self.rule).get(value)
        if standing is not None:
            so_far = standing.excess_nanousd + rate * (at_ms - standing.at_ms) // (HOUR_S * 1000)
        number, threshold = self._numbers(hit)
        return Finding(
            value=number,
            threshold=threshold,
            at_ms=at_ms,
            starts_ms=at_ms - length * 1000,
            excess_nanousd=so_far,
            per_hour_nanousd=lambda: rate,
            evidence=partial(self._evidence, cells, excess, self._window_of(hit)),
        )

    def _is_costly(self, excess: int, length_seconds: int) -> bool:
        """Whether an excess over a window is worth the rule's attention. What a few minutes cost more goes on seldom."""
        if self._pages:
            length_seconds = max(length_seconds, FLOOR_SECONDS_MIN)
        return excess * 86_400 >= self.rule.floor_nanousd_per_day * length_seconds

    def _is_certain(self, cells: IntArray, excess: IntArray, hit: H) -> bool:  # noqa: ARG002 - drift has doubts
        """Whether the excess is one by the cells that it comes from; asked where somebody would be woken for it."""
        return True

    def _evidence(self, cells: IntArray, excess: IntArray, window_seconds: int) -> Evidence:
        past, _, hours = self._board.past(cells)
        recent = self._board.recent.of(window_seconds)[:, cells]
        scale = self._board.recent.length_seconds(window_seconds), hours * HOUR_S
        ids = cells.astype(np.int32)
        sides, end_s = (recent.T, past.T), self._board.recent.ends_s
        found = self._witness.of_cells(self.rule.axis, ids, sides, scale, excess, end_s)
        return replace(found, driver=self.rule.driver)

    def _clear(self, found: set[str | None], judged_s: int) -> None:
        for value in [value for value in self._standings.of(self.rule) if value not in found]:
            scope = self._members.number(value)
            number, threshold = (0.0, 0.0) if scope is None else self._last(scope)
            self._standings.cleared(self.rule, value, judged_s * 1000, number, threshold)


def _step_s(rule: LearnedRule, window_seconds: int) -> int:
    step_s = next(step for step, longest in STEPS_S.items() if window_seconds <= longest)
    return max(step_s, rule.evaluation_interval_seconds)

"""Judges of explicit limits over a window of panes that ended: every five minutes, all scopes of an axis.

Rules of one axis share a rolling window of all measures. It is moved when they judge, so a block costs them nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Final, Generic, TypeVar

import numpy as np

from tokenfuse.contracts.ruleset import PriceRule, PromptBudgetRule
from tokenfuse.decide.evidence import Evidence, Witness
from tokenfuse.decide.judge import Court
from tokenfuse.decide.scope_sums import scope_sums
from tokenfuse.decide.standings import Finding
from tokenfuse.detect.arrays import BoolArray
from tokenfuse.detect.limit import LimitScore
from tokenfuse.windows.granularity import PANE_SECONDS_OF
from tokenfuse.windows.narrow import Sums
from tokenfuse.windows.pane import Ids

INTERVAL_S: Final = 300
"""These are found in a mean over an hour or more: nothing is lost by looking every five minutes."""

R = TypeVar("R", bound=PriceRule | PromptBudgetRule)


class ClosedPanesJudge(ABC, Generic[R]):
    """One rule on one deltas partition.

    Attributes:
        interval_s, hears_calls: as of `ClosedJudge`.
    """

    interval_s = INTERVAL_S
    hears_calls = False

    def __init__(self, rule: R, court: Court) -> None:
        """Bind a rule to the panes that it reads."""
        self.rule: R = rule
        self._witness = court.witness
        self._standings = court.standings
        self._scopes = scope_sums(rule, rule.window_seconds, court, self._needs)
        self._size = PANE_SECONDS_OF[self._scopes.granularity]

    def advance(self, watermark_s: int) -> None:
        """Let the window end with the last pane that closed."""
        self._scopes.advance(watermark_s)

    def judge(self, watermark_s: int, now_ms: int) -> None:
        """Judge every scope that the rule's pattern matches; what stands of others is cleared."""
        end_s = watermark_s - watermark_s % self._size
        standing = self._scopes.standing(self.rule, watermark_s * 1000)
        ids = np.union1d(self._scopes.live(), standing).astype(np.int32)
        score = self._score(self._scopes.of(ids))
        fires = score.fires & self._matching(ids, score.fires)
        for name, i in self._named(ids, fires):
            self._found(name, score, i, end_s, now_ms)
        for name, i in self._named(ids, ~fires & np.isin(ids, standing)):
            value = float(score.value[i])
            self._standings.cleared(self.rule, name, watermark_s * 1000, value, self._threshold)

    def _named(self, ids: Ids, some: BoolArray) -> list[tuple[str, int]]:
        """Names and places of some scopes, by name: numbers of a joint axis are given anew after a restart."""
        named = ((self._scopes.name(int(ids[i])), i) for i in np.flatnonzero(some).tolist())
        return sorted((name, i) for name, i in named if name is not None)

    def _matching(self, ids: Ids, asked: BoolArray) -> BoolArray:
        """Which of the scopes asked for the rule's pattern matches, bool[n]; few breach."""
        out = np.zeros(len(ids), np.bool_)
        for i in np.flatnonzero(asked).tolist():
            out[i] = fnmatchcase(self._scopes.name(int(ids[i])) or "", self.rule.match)
        return out

    @property
    def _needs(self) -> int | None:
        """A measure of which every scope has something that the rule finds."""
        return None

    @property
    @abstractmethod
    def _threshold(self) -> float:
        """With what the value is compared."""

    @abstractmethod
    def _score(self, sums: Sums) -> LimitScore:
        """From the sums of some scopes over the window, int64[n, M]."""

    def _found(self, name: str, score: LimitScore, i: int, end_s: int, now_ms: int) -> None:
        rule = self.rule
        if not self._standings.due(rule, name, now_ms):
            return
        at_ms = (end_s - 10) * 1000
        excess = int(score.excess_nanousd[i])
        finding = Finding(
            value=float(score.value[i]),
            threshold=self._threshold,
            at_ms=at_ms,
            starts_ms=at_ms,
            excess_nanousd=excess,
            per_hour_nanousd=partial(round, excess * 3600 / rule.window_seconds),
            evidence=partial(
                _evidence,
                self._witness,
                rule,
                name,
                self._scopes.granularity,
                end_s - rule.window_seconds,
                end_s,
            ),
        )
        self._standings.found(rule, name, finding, now_ms)


def _evidence(
    witness: Witness,
    rule: PriceRule | PromptBudgetRule,
    name: str,
    granularity: str,
    start_s: int,
    end_s: int,
) -> Evidence:
    """The rule measured its driver itself: what else changed since last week does not rename the finding."""
    found = witness.of_window(rule.axis, name, granularity, start_s, end_s, rule.driver)
    return replace(found, driver=rule.driver)

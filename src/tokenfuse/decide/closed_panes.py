"""Judges of explicit limits over a window of panes that ended: every five minutes, all scopes of an axis.

They read the panes when they judge and keep no rolling window, so that what they cost does not depend on the calls.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from functools import partial
from typing import Final, Generic, TypeVar

import numpy as np

from tokenfuse.contracts.measures import INDEX
from tokenfuse.contracts.ruleset import PriceRule, PromptBudgetRule
from tokenfuse.decide.evidence import Evidence, Witness
from tokenfuse.decide.judge import Court
from tokenfuse.decide.limits import Limits
from tokenfuse.decide.standings import Finding
from tokenfuse.detect.arrays import IntArray
from tokenfuse.detect.cap import NO_LIMIT
from tokenfuse.detect.limit import LimitScore
from tokenfuse.windows.granularity import PANE_SECONDS_OF, finest_for
from tokenfuse.windows.pane import Ids

INTERVAL_S: Final = 300
"""These are found in a mean over an hour or more: nothing is lost by looking every five minutes."""

R = TypeVar("R", PriceRule, PromptBudgetRule)


class ClosedPanesJudge(Generic[R]):
    """One rule on one deltas partition.

    Attributes:
        interval_s: every so often of event time.
    """

    interval_s = INTERVAL_S

    def __init__(self, rule: R, court: Court) -> None:
        """Bind a rule to the panes that it reads."""
        self.rule: R = rule
        self._table = court.state.tables[rule.axis]
        self._witness = court.witness
        self._standings = court.standings
        self._matching = Limits(rule.match, 0, {})
        self._granularity = finest_for(self._table.kind, rule.window_seconds)

    def advance(self, watermark_s: int) -> None:
        """Nothing is kept between two looks."""

    def judge(self, watermark_s: int, now_ms: int) -> None:
        """Judge every scope that the rule's pattern matches; what stands of others is cleared."""
        scopes, size = self._table.scopes, PANE_SECONDS_OF[self._granularity]
        end_s = watermark_s - watermark_s % size
        standing = self._standings.ids_of(self.rule, scopes, watermark_s * 1000)
        ids = np.union1d(scopes.live(), standing).astype(np.int32)
        score = self._score(ids, list(range(end_s - self.rule.window_seconds, end_s, size)))
        fires = score.fires & (self._matching.of(scopes, ids) != NO_LIMIT)
        for i in np.flatnonzero(fires).tolist():
            self._found(int(ids[i]), score, i, end_s, now_ms)
        for i in np.flatnonzero(~fires & np.isin(ids, standing)).tolist():
            if (name := scopes.values[ids[i]]) is not None:
                value = float(score.value[i])
                self._standings.cleared(self.rule, name, watermark_s * 1000, value, self._threshold)

    @property
    @abstractmethod
    def _threshold(self) -> float:
        """With what the value is compared."""

    @abstractmethod
    def _score(self, ids: Ids, starts_s: list[int]) -> LimitScore:
        """Of some scopes, over the panes that begin at these times."""

    def _sum(self, name: str, ids: Ids, starts_s: list[int]) -> IntArray:
        found: IntArray = self._table.history(self._granularity, starts_s, ids, INDEX[name]).sum(axis=0)
        return found

    def _found(self, scope: int, score: LimitScore, i: int, end_s: int, now_ms: int) -> None:
        name, rule = self._table.scopes.values[scope], self.rule
        if name is None or not self._standings.due(rule, name, now_ms):
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
                _evidence, self._witness, rule, name, self._granularity, end_s - rule.window_seconds, end_s
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

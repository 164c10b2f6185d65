"""Absences: scopes whose calls stopped. Judged by the clock, since nothing of theirs arrives that could be judged.

The panes and each scope's newest call say everything, so nothing is kept between two looks.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np

from tokenfuse.contracts.block import PANE_SECONDS
from tokenfuse.contracts.measures import INDEX
from tokenfuse.contracts.ruleset import AbsenceRule
from tokenfuse.decide.axis_judge import AxisJudge
from tokenfuse.decide.evidence import COST
from tokenfuse.decide.judge import Court
from tokenfuse.decide.standings import Finding
from tokenfuse.detect.absence import (
    GONE_S,
    HOUR_S,
    AbsenceScore,
    Silences,
    absence,
    hours_before,
    known_and_silent,
)
from tokenfuse.detect.arrays import BoolArray, IntArray
from tokenfuse.detect.cap import NO_LIMIT
from tokenfuse.windows.granularity import HOUR
from tokenfuse.windows.pane import Ids

INTERVAL_S: Final = 300
"""What is silent for ten minutes and more is found five minutes later at most."""

CALLS: Final = INDEX["calls"]
SCOPES_AT_ONCE: Final = 1024
"""Scopes scored at a time: two weeks of hours of more would not fit into a few megabytes."""


class AbsenceJudge(AxisJudge[AbsenceRule]):
    """One absence rule on one deltas partition.

    Attributes:
        interval_s, hears_calls: as of `ClosedJudge`.
    """

    interval_s = INTERVAL_S
    hears_calls = True

    def __init__(self, rule: AbsenceRule, court: Court) -> None:
        """Bind a rule to the panes that it reads."""
        super().__init__(rule, court)
        self._state = court.state

    def judge(self, watermark_s: int, now_ms: int) -> None:
        """End what is over; look at the scopes that are silent for long enough, which few are.

        As of the last full interval: how time moved on to it changes no verdict.
        """
        watermark_s -= watermark_s % INTERVAL_S
        standing = self._standings.ids_of(self.rule, self._table.scopes, watermark_s * 1000)
        if len(standing):
            self._end(standing, watermark_s)
        ids = np.setdiff1d(self._silent(watermark_s), self._told(standing, now_ms))
        if len(ids):
            ids = self._concerned(ids, watermark_s)
        for first in range(0, len(ids), SCOPES_AT_ONCE):
            some = ids[first : first + SCOPES_AT_ONCE]
            score = self._score(some, watermark_s)
            for i in np.flatnonzero(score.fires).tolist():
                self._found(int(some[i]), score, i, watermark_s, now_ms)

    def _silent(self, watermark_s: int) -> Ids:
        """Scopes that the rule's pattern matches, with a silence that counts, old enough to have another week."""
        scopes = self._table.scopes
        live = scopes.live()
        since = self._silent_since_s(live)
        lasting = (since <= watermark_s - self.rule.silence_min_seconds) & (since > watermark_s - GONE_S)
        ids = live[lasting & (scopes.first_s[live] <= watermark_s - GONE_S)]
        return np.asarray(ids[self._matching.of(scopes, ids) != NO_LIMIT])

    def _told(self, standing: Ids, now_ms: int) -> Ids:
        """What stands and need not be told again yet."""
        names = self._table.scopes.values
        told = [i for i in standing.tolist() if not self._standings.due(self.rule, names[i] or "", now_ms)]
        return np.array(told, np.int32)

    def _concerned(self, ids: Ids, watermark_s: int) -> Ids:
        """Scopes that had enough calls a week ago: what is usual is never more, and to see it takes few hours of the past."""
        since, starts = self._silent_since_s(ids), np.array(hours_before(watermark_s))
        starts = starts[starts + HOUR_S > since.min()]
        _, silent = self._hours(ids, since, watermark_s)
        week_ago = self._table.history(HOUR, (starts - GONE_S).tolist(), ids, CALLS)
        most = (week_ago * silent[-len(starts) :]).sum(axis=0)
        return np.asarray(ids[most >= self.rule.calls_min * HOUR_S])

    def _silent_since_s(self, ids: Ids) -> IntArray:
        """When each silence began as far as anybody watched, int64[n]."""
        return np.maximum(self._table.scopes.last_s[ids] + PANE_SECONDS, self._state.gap_s[1])

    def _score(self, ids: Ids, watermark_s: int) -> AbsenceScore:
        starts = hours_before(watermark_s)
        calls, cost = (self._table.history(HOUR, starts, ids, measure) for measure in (CALLS, COST))
        hours = self._hours(ids, self._silent_since_s(ids), watermark_s)
        return absence(Silences(calls, cost, *hours), self.rule)

    def _hours(self, ids: Ids, since: IntArray, watermark_s: int) -> tuple[BoolArray, IntArray]:
        return known_and_silent(self._table.scopes.first_s[ids], since, watermark_s, self._state.gap_s)

    def _end(self, standing: Ids, watermark_s: int) -> None:
        """What stands ends when calls come back, and when the scope is gone; the past that fades ends nothing."""
        scopes, stands = self._table.scopes, self._standings.of(self.rule)
        matched = self._matching.of(scopes, standing) != NO_LIMIT
        heard_s = scopes.last_s[standing] + PANE_SECONDS
        for i, scope in enumerate(standing.tolist()):
            name = scopes.values[scope]
            if name is None:
                continue
            since_s = stands[name].starts_ms // 1000
            gone = since_s <= watermark_s - GONE_S
            if heard_s[i] > since_s or gone or not matched[i]:
                self._standings.cleared(self.rule, name, watermark_s * 1000, 0.0, 0.0)

    def _found(self, scope: int, score: AbsenceScore, i: int, watermark_s: int, now_ms: int) -> None:
        name, rule = self._table.scopes.values[scope], self.rule
        if name is None:
            return
        since_s = int(self._silent_since_s(np.array([scope], np.int32))[0])
        finding = Finding(
            value=float(score.missed[i]),
            threshold=float(score.threshold[i]),
            at_ms=watermark_s * 1000,
            starts_ms=since_s * 1000,
            excess_nanousd=0,
            per_hour_nanousd=lambda: 0,
            evidence=partial(
                self._witness.of_missing,
                rule.axis,
                name,
                (since_s, watermark_s),
                int(score.missed_nanousd[i]),
                rule.driver,
            ),
        )
        self._standings.found(rule, name, finding, now_ms)

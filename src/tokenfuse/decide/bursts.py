"""Bursts: the last seconds of every touched scope, at every block."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import partial
from typing import Final

import numpy as np

from tokenfuse.contracts.block import PANE_SECONDS
from tokenfuse.contracts.measures import INDEX
from tokenfuse.contracts.ruleset import BurstRule
from tokenfuse.decide.evidence import COST
from tokenfuse.decide.judge import Court
from tokenfuse.decide.standings import Finding
from tokenfuse.detect.arrays import FloatArray, IntArray
from tokenfuse.detect.burst import RECORD_PRIOR, BurstScore, burst, dispersion, is_costly
from tokenfuse.windows.ahead import Ahead, Moments
from tokenfuse.windows.granularity import PANE_SECONDS_OF, finest_for
from tokenfuse.windows.pane import Ids
from tokenfuse.windows.rolling import RollingSum

CALLS: Final = INDEX["calls"]
DAY_S: Final = 86_400
HOUR_PANES: Final = 55
GAP_PANES: Final = 5
"""The last five minutes are not part of what is usual: a burst must not make itself so."""
WEEK: Final = 7


class BurstJudge:
    """One burst rule on one deltas partition.

    Records are kept of busy scopes only: of others none is ever asked. A scope younger than a day has none, and is not
    judged; its tenant, its model and all traffic are.
    """

    def __init__(self, rule: BurstRule, court: Court) -> None:
        """Bind a rule to the windows that it reads."""
        self.rule = rule
        self._table = court.state.tables[rule.axis]
        self._witness = court.witness
        self._standings = court.standings
        self._records = court.records.of(record_name(rule), len(rule.windows_seconds))
        self._windows = [self._window(seconds) for seconds in rule.windows_seconds]
        self._calls = self._table.rolling("1m", HOUR_PANES * 60, CALLS, behind=GAP_PANES)
        self._cost = self._table.rolling("1m", HOUR_PANES * 60, COST, behind=GAP_PANES)
        self._foreseen: tuple[IntArray, list[IntArray]] = np.empty(0, np.int64), []

    def _window(self, seconds: int) -> tuple[int, RollingSum, RollingSum]:
        granularity = finest_for(self._table.kind, seconds)
        size = PANE_SECONDS_OF[granularity]
        return (
            size,
            self._table.rolling(granularity, seconds, CALLS),
            self._table.rolling(granularity, seconds, COST),
        )

    def advance(self, latest_s: int) -> None:
        """Move the windows so that they end with the pane of latest_s."""
        for size, *rollings in self._windows:
            for rolling in rollings:
                rolling.advance(latest_s - latest_s % size)
        for rolling in (self._calls, self._cost):
            rolling.advance(latest_s - latest_s % 60 - GAP_PANES * 60)

    def judge(self, ids: Ids, latest_s: int, now_ms: int) -> None:
        """Judge some scopes: those touched, and those that stand."""
        standing = self._standings.ids_of(self.rule, self._table.scopes, latest_s * 1000)
        ids = ids[self._windows[-1][1].of(ids) >= self.rule.calls_min]
        both = np.union1d(ids, standing).astype(np.int32) if len(standing) else ids
        fired = self._judge(self._candidates(both, latest_s), latest_s, now_ms)
        if len(standing):
            self._clear(np.setdiff1d(standing, fired), latest_s)
        self._learn(np.setdiff1d(ids, fired) if len(fired) else ids, latest_s)

    def suspects(self, ahead: Ahead, latest_s: int, until_s: int) -> Ids:
        """Scopes that reach `calls_min` and, in some window, more calls than a burst needs.

        A day's first block is judged step by step.
        """
        day, ids = latest_s // DAY_S, ahead.ids
        busy, peaks = self._foreseen = self._busy(ahead, latest_s)
        if until_s // DAY_S > day or not self._records.knows(day):
            return ids
        busy = busy[until_s - self._table.scopes.first_s[ids[busy]] >= DAY_S]
        if not len(busy) or not self._records.knows_before(day):
            return ids[:0]
        places, fires = self._records.known_places(self._keys(ids[busy])), np.zeros(len(busy), np.bool_)
        for number, peak in enumerate(peaks):
            fires |= peak[busy] > self._least(self._record(places, latest_s, number))
        suspects: Ids = ids[busy[fires]]
        return suspects

    def learn_ahead(self, ahead: Ahead, latest_s: int, until_s: int) -> None:
        """Learn what every moment of a block would teach of which none is a burst."""
        busy, peaks = self._foreseen
        if len(busy):
            places = self._records.known_places(self._keys(ahead.ids[busy]))
            known = self._records.of_day(places, latest_s // DAY_S)
            busy = busy[(np.stack([peak[busy] for peak in peaks], axis=1) > known).any(axis=1)]
        if not len(busy):
            return
        moments, seen = self._levels(ahead, busy, latest_s, until_s)
        enough = np.flatnonzero(seen[:, -1] >= self.rule.calls_min)
        # The order in which they would be met: it is that of the records.
        enough = enough[np.lexsort((moments.scope[enough], moments.times_s[enough]))]
        ids = ahead.ids[moments.scope[enough]]
        self._records.learn(self._places(ids), seen[enough], latest_s // DAY_S)

    def _busy(self, ahead: Ahead, latest_s: int) -> tuple[IntArray, list[IntArray]]:
        """Which scopes of a block may reach `calls_min`, and the most calls of all in each window."""
        peaks = [
            ahead.peaks(CALLS, size, seconds, calls.of(ahead.ids), latest_s)
            for seconds, (size, calls, _) in zip(self.rule.windows_seconds, self._windows, strict=True)
        ]
        return np.flatnonzero(peaks[-1] >= self.rule.calls_min), peaks

    def _levels(self, ahead: Ahead, busy: IntArray, latest_s: int, until_s: int) -> tuple[Moments, IntArray]:
        """Calls in each window at every moment of some scopes, int64[n, windows]."""
        span_s, seen = (latest_s - latest_s % PANE_SECONDS, until_s - until_s % PANE_SECONDS), []
        for seconds, (size, *_) in zip(self.rule.windows_seconds, self._windows, strict=True):
            end_s = latest_s - latest_s % size
            starts = list(range(end_s - seconds + size, end_s + 1, size))
            past = self._table.history(self._granularity(seconds), starts, ahead.ids[busy], CALLS)
            moments, levels = ahead.levels((CALLS, size, seconds), (np.array(starts), past), busy, span_s)
            seen.append(levels)
        return moments, np.stack(seen, axis=1)

    def _least(self, record: IntArray) -> FloatArray:
        """So many calls or fewer are no burst, whatever the last hour says."""
        by_record = self.rule.times_record * (record + RECORD_PRIOR) - RECORD_PRIOR
        least: FloatArray = np.maximum(by_record, self.rule.calls_min - 1)
        return least

    def _candidates(self, ids: Ids, latest_s: int) -> Ids:
        """Scopes that may fire, but for what takes long to know: usually few, and no others are looked at closely.

        They are a day old, have `factor` times the calls of their last hour, and cost enough more than it.
        """
        if not self._records.knows_before(latest_s // DAY_S):
            return ids[:0]
        ids = ids[latest_s - self._table.scopes.first_s[ids] >= DAY_S]
        if not len(ids):
            return ids
        rule, fires = self.rule, np.zeros(len(ids), np.bool_)
        hour, hour_cost = self._calls.of(ids), self._cost.of(ids) / (HOUR_PANES * 60)
        for seconds, (_, calls, cost) in zip(rule.windows_seconds, self._windows, strict=True):
            seen = calls.of(ids)
            many = (seen >= rule.calls_min) & (seen > rule.factor * (hour * seconds // (HOUR_PANES * 60)))
            excess = (cost.of(ids) - hour_cost * seconds).astype(np.int64)
            fires |= many & is_costly(excess, seconds, rule)
        return np.unique(ids[fires])

    def _judge(self, ids: Ids, latest_s: int, now_ms: int) -> Ids:
        """Those that fire."""
        if not len(ids):
            return ids
        scores = self._scores(ids, latest_s)
        fires = np.stack([score.fires for score in scores])
        for i in np.flatnonzero(fires.any(axis=0)).tolist():
            first = int(fires[:, i].argmax())
            self._found(int(ids[i]), scores[first], i, self.rule.windows_seconds[first], latest_s, now_ms)
        fired: Ids = ids[fires.any(axis=0)]
        return fired

    def _clear(self, ids: Ids, latest_s: int) -> None:
        for i in ids.tolist():
            if (value := self._table.scopes.values[i]) is not None:
                self._standings.cleared(self.rule, value, latest_s * 1000, 1.0, self.rule.factor)

    def _learn(self, ids: Ids, latest_s: int) -> None:
        seen = np.stack([calls.of(ids) for _, calls, _ in self._windows], axis=1)
        self._records.learn(self._places(ids), seen, latest_s // DAY_S)

    def _places(self, ids: Ids) -> IntArray:
        return self._records.places(self._keys(ids))

    def _keys(self, ids: Ids) -> list[str]:
        values = self._table.scopes.values
        return [values[i] or "" for i in ids.tolist()]

    def _scores(self, ids: Ids, latest_s: int) -> list[BurstScore]:
        """One score per window, the shortest first."""
        first_s = self._table.scopes.first_s[ids]
        gap_s = latest_s - latest_s % 60 - (GAP_PANES - 1) * 60
        lived_s = np.clip(gap_s - first_s, 1, HOUR_PANES * 60)
        starts = list(range(gap_s - HOUR_PANES * 60, gap_s, 60))
        phi = dispersion(self._table.history("1m", starts, ids, CALLS))
        rates = [rolling.of(ids) / lived_s for rolling in (self._calls, self._cost)]
        known = (latest_s - first_s >= DAY_S) & self._records.knows_before(latest_s // DAY_S)
        places, scores = self._places(ids), []
        for number, seconds in enumerate(self.rule.windows_seconds):
            _, calls, cost = self._windows[number]
            record = np.where(known, self._record(places, latest_s, number), -1)
            usual = rates[0] * seconds, rates[1] * seconds
            scores.append(burst((calls.of(ids), cost.of(ids)), usual, phi, record, seconds, self.rule))
        return scores

    def _record(self, places: IntArray, latest_s: int, window: int) -> IntArray:
        """The largest day before, or from a week of days on the second largest: an old burst hides no new one.

        A scope without a busy day has none: it never came near to `calls_min`.
        """
        found, days = self._records.before(places, latest_s // DAY_S, window)
        return np.where(days >= WEEK, found[:, 1], found[:, 0])

    def _found(self, scope: int, score: BurstScore, i: int, seconds: int, latest_s: int, now_ms: int) -> None:
        value, rule = self._table.scopes.values[scope], self.rule
        if (
            value is None
            or not fnmatchcase(value, rule.match)
            or not self._standings.due(rule, value, now_ms)
        ):
            return
        at_ms = (latest_s - latest_s % 10) * 1000
        since_s = latest_s - latest_s % 10 - seconds + 10
        finding = Finding(
            value=float(score.value[i]),
            threshold=float(score.threshold[i]),
            at_ms=at_ms,
            starts_ms=since_s * 1000,
            excess_nanousd=self._so_far(value, int(score.excess_nanousd[i]), seconds, at_ms),
            per_hour_nanousd=partial(int, int(score.excess_nanousd[i]) * 3600 // seconds),
            evidence=partial(
                self._witness.of_window,
                rule.axis,
                value,
                self._granularity(seconds),
                since_s,
                latest_s + 1,
                rule.driver,
            ),
        )
        self._standings.found(rule, value, finding, now_ms)

    def _granularity(self, seconds: int) -> str:
        return finest_for(self._table.kind, seconds)

    def _so_far(self, value: str, excess: int, seconds: int, at_ms: int) -> int:
        """Excess since the burst began: what was told, plus the current rate since then."""
        standing = self._standings.of(self.rule).get(value)
        if standing is None:
            return excess
        return standing.excess_nanousd + excess * (at_ms - standing.at_ms) // (seconds * 1000)


def record_name(rule: BurstRule) -> str:
    """Under which its records are kept: rules of the same axis, windows and least number share them."""
    return f"burst-{rule.axis}-{'-'.join(map(str, rule.windows_seconds))}-{rule.calls_min}"

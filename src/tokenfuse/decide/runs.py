"""Agents: every touched run against its limits and its feature's records, at every block."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import partial
from typing import Final

import numpy as np

from tokenfuse.contracts.measures import INDEX
from tokenfuse.contracts.ruleset import AgentRule
from tokenfuse.decide.evidence import COST
from tokenfuse.decide.judge import Court
from tokenfuse.decide.run_records import DAY_S, RunLearner
from tokenfuse.decide.standings import Finding
from tokenfuse.detect.agent import RECORDED, over, thresholds
from tokenfuse.detect.arrays import FloatArray, IntArray
from tokenfuse.windows.ahead import Ahead
from tokenfuse.windows.granularity import PANE_SECONDS_OF, finest_for
from tokenfuse.windows.pane import Ids
from tokenfuse.windows.rolling import RollingSum

IDLE_S: Final = 600
"""A run without a call for so long is over: what stood of it is cleared."""


class RunJudge:
    """One agent rule on axis run_id."""

    def __init__(self, rule: AgentRule, court: Court) -> None:
        """Bind a rule to the runs."""
        self.rule = rule
        self._table = court.state.tables[rule.axis]
        self._witness = court.witness
        self._standings = court.standings
        self._learner: RunLearner = court.runs
        self._peers: tuple[int, int] = (-1, 0)
        nothing = np.zeros(1, np.int64)
        # That of a run of a feature without a record.
        self._least = (
            rule.at_least
            if rule.times_record is not None
            else float(thresholds(rule, nothing, nothing, 0)[0])
        )

    def advance(self, latest_s: int) -> None:
        """Move the window of the context."""
        self._learner.advance(latest_s)

    def judge(self, ids: Ids, latest_s: int, now_ms: int) -> None:
        """Judge some runs: those touched, and those that stand."""
        scopes = self._table.scopes
        standing = self._standings.ids_of(self.rule, scopes, latest_s * 1000)
        ids = self._high(ids)
        if len(standing):
            ids = np.union1d(ids, standing).astype(np.int32)
        if not len(ids):
            return
        value = self._learner.values_of(ids)[self.rule.measure]
        threshold = self._thresholds(ids, latest_s)
        cost = scopes.totals.column(ids, COST)
        fires = over(value, threshold, cost, self.rule) & (latest_s - scopes.last_s[ids] < IDLE_S)
        for i in np.flatnonzero(fires).tolist():
            self._found(int(ids[i]), int(value[i]), float(threshold[i]), int(cost[i]), latest_s, now_ms)
        for i in np.flatnonzero(~fires & np.isin(ids, standing)).tolist():
            if (name := scopes.values[ids[i]]) is not None:
                limit = float(np.minimum(threshold[i], 2**53))
                self._standings.cleared(self.rule, name, latest_s * 1000, float(value[i]), limit)

    def suspects(self, ahead: Ahead, latest_s: int, until_s: int) -> Ids:  # noqa: ARG002
        """Runs that are over their threshold at some moment, and high ones whose threshold the block itself may set."""
        run, rule = self._learner.foreseen, self.rule
        assert run is not None  # noqa: S101 - the panel looks ahead before it asks
        value = run.values[rule.measure]
        high = np.flatnonzero((value > self._least) & (run.cost_nanousd >= rule.floor_nanousd))
        if len(high) and rule.times_record is not None and run.features is not None and run.within_a_day:
            places = self._learner.records.known_places([run.features[i] for i in high.tolist()])
            threshold = self._by_record(places, int(run.latest_s[0]) // DAY_S)
            # A feature's place is given when it is first looked up: in the order of the moments.
            high = high[(value[high] > threshold) | (places < 0)]
        return np.unique(run.ids[high])

    def _high(self, ids: Ids) -> Ids:
        """Runs that are above the least threshold that any has: few are."""
        if not len(ids):
            return ids
        some = ids[self._learner.values(ids)[self.rule.measure] > self._least]
        if not len(some):
            return some
        return np.unique(some[self._table.scopes.totals.column(some, COST) >= self.rule.floor_nanousd])

    def _thresholds(self, ids: Ids, latest_s: int) -> FloatArray:
        if self.rule.times_record is None:
            nothing = np.zeros(len(ids), np.int64)
            return thresholds(self.rule, nothing, nothing, 0)
        return self._by_record(self._learner.places(ids), latest_s // DAY_S)

    def _by_record(self, places: IntArray, day: int) -> FloatArray:
        rule, records = self.rule, self._learner.records
        quantity = RECORDED.index(rule.measure)
        if self._peers[0] != day:
            self._peers = day, records.largest(day, quantity, rule.record_days_min)
        record, days = self._learner.record(places, day, quantity)
        return thresholds(rule, record, days, self._peers[1])

    def _found(self, scope: int, value: int, threshold: float, cost: int, latest_s: int, now_ms: int) -> None:
        name, rule = self._table.scopes.values[scope], self.rule
        if name is None or not fnmatchcase(name, rule.match) or not self._standings.due(rule, name, now_ms):
            return
        at_ms = (latest_s - latest_s % 10) * 1000
        # What the run cost beyond its limit, if every step costs the same.
        excess = int(cost * (1 - threshold / value))
        finding = Finding(
            value=float(value),
            threshold=threshold,
            at_ms=at_ms,
            starts_ms=self._table.scopes.newest_ms(scope, at_ms),
            excess_nanousd=excess,
            per_hour_nanousd=partial(self._witness.nanousd_per_hour, rule.axis, name, latest_s),
            evidence=partial(self._witness.of_run, name, latest_s + 1, excess, rule.driver),
        )
        self._standings.found(rule, name, finding, now_ms)


class RunsJudge:
    """One agent rule on another axis: what all runs of a scope did in a rolling window."""

    def __init__(self, rule: AgentRule, court: Court) -> None:
        """Bind a rule to the windows that it reads."""
        self.rule = rule
        self._table = court.state.tables[rule.axis]
        self._witness = court.witness
        self._standings = court.standings
        self._granularity = finest_for(self._table.kind, rule.window_seconds)
        names = ("input_tokens", "output_tokens") if rule.measure == "tokens" else (rule.measure,)
        self._measures = [INDEX[name] for name in names]
        self._sums = [self._rolling(measure) for measure in self._measures]
        self._cost = self._rolling(COST)

    def _rolling(self, measure: int) -> RollingSum:
        return self._table.rolling(self._granularity, self.rule.window_seconds, measure)

    def advance(self, latest_s: int) -> None:
        """Move the windows so that they end with the pane of latest_s."""
        for rolling in (*self._sums, self._cost):
            rolling.advance(latest_s - latest_s % PANE_SECONDS_OF[self._granularity])

    def judge(self, ids: Ids, latest_s: int, now_ms: int) -> None:
        """Judge some scopes: those touched, and those that stand."""
        scopes, rule = self._table.scopes, self.rule
        standing = self._standings.ids_of(rule, scopes, latest_s * 1000)
        ids = self._costly(ids, 0)
        if len(standing):
            ids = np.union1d(ids, standing).astype(np.int32)
        if not len(ids):
            return
        value = sum((rolling.of(ids) for rolling in self._sums), np.zeros(len(ids), np.int64))
        nothing = np.zeros(len(ids), np.int64)
        threshold, cost = thresholds(rule, nothing, nothing, 0), self._cost.of(ids)
        fires = over(value, threshold, cost, rule)
        for i in np.flatnonzero(fires).tolist():
            self._found(int(ids[i]), int(value[i]), float(threshold[i]), int(cost[i]), latest_s, now_ms)
        for i in np.flatnonzero(~fires & np.isin(ids, standing)).tolist():
            if (name := scopes.values[ids[i]]) is not None:
                self._standings.cleared(rule, name, latest_s * 1000, float(value[i]), float(threshold[i]))

    def suspects(self, ahead: Ahead, latest_s: int, until_s: int) -> Ids:  # noqa: ARG002
        """Scopes that would be over the limit if nothing left their window meanwhile."""
        ids = self._costly(ahead.ids, ahead.added(COST))
        if not len(ids):
            return ids
        value = sum((ahead.added(measure) for measure in self._measures), np.zeros(len(ahead.ids), np.int64))
        value = value[np.isin(ahead.ids, ids)] + sum(rolling.of(ids) for rolling in self._sums)
        nothing = np.zeros(len(ids), np.int64)
        suspects: Ids = ids[value > thresholds(self.rule, nothing, nothing, 0)]
        return suspects

    def _costly(self, ids: Ids, more_nanousd: IntArray | int) -> Ids:
        """Scopes over the floor: few are."""
        return np.unique(ids[self._cost.of(ids) + more_nanousd >= self.rule.floor_nanousd])

    def _found(self, scope: int, value: int, threshold: float, cost: int, latest_s: int, now_ms: int) -> None:
        name, rule = self._table.scopes.values[scope], self.rule
        if name is None or not fnmatchcase(name, rule.match) or not self._standings.due(rule, name, now_ms):
            return
        at_ms = (latest_s - latest_s % 10) * 1000
        size = PANE_SECONDS_OF[self._granularity]
        since_s = latest_s - latest_s % size - rule.window_seconds + size
        finding = Finding(
            value=float(value),
            threshold=threshold,
            at_ms=at_ms,
            starts_ms=self._table.scopes.newest_ms(scope, at_ms),
            excess_nanousd=int(cost * (1 - threshold / value)),
            per_hour_nanousd=partial(self._witness.nanousd_per_hour, rule.axis, name, latest_s),
            evidence=partial(
                self._witness.of_window,
                rule.axis,
                name,
                self._granularity,
                since_s,
                latest_s + 1,
                rule.driver,
            ),
        )
        self._standings.found(rule, name, finding, now_ms)


def agent_judge(rule: AgentRule, court: Court) -> RunJudge | RunsJudge:
    """The judge of a rule on its axis."""
    return RunJudge(rule, court) if rule.axis == "run_id" else RunsJudge(rule, court)

"""Burn rates: rolling windows of every scope with a budget against its plan, at every block."""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np

from tokenfuse.contracts.ruleset import BurnRateRule
from tokenfuse.decide.evidence import COST
from tokenfuse.decide.judge import Court
from tokenfuse.decide.limits import Limits
from tokenfuse.decide.outlooks import outlook
from tokenfuse.decide.standings import Finding
from tokenfuse.detect.arrays import FloatArray, IntArray
from tokenfuse.detect.burn_rate import Budgets, BurnScore, burn_rate
from tokenfuse.detect.cap import NO_LIMIT
from tokenfuse.windows.ahead import Ahead
from tokenfuse.windows.calendar import period_end_s, period_starts
from tokenfuse.windows.granularity import PANE_SECONDS_OF, finest_for
from tokenfuse.windows.pane import Ids
from tokenfuse.windows.rolling import RollingSum

PERIOD_MAX_S: Final = {"day": 2 * 86_400, "month": 33 * 86_400}
"""More than any period lasts, whatever a time zone does with its clocks."""

FORECAST_MAX_S: Final = 400 * 86_400
"""A budget that lasts longer than a year from now is not said to end."""


class BurnRateJudge:
    """One burn-rate rule on one deltas partition."""

    def __init__(self, rule: BurnRateRule, court: Court) -> None:
        """Bind a rule to the windows that it reads."""
        self.rule = rule
        self._table = court.state.tables[rule.axis]
        self._witness = court.witness
        self._standings = court.standings
        self._limits = Limits(rule.match, rule.budget_nanousd, rule.budgets)
        self._granularity = finest_for(self._table.kind, rule.long_seconds)
        self._long = self._window(rule.long_seconds)
        self._short = self._window(rule.short_seconds)
        self._pace = self._window(rule.pace_seconds or rule.long_seconds)

    def _window(self, seconds: int) -> tuple[RollingSum, int]:
        granularity = finest_for(self._table.kind, seconds)
        return self._table.rolling(granularity, seconds, COST), PANE_SECONDS_OF[granularity]

    def advance(self, latest_s: int) -> None:
        """Move the windows so that they end with the pane of latest_s."""
        for rolling, size in (self._long, self._short, self._pace):
            rolling.advance(latest_s - latest_s % size)

    def judge(self, ids: Ids, latest_s: int, now_ms: int) -> None:
        """Judge some scopes: those touched, and those that stand."""
        standing = self._standings.ids_of(self.rule, self._table.scopes, latest_s * 1000)
        ids = self._fast(ids, 0)
        if len(standing):
            ids = np.union1d(ids, standing).astype(np.int32)
        if not len(ids):
            return
        score = self._score(ids, latest_s)
        for i in np.flatnonzero(score.fires).tolist():
            self._found(int(ids[i]), score, i, latest_s, now_ms)
        for i in np.flatnonzero(~score.fires & np.isin(ids, standing)).tolist():
            value = self._table.scopes.values[ids[i]]
            if value is not None:
                at_ms = latest_s * 1000
                self._standings.cleared(self.rule, value, at_ms, float(score.value[i]), self.rule.factor)

    def suspects(self, ahead: Ahead, latest_s: int, until_s: int) -> Ids:  # noqa: ARG002
        """Scopes that may fire if nothing leaves their windows meanwhile: the plan's least rate holds in every period."""
        return self._fast(ahead.ids, ahead.added(COST))

    def _fast(self, ids: Ids, more_nanousd: IntArray | int) -> Ids:
        """Scopes with a budget that may fire: usually few. The plan is at least that of the longest period."""
        budgets = self._limits.of(self._table.scopes, ids)
        least = self.rule.factor * np.maximum(budgets, 1) / PERIOD_MAX_S[self.rule.window]
        fast = self._long[0].of(ids) + more_nanousd > least * self.rule.long_seconds
        fast &= self._short[0].of(ids) + more_nanousd > least * self.rule.short_seconds
        return np.unique(ids[fast & (budgets != NO_LIMIT)])

    def _score(self, ids: Ids, latest_s: int) -> BurnScore:
        rule = self.rule
        spent = self._table.period_sums(rule.window, latest_s, ids, COST)
        budgets = Budgets(self._limits.of(self._table.scopes, ids), spent, *self._periods(ids, latest_s))
        score = burn_rate(self._long[0].of(ids), self._short[0].of(ids), self._rate(ids), budgets, rule)
        if not rule.pace_seconds:
            return score
        grown = latest_s - self._table.scopes.first_s[ids] >= rule.pace_seconds
        return BurnScore(score.fires & grown, score.value, score.excess_nanousd, score.lasts_s)

    def _rate(self, ids: Ids) -> FloatArray:
        rate: FloatArray = self._pace[0].of(ids) / (self.rule.pace_seconds or self.rule.long_seconds)
        return rate

    def _periods(self, ids: Ids, latest_s: int) -> tuple[IntArray, IntArray]:
        """Length of each scope's period and what is left of it, seconds."""
        length, left = np.empty(len(ids), np.int64), np.empty(len(ids), np.int64)
        for zone, inside in self._table.zones.split(ids):
            start = int(period_starts(self.rule.window, zone, np.array([latest_s]))[0])
            end = period_end_s(self.rule.window, zone, start)
            length[inside], left[inside] = end - start, end - latest_s
        return length, left

    def _found(self, scope: int, score: BurnScore, i: int, latest_s: int, now_ms: int) -> None:
        value = self._table.scopes.values[scope]
        if value is None or not self._standings.due(self.rule, value, now_ms):
            return
        rule, size = self.rule, PANE_SECONDS_OF[self._granularity]
        at_ms = (latest_s - latest_s % 10) * 1000
        start_s = latest_s - latest_s % size - rule.long_seconds + size
        finding = Finding(
            value=float(score.value[i]),
            threshold=rule.factor,
            at_ms=at_ms,
            starts_ms=self._table.scopes.newest_ms(scope, at_ms),
            excess_nanousd=int(score.excess_nanousd[i]),
            per_hour_nanousd=partial(self._witness.nanousd_per_hour, rule.axis, value, latest_s),
            evidence=partial(
                self._witness.of_window,
                rule.axis,
                value,
                self._granularity,
                start_s,
                latest_s + 1,
                rule.driver,
            ),
            exhausted_ms=_exhausted_ms(latest_s, float(score.lasts_s[i])),
            outlook=partial(outlook, self._table, scope, rule.window, latest_s),
        )
        self._standings.found(rule, value, finding, now_ms)


def _exhausted_ms(latest_s: int, lasts_s: float) -> int | None:
    return (latest_s + int(lasts_s)) * 1000 if lasts_s < FORECAST_MAX_S else None

"""Caps: exact spend of rolling and calendar windows against limits, at every block."""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from tokenfuse.contracts.ruleset import ROLLING, CapRule
from tokenfuse.decide.evidence import COST
from tokenfuse.decide.judge import Court
from tokenfuse.decide.limits import Limits
from tokenfuse.decide.outlooks import outlook
from tokenfuse.decide.standings import Finding
from tokenfuse.detect.cap import breached
from tokenfuse.windows.ahead import Ahead
from tokenfuse.windows.calendar import period_end_s, period_starts
from tokenfuse.windows.granularity import PANE_SECONDS_OF, finest_for
from tokenfuse.windows.pane import Ids

PERIOD_PANES: Final = "1h"
"""From which panes the evidence of a calendar window is read: most time zones are whole hours from UTC."""


class CapJudge:
    """One cap rule on one deltas partition."""

    def __init__(self, rule: CapRule, court: Court) -> None:
        """Bind a rule to the windows that it reads."""
        self.rule = rule
        self._table = court.state.tables[rule.axis]
        self._witness = court.witness
        self._standings = court.standings
        self._limits = Limits(rule.match, rule.limit_nanousd, rule.limits)
        self._rolling_s = ROLLING.get(rule.window)
        if self._rolling_s is not None:
            self._granularity = finest_for(self._table.kind, self._rolling_s)
            self._rolling = self._table.rolling(self._granularity, self._rolling_s, COST)
        else:
            self._granularity = PERIOD_PANES

    def advance(self, latest_s: int) -> None:
        """Move the rolling window so that it ends with the pane of latest_s."""
        if self._rolling_s is not None:
            self._rolling.advance(latest_s - latest_s % PANE_SECONDS_OF[self._granularity])

    def judge(self, ids: Ids, latest_s: int, now_ms: int) -> None:
        """Judge some scopes: those touched, and those that stand."""
        standing = self._standings.ids_of(self.rule, self._table.scopes, latest_s * 1000)
        if len(standing):
            ids = np.union1d(ids, standing).astype(np.int32)
        if not len(ids):
            return
        limits, spend = self._limits.of(self._table.scopes, ids), self._spend(ids, latest_s)
        over = breached(spend, limits)
        if not len(standing) and not over.any():
            return
        for i in np.flatnonzero(over).tolist():
            self._found(int(ids[i]), int(spend[i]), int(limits[i]), latest_s, now_ms)
        if len(standing):
            ended = ~over & np.isin(ids, standing)
            self._clear(ids[ended], spend[ended], limits[ended], latest_s)

    def suspects(self, ahead: Ahead, latest_s: int, until_s: int) -> Ids:  # noqa: ARG002
        """Scopes that would be over their limit if nothing left their window meanwhile."""
        spend = self._spend(ahead.ids, latest_s) + ahead.added(COST)
        over: Ids = ahead.ids[breached(spend, self._limits.of(self._table.scopes, ahead.ids))]
        return over

    def _found(self, scope: int, spend: int, limit: int, latest_s: int, now_ms: int) -> None:
        value = self._table.scopes.values[scope]
        if value is None or not self._standings.due(self.rule, value, now_ms):
            return
        start_s, until_s = self._window(scope, latest_s)
        at_ms = (latest_s - latest_s % 10) * 1000
        rule = self.rule
        finding = Finding(
            value=float(spend),
            threshold=float(limit),
            at_ms=at_ms,
            starts_ms=self._table.scopes.newest_ms(scope, at_ms),
            excess_nanousd=spend - limit,
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
            until_ms=until_s * 1000 if until_s is not None else None,
            outlook=partial(outlook, self._table, scope, rule.window, latest_s),
        )
        self._standings.found(rule, value, finding, now_ms)

    def _clear(
        self, ids: Ids, spend: npt.NDArray[np.int64], limits: npt.NDArray[np.int64], latest_s: int
    ) -> None:
        for i, spent, limit in zip(ids.tolist(), spend.tolist(), limits.tolist(), strict=True):
            if (value := self._table.scopes.values[i]) is not None:
                self._standings.cleared(self.rule, value, latest_s * 1000, float(spent), float(limit))

    def _spend(self, ids: Ids, latest_s: int) -> npt.NDArray[np.int64]:
        if self._rolling_s is not None:
            return self._rolling.of(ids)
        return self._table.period_sums(self.rule.window, latest_s, ids, COST)

    def _window(self, scope: int, latest_s: int) -> tuple[int, int | None]:
        if self._rolling_s is not None:
            size = PANE_SECONDS_OF[self._granularity]
            return latest_s - latest_s % size - self._rolling_s + size, None
        zone = self._table.zones.of(scope)
        start = int(period_starts(self.rule.window, zone, np.array([latest_s]))[0])
        return start, period_end_s(self.rule.window, zone, start)

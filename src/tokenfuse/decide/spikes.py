"""Spikes: an open hour or day that already costs a multiple of the mean before it."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import partial

import numpy as np

from tokenfuse.contracts.ruleset import SpikeRule
from tokenfuse.decide.evidence import COST
from tokenfuse.decide.judge import Court
from tokenfuse.decide.standings import Finding
from tokenfuse.detect.spike import SpikeScore, spike_of_total
from tokenfuse.windows.granularity import PANE_SECONDS_OF
from tokenfuse.windows.pane import Ids


class SpikeJudge:
    """One spike rule on one deltas partition. Within a pane spend only grows, so the open pane is judged as it is."""

    def __init__(self, rule: SpikeRule, court: Court) -> None:
        """Bind a rule to the windows that it reads."""
        self.rule = rule
        self._table = court.state.tables[rule.axis]
        self._witness = court.witness
        self._standings = court.standings
        self._size = PANE_SECONDS_OF[rule.pane]
        self._panes = min(rule.history_panes, self._table.kind.panes[rule.pane])
        self._history = self._table.rolling(rule.pane, self._panes * self._size, COST, behind=1)

    def advance(self, latest_s: int) -> None:
        """Move the history so that it ends before the pane of latest_s."""
        self._history.advance(latest_s - latest_s % self._size - self._size)

    def judge(self, ids: Ids, latest_s: int, now_ms: int) -> None:
        """Judge some scopes: those touched, and those that stand."""
        standing = self._standings.ids_of(self.rule, self._table.scopes, latest_s * 1000)
        ids = self._matching(np.union1d(ids, standing).astype(np.int32))
        self._clear_unmatched(np.setdiff1d(standing, ids), latest_s)
        if not len(ids):
            return
        pane_s = latest_s - latest_s % self._size
        score = self._score(ids, pane_s)
        before = self._score(ids, pane_s - self._size)
        still = np.isin(ids, standing) & before.fires & ~score.fires
        for i in np.flatnonzero(score.fires).tolist():
            self._found(int(ids[i]), score, i, (pane_s, latest_s + 1), now_ms)
        for i in np.flatnonzero(np.isin(ids, standing) & ~score.fires & ~still).tolist():
            value = self._table.scopes.values[ids[i]]
            if value is not None:
                self._standings.cleared(
                    self.rule, value, latest_s * 1000, float(score.value[i]), score.threshold
                )

    def _clear_unmatched(self, ids: Ids, latest_s: int) -> None:
        """A rule set that narrowed the rule's pattern left verdicts standing that are none any more."""
        for i in ids.tolist():
            value = self._table.scopes.values[i]
            if value is not None:
                self._standings.cleared(self.rule, value, latest_s * 1000, 0.0, self.rule.factor)

    def _score(self, ids: Ids, pane_s: int) -> SpikeScore:
        """Score of the open pane, or of the one before it, which is the last of the history."""
        open_s = self._history.end_s
        current = self._table.history(self.rule.pane, [pane_s], ids, COST)[0]
        total, panes = self._history.of(ids), self._panes
        if open_s is not None and pane_s <= open_s:
            total, panes = total - current, panes - 1
        first = self._table.scopes.first_s[ids]
        age = np.clip((pane_s - first + first % self._size) // self._size, 0, panes)
        return spike_of_total(current, total, age, self.rule)

    def _found(self, scope: int, score: SpikeScore, i: int, window: tuple[int, int], now_ms: int) -> None:
        value = self._table.scopes.values[scope]
        if value is None or not self._standings.due(self.rule, value, now_ms):
            return
        start_s, end_s = window
        granularity = "1h" if self.rule.pane == "1d" else "1m"
        rule = self.rule
        finding = Finding(
            value=float(score.value[i]),
            threshold=score.threshold,
            at_ms=(end_s - 1) // 10 * 10_000,
            starts_ms=start_s * 1000,
            excess_nanousd=int(score.excess_nanousd[i]),
            per_hour_nanousd=partial(self._witness.nanousd_per_hour, rule.axis, value, end_s - 1),
            evidence=partial(
                self._witness.of_window, rule.axis, value, granularity, start_s, end_s, rule.driver
            ),
        )
        self._standings.found(rule, value, finding, now_ms)

    def _matching(self, ids: Ids) -> Ids:
        if self.rule.match == "*":
            return ids
        values = self._table.scopes.values
        return np.array([i for i in ids.tolist() if fnmatchcase(values[i] or "", self.rule.match)], np.int32)

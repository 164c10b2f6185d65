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
from tokenfuse.windows.ahead import Ahead
from tokenfuse.windows.granularity import PANE_SECONDS_OF
from tokenfuse.windows.narrow import Sums
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
        self._open = self._table.rolling(rule.pane, self._size, COST)

    def advance(self, latest_s: int) -> None:
        """Move the history so that it ends before the pane of latest_s."""
        pane_s = latest_s - latest_s % self._size
        self._history.advance(pane_s - self._size)
        self._open.advance(pane_s)

    def judge(self, ids: Ids, latest_s: int, now_ms: int) -> None:
        """Judge some scopes: those touched, and those that stand."""
        standing = self._standings.ids_of(self.rule, self._table.scopes, latest_s * 1000)
        if len(standing):
            ids = np.union1d(ids, standing).astype(np.int32)
        costly = self._matching(self._costly(ids, 0))
        pane_s = latest_s - latest_s % self._size
        if len(costly):
            score = self._score(costly, self._open.of(costly), pane_s)
            for i in np.flatnonzero(score.fires).tolist():
                self._found(int(costly[i]), score, i, (pane_s, latest_s + 1), now_ms)
        if len(standing):
            self._judge_standing(standing, pane_s, latest_s)

    def suspects(self, ahead: Ahead, latest_s: int, until_s: int) -> Ids:
        """Scopes that would fire if all came at once, in the pane that is open or in the next one."""
        ids, nanousd = ahead.ids, ahead.added(COST)
        ids, nanousd = _both(ids, nanousd, self._matching(self._costly(ids, nanousd)))
        pane_s, next_s = latest_s - latest_s % self._size, until_s - until_s % self._size
        if not len(ids) or next_s > pane_s + self._size or self._open.end_s != pane_s:
            return ids
        fires = self._score(ids, self._open.of(ids) + nanousd, pane_s).fires
        if next_s > pane_s:
            oldest = self._table.history(self.rule.pane, [pane_s - self._panes * self._size], ids, COST)[0]
            total = self._history.of(ids) + self._open.of(ids) - oldest
            fires |= spike_of_total(nanousd, total, self._age(ids, next_s), self.rule).fires
        return np.asarray(ids[fires])

    def _costly(self, ids: Ids, more_nanousd: Sums | int) -> Ids:
        """Scopes whose open pane may be over the floor, which few are; the mean is not below zero but by corrections."""
        most = self._open.of(ids) + more_nanousd - np.minimum(self._history.of(ids), 0)
        return np.asarray(ids[most >= self.rule.floor_nanousd])

    def _judge_standing(self, standing: Ids, pane_s: int, latest_s: int) -> None:
        """What stood through a pane's end is cleared only when the next pane is judged on its own."""
        ids = self._matching(standing)
        self._clear_unmatched(np.setdiff1d(standing, ids), latest_s)
        score = self._score(ids, self._open.of(ids), pane_s)
        before_s = pane_s - self._size
        before = self._score(ids, self._table.history(self.rule.pane, [before_s], ids, COST)[0], before_s)
        for i in np.flatnonzero(~score.fires & ~before.fires).tolist():
            if (value := self._table.scopes.values[ids[i]]) is not None:
                self._standings.cleared(
                    self.rule, value, latest_s * 1000, float(score.value[i]), score.threshold
                )

    def _clear_unmatched(self, ids: Ids, latest_s: int) -> None:
        """A rule set that narrowed the rule's pattern left verdicts standing that are none any more."""
        for i in ids.tolist():
            value = self._table.scopes.values[i]
            if value is not None:
                self._standings.cleared(self.rule, value, latest_s * 1000, 0.0, self.rule.factor)

    def _score(self, ids: Ids, nanousd: Sums, pane_s: int) -> SpikeScore:
        """Score of the open pane, or of the one before it, which is the last of the history."""
        open_s = self._history.end_s
        total, panes = self._history.of(ids), self._panes
        if open_s is not None and pane_s <= open_s:
            total, panes = total - nanousd, panes - 1
        return spike_of_total(nanousd, total, np.minimum(self._age(ids, pane_s), panes), self.rule)

    def _age(self, ids: Ids, pane_s: int) -> Sums:
        """For how many panes of the history each scope has existed."""
        first = self._table.scopes.first_s[ids]
        age: Sums = np.clip((pane_s - first + first % self._size) // self._size, 0, self._panes)
        return age

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


def _both(ids: Ids, nanousd: Sums, some: Ids) -> tuple[Ids, Sums]:
    """Some of the ids, with what belongs to them."""
    kept = np.isin(ids, some)
    return ids[kept], nanousd[kept]

"""Novelties: values that nobody knew and that spend; on panes that closed, of the few scopes that are new.

When a scope was first seen is kept with its sums, so nothing is kept between two looks.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from tokenfuse.contracts.axes import OTHER
from tokenfuse.contracts.ruleset import NoveltyRule
from tokenfuse.decide.axis_judge import AxisJudge
from tokenfuse.decide.baselines import HOUR_S
from tokenfuse.decide.evidence import COST, Evidence, Witness
from tokenfuse.decide.judge import Court
from tokenfuse.decide.standings import Finding
from tokenfuse.detect.arrays import IntArray
from tokenfuse.detect.cap import NO_LIMIT
from tokenfuse.detect.novelty import is_new, novelty
from tokenfuse.windows.granularity import HOUR, MINUTE
from tokenfuse.windows.pane import Ids

INTERVAL_S: Final = 60
"""A closed minute is the finest that is kept for an hour, and so is what is found within a minute or two."""


class NoveltyJudge(AxisJudge[NoveltyRule]):
    """One novelty rule on one deltas partition.

    Attributes:
        interval_s, hears_calls: as of `ClosedJudge`.
    """

    interval_s = INTERVAL_S
    hears_calls = False

    def __init__(self, rule: NoveltyRule, court: Court) -> None:
        """Bind a rule to the panes that it reads."""
        super().__init__(rule, court)
        self._state = court.state

    def judge(self, watermark_s: int, now_ms: int) -> None:
        """Judge what is new as of the last closed minute, and end what is new no more."""
        now_s, scopes = watermark_s - watermark_s % INTERVAL_S, self._table.scopes
        standing = self._standings.ids_of(self.rule, scopes, now_s * 1000)
        ids = np.union1d(self._new(now_s), standing).astype(np.int32)
        if not len(ids):
            return
        spent = self._spent(ids, now_s)
        new = is_new(scopes.first_s[ids], now_s, self._state.began_s, self.rule)
        fires = novelty(new, spent, self.rule) & (self._matching.of(scopes, ids) != NO_LIMIT)
        for i in np.flatnonzero(fires).tolist():
            self._found(int(ids[i]), int(spent[i]), now_s, now_ms)
        for i in np.flatnonzero(~fires & np.isin(ids, standing)).tolist():
            name, threshold = scopes.values[ids[i]], float(self.rule.floor_nanousd)
            self._standings.cleared(self.rule, name or "", now_s * 1000, float(spent[i]), threshold)

    def _new(self, now_s: int) -> Ids:
        """New scopes; the one into which values beyond the axis's bound fold is none."""
        scopes = self._table.scopes
        live = scopes.live()
        ids = live[is_new(scopes.first_s[live], now_s, self._state.began_s, self.rule)]
        return np.array([i for i in ids.tolist() if not (scopes.values[i] or "").startswith(OTHER)], np.int32)

    def _spent(self, ids: Ids, now_s: int) -> IntArray:
        """Since the first call, in closed minutes, int64[n]: how calls were cut into blocks changes nothing."""
        first_s, hour_s = int(self._table.scopes.first_s[ids].min()), now_s - now_s % HOUR_S
        since_s = max(first_s, now_s - self.rule.window_seconds)
        hours = list(range(since_s - since_s % HOUR_S, hour_s, HOUR_S))
        minutes = list(range(hour_s, now_s, 60))
        whole, rest = (self._table.history(*part, ids, COST) for part in ((HOUR, hours), (MINUTE, minutes)))
        return np.asarray(whole.sum(axis=0) + rest.sum(axis=0))

    def _found(self, scope: int, spent: int, now_s: int, now_ms: int) -> None:
        name, rule = self._table.scopes.values[scope], self.rule
        if name is None or not self._standings.due(rule, name, now_ms):
            return
        first_s = int(self._table.scopes.first_s[scope])
        finding = Finding(
            value=float(spent),
            threshold=float(rule.floor_nanousd),
            at_ms=now_s * 1000,
            starts_ms=first_s * 1000,
            excess_nanousd=spent,
            per_hour_nanousd=partial(self._witness.nanousd_per_hour, rule.axis, name, now_s - 1),
            evidence=partial(_evidence, self._witness, rule, name, first_s, now_s),
        )
        self._standings.found(rule, name, finding, now_ms)


def _evidence(witness: Witness, rule: NoveltyRule, name: str, first_s: int, now_s: int) -> Evidence:
    """All that a new scope spends is more volume: in closed minutes as long as they are kept, in closed hours later."""
    pane, size = (MINUTE, 60) if first_s >= now_s - HOUR_S else (HOUR, HOUR_S)
    window = first_s - first_s % size, now_s - now_s % size
    found = witness.of_window(rule.axis, name, pane, *window, rule.driver)
    return replace(found, driver=rule.driver)

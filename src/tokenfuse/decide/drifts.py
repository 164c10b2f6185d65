"""Drift: closed windows of every scope against its cells' learned baselines, at intervals of event time."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Final

import numpy as np

from tokenfuse.contracts.measures import INDEX
from tokenfuse.contracts.ruleset import DriftRule
from tokenfuse.decide.cells import CellIndex
from tokenfuse.decide.evidence import Evidence, Witness
from tokenfuse.decide.standings import Finding, Standings
from tokenfuse.detect.baseline import DriftBaseline, UnitBaseline, learn_baseline
from tokenfuse.detect.drift import DriftScore, Pairs, UnitScores, score_scopes, score_units
from tokenfuse.windows.granularity import PANE_SECONDS_OF, SERIES, finest_for
from tokenfuse.windows.pane import Sums
from tokenfuse.windows.rolling import RollingSum
from tokenfuse.windows.state import WindowState

HOUR_S: Final = 3600

SharedScores = dict[tuple[object, ...], tuple[UnitScores, list[Sums]]]
"""Unit scores of one moment by signal, windows and baseline: they do not depend on the axis."""


class Baselines:
    """What is normal for every cell, learned anew every hour of event time; part of the checkpoint.

    Attributes:
        hours: how far back they reach. learned_s: the hour in which they were learned.
        changed: since the last checkpoint row was taken.
    """

    def __init__(self, hours: int, cells: CellIndex) -> None:
        """Nothing is normal yet."""
        self.hours = hours
        self.learned_s = -1
        self.baseline: DriftBaseline | None = None
        self.changed = False
        self.cells = cells

    def refresh(self, watermark_s: int) -> None:
        """Learn from the hours before the last closed one, which is still being judged."""
        hour_s = watermark_s - watermark_s % HOUR_S
        table = self.cells.cells
        if hour_s == self.learned_s or not len(table.scopes):
            return
        ids = np.arange(len(table.scopes.values), dtype=np.int32)
        starts = [
            s for s in sorted(table.panes["1h"]) if hour_s - (self.hours + 1) * HOUR_S <= s < hour_s - HOUR_S
        ]
        if not starts:
            return
        history = np.zeros((len(INDEX), (hour_s - HOUR_S - starts[0]) // HOUR_S, len(ids)), np.int64)
        for start in starts:
            history[:, (start - starts[0]) // HOUR_S, :] = table.panes["1h"][start].gather(ids).T
        self.cells.relearn([])
        self.baseline = learn_baseline(history, self.cells.pairs("global").group_of_cell)
        self.learned_s, self.changed = hour_s, True

    def dump(self) -> dict[str, Any]:
        """Fields of the checkpoint row."""
        self.changed = False
        units = (
            {} if self.baseline is None else {"cells": self.baseline.cells, "groups": self.baseline.groups}
        )
        arrays = {
            f"{name}_{field}": getattr(unit, field)
            for name, unit in units.items()
            for field in ("sums", "hours", "tau2")
        }
        return {"learned_s": self.learned_s, "group_keys": list(self.cells.groups), **arrays}

    def load(self, fields: dict[str, Any]) -> None:
        """Inverse of `dump`."""
        self.learned_s = fields["learned_s"]
        self.cells.relearn(fields["group_keys"])
        if "cells_sums" in fields:
            units = [
                UnitBaseline(*(fields[f"{n}_{f}"] for f in ("sums", "hours", "tau2")))
                for n in ("cells", "groups")
            ]
            self.baseline = DriftBaseline(*units)


class DriftJudge:
    """One drift rule on one deltas partition."""

    def __init__(
        self,
        rule: DriftRule,
        state: WindowState,
        baselines: Baselines,
        witness: Witness,
        standings: Standings,
    ) -> None:
        """Bind a rule to the windows that it reads."""
        self.rule = rule
        self._table = state.tables[rule.axis]
        self._baselines = baselines
        self._witness = witness
        self._standings = standings
        self._cells = baselines.cells
        self._seen: tuple[int, ...] = ()
        self._windows: list[tuple[str, RollingSum]] = []
        for seconds in rule.windows_seconds:
            granularity = finest_for(SERIES, seconds)
            self._windows.append((granularity, self._cells.cells.rolling(granularity, seconds, None)))

    def advance(self, watermark_s: int) -> None:
        """Move the windows so that they end with the last closed pane."""
        for granularity, rolling in self._windows:
            size = PANE_SECONDS_OF[granularity]
            rolling.advance(watermark_s - watermark_s % size - size)

    def judge(self, pairs: Pairs, shared: SharedScores, watermark_s: int, now_ms: int) -> None:
        """Judge every scope of the axis; what other rules of this moment have scored already is shared."""
        baseline = self._baselines.baseline
        if baseline is None or not len(pairs.cell_index) or self._nothing_new():
            return
        key = (
            self.rule.signal,
            self.rule.windows_seconds,
            self.rule.baseline_hours,
            self.rule.baseline_hours_min,
        )
        if key not in shared:
            ids = np.arange(len(self._cells.cells.scopes.values), dtype=np.int32)
            recents = [rolling.of(ids).T for _, rolling in self._windows]
            windows = self.rule.windows_seconds
            shared[key] = score_units(recents, baseline, pairs.group_of_cell, self.rule, windows), recents
        units, recents = shared[key]
        score = score_scopes(units, pairs, self.rule)
        fires = [scope for scope in np.flatnonzero(score.fires).tolist() if self._matches(scope)]
        for scope in fires:
            self._found(scope, score, pairs, recents, watermark_s, now_ms)
        self._clear(set(fires), score, watermark_s)

    def _matches(self, scope: int) -> bool:
        value = self._table.scopes.values[scope]
        return value is not None and fnmatchcase(value, self.rule.match)

    def _nothing_new(self) -> bool:
        """Whether the same was judged before and nothing stands: time passes through idle partitions for nothing."""
        scopes = self._cells.cells.scopes.version, self._table.scopes.version
        seen = (*scopes, self._baselines.learned_s, *(rolling.version for _, rolling in self._windows))
        if seen == self._seen and not self._standings.of(self.rule):
            return True
        self._seen = seen
        return False

    def _found(
        self, scope: int, score: DriftScore, pairs: Pairs, recents: list[Sums], watermark_s: int, now_ms: int
    ) -> None:
        value = self._table.scopes.values[scope]
        if value is None or not self._standings.due(self.rule, value, now_ms):
            return
        window_s = int(score.window_seconds[scope])
        at_ms = watermark_s * 1000
        rate = int(score.excess_nanousd[scope]) * HOUR_S // window_s
        finding = Finding(
            value=float(score.value[scope]),
            threshold=float(score.threshold[scope]),
            at_ms=at_ms,
            starts_ms=at_ms - window_s * 1000,
            excess_nanousd=self._so_far(value, score, scope, at_ms, rate),
            per_hour_nanousd=lambda: rate,
            evidence=partial(self._evidence, scope, score, pairs, recents, window_s),
        )
        self._standings.found(self.rule, value, finding, now_ms)

    def _so_far(self, value: str, score: DriftScore, scope: int, at_ms: int, rate: int) -> int:
        """Excess since the drift began: what was told, plus the current rate since then."""
        standing = self._standings.of(self.rule).get(value)
        if standing is None:
            return int(score.excess_nanousd[scope])
        return standing.excess_nanousd + rate * (at_ms - standing.at_ms) // (HOUR_S * 1000)

    def _evidence(
        self, scope: int, score: DriftScore, pairs: Pairs, recents: list[Sums], window_s: int
    ) -> Evidence:
        mine = pairs.scope_of_cell == scope
        ids = pairs.cell_index[mine].astype(np.int32)
        recent = recents[self.rule.windows_seconds.index(window_s)].T[ids]
        baseline = self._baselines.baseline
        assert baseline is not None  # noqa: S101 - judged with it a moment ago
        past = baseline.cells.padded(len(self._cells.cells.scopes.values))
        hours = int(past.hours[ids].max(initial=1))
        scale = (window_s, max(hours, 1) * HOUR_S)
        excess = score.pair_excess_nanousd[mine]
        sides = (recent, past.sums.T[ids])
        found = self._witness.of_cells(self.rule.axis, ids, sides, scale, excess)
        return replace(found, driver=self.rule.driver)

    def _clear(self, firing: set[int], score: DriftScore, watermark_s: int) -> None:
        for value in list(self._standings.of(self.rule)):
            scope = self._table.scopes.id_of(value)
            if scope is None or scope not in firing:
                known = scope is not None and scope < len(score.value)
                number = float(score.value[scope]) if known and scope is not None else 0.0
                limit = float(score.threshold[scope]) if known and scope is not None else 0.0
                self._standings.cleared(self.rule, value, watermark_s * 1000, number, limit)

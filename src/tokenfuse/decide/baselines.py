"""What is normal: learned from the cells' closed hours, and part of the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from tokenfuse.contracts.measures import INDEX
from tokenfuse.decide.cells import CellIndex
from tokenfuse.detect.arrays import IntArray
from tokenfuse.detect.baseline import UNITS_MAX, DriftBaseline, UnitBaseline, collapse, joined, learn_units
from tokenfuse.detect.signals import CELL_SIGNALS, GROUP_SIGNALS
from tokenfuse.windows.table import AxisTable

HOUR_S: Final = 3600
LEARN_S: Final = 6 * HOUR_S
YOUNG_HOURS: Final = 72
"""Learned anew every hour in the first three days, then four times a day: two weeks do not change within hours."""

ROW_UNITS: Final = 1000
"""Units per checkpoint row: under 900 kB even if nothing compresses."""

FIELDS: Final = ("sums", "hours", "calls", "scores", "tau2_hours", "tau2_days")


class Baselines:
    """What is normal for every cell and every group of cells.

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
        self._group_keys: list[str] = []

    def refresh(self, watermark_s: int) -> None:
        """Learn from the hours before the last closed one, which is still being judged."""
        hour_s = watermark_s - watermark_s % HOUR_S
        table = self.cells.cells
        if hour_s == self.learned_s or not len(table.scopes):
            return
        starts = [s for s in table.panes["1h"] if hour_s - (self.hours + 1) * HOUR_S <= s < hour_s - HOUR_S]
        if not starts or not self._is_due(hour_s, min(starts)):
            return
        self.cells.relearn([])
        groups = self.cells.group_of_cell()
        self.baseline = _learn(table, groups, min(starts), hour_s - HOUR_S)
        self._group_keys = list(self.cells.groups)
        self.learned_s, self.changed = hour_s, True

    def _is_due(self, hour_s: int, first_s: int) -> bool:
        young = hour_s - first_s < YOUNG_HOURS * HOUR_S
        return young or hour_s // LEARN_S > self.learned_s // LEARN_S

    def rows(self) -> list[str]:
        """Names of its checkpoint rows: ROW_UNITS cells or groups each."""
        if self.baseline is None:
            return []
        return [
            f"{kind}.{chunk}"
            for kind in ("cells", "groups")
            for chunk in range(max(-(-len(getattr(self.baseline, kind).hours) // ROW_UNITS), 1))
        ]

    def dump(self, row: str) -> dict[str, Any]:
        """Fields of one checkpoint row."""
        kind, chunk = row.split(".")
        unit: UnitBaseline = getattr(self.baseline, kind)
        part = slice(int(chunk) * ROW_UNITS, (int(chunk) + 1) * ROW_UNITS)
        arrays = {field: getattr(unit, field)[..., part] for field in FIELDS}
        keys = self._group_keys[part] if kind == "groups" else []
        return {"learned_s": self.learned_s, "covered": unit.covered, "keys": keys, **arrays}

    def load(self, rows: Mapping[str, dict[str, Any]]) -> None:
        """Inverse of `dump`, all rows together."""
        parts: dict[str, list[UnitBaseline]] = {"cells": [], "groups": []}
        self._group_keys = []
        for row in sorted(rows, key=lambda row: int(row.split(".")[1])):
            fields = rows[row]
            self.learned_s = fields["learned_s"]
            self._group_keys += fields["keys"]
            unit = UnitBaseline(covered=fields["covered"], **{field: fields[field] for field in FIELDS})
            parts[row.split(".")[0]].append(unit)
        self.cells.relearn(self._group_keys)
        self.baseline = DriftBaseline(joined(parts["cells"]), joined(parts["groups"]))


def _learn(table: AxisTable, group_of_cell: IntArray, first_s: int, end_s: int) -> DriftBaseline:
    """Learns group by group, so that the hours of a hundred thousand cells are never in memory at once."""
    groups = int(group_of_cell.max(initial=-1)) + 1
    first_hour = first_s // HOUR_S % 24
    by_group = np.argsort(group_of_cell, kind="stable")
    of_groups, of_cells = [], []
    for low in range(0, max(groups, 1), UNITS_MAX):
        high = min(low + UNITS_MAX, groups)
        inside = slice(*np.searchsorted(group_of_cell[by_group], (low, high)).tolist())
        cells = by_group[inside]
        history = _history(table, cells, first_s, end_s)
        of_cells.append(learn_units(CELL_SIGNALS, history, first_hour))
        grouped = collapse(history, group_of_cell[cells] - low, high - low)
        of_groups.append(learn_units(GROUP_SIGNALS, grouped, first_hour))
    return DriftBaseline(_ordered(joined(of_cells), by_group), joined(of_groups))


def _history(table: AxisTable, cells: IntArray, first_s: int, end_s: int) -> IntArray:
    """Hour panes of some cells: int64[M, h, n]."""
    ids = cells.astype(np.int32)
    history = np.zeros((len(INDEX), (end_s - first_s) // HOUR_S, len(ids)), np.int64)
    for start, pane in table.panes["1h"].items():
        if first_s <= start < end_s:
            history[:, (start - first_s) // HOUR_S, :] = pane.gather(ids).T
    return history


def _ordered(unit: UnitBaseline, place: IntArray) -> UnitBaseline:
    """Column i becomes column place[i]."""
    order = np.argsort(place, kind="stable")
    return UnitBaseline(covered=unit.covered, **{field: getattr(unit, field)[..., order] for field in FIELDS})

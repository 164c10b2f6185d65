"""One block's rows of every axis, added pane by pane: how calls were cut into blocks must not decide what is found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tokenfuse.windows.ahead import Ahead
from tokenfuse.windows.pane import Ids
from tokenfuse.windows.rows import Rows, Times
from tokenfuse.windows.table import AxisTable


class _Part:
    """Rows of one axis, those of the earliest panes first once they are asked for in steps."""

    def __init__(self, table: AxisTable, rows: Rows) -> None:
        self.table = table
        self.rows = rows
        self.ids = table.admit(rows)
        self.at_once = False
        self._added = 0
        self._order: np.ndarray[tuple[int], np.dtype[np.intp]] | None = None
        self._times: Times = rows.pane_s

    def add(self, before_s: int | None, *, history: bool) -> Ids | None:
        """Add the rows of panes before this one that were not added yet; None: there are none."""
        if self._added == 0 and (before_s is None or self.at_once):
            self._added = len(self.ids)
            return self.table.add(self.ids, self.rows, history=history)
        if self._added == len(self.ids):
            return None
        if self._order is None:
            self._order = np.argsort(self.rows.pane_s, kind="stable")
            self._times = self.rows.pane_s[self._order]
        end = len(self._times) if before_s is None else int(np.searchsorted(self._times, before_s))
        first, self._added = self._added, max(end, self._added)
        if end <= first:
            return None
        index = self._order[first:end]
        return self.table.add(self.ids[index], self.rows.take(index), history=history)


class Batch:
    """A block whose scopes exist and whose sums are still to be added.

    Attributes:
        panes_s: starts of its panes, ascending.
    """

    def __init__(self, parts: Sequence[tuple[AxisTable, Rows]], *, history: bool = False) -> None:
        """Admit the scopes of every axis."""
        self._parts = [_Part(table, rows) for table, rows in parts]
        self._history = history
        times = [part.rows.pane_s for part in self._parts]
        self.panes_s: Times = np.unique(np.concatenate(times)) if times else np.empty(0, np.int64)

    def add(self, before_s: int | None = None) -> dict[str, Ids]:
        """Add the rows of panes that begin before this one; touched scopes by axis. None: all that are left."""
        touched = {part.table.axis: part.add(before_s, history=self._history) for part in self._parts}
        return {axis: ids for axis, ids in touched.items() if ids is not None}

    def step(self, axes: set[str]) -> None:
        """Only these axes need to be added in steps; the others come whole with the next one."""
        for part in self._parts:
            part.at_once = part.table.axis not in axes

    def ahead(self) -> dict[str, Ahead]:
        """By axis what will be added."""
        return {part.table.axis: Ahead(part.ids, part.rows) for part in self._parts}

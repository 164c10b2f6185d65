"""All measures of every scope of an axis over a closed window; those of a joint axis are added up from their cells."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from tokenfuse.contracts.axes import CELL, JOINT
from tokenfuse.contracts.ruleset import AnyRule
from tokenfuse.decide.judge import Court
from tokenfuse.decide.members import JointMembers
from tokenfuse.windows.granularity import PANE_SECONDS_OF, finest_for
from tokenfuse.windows.narrow import Sums
from tokenfuse.windows.pane import WIDTH, Ids
from tokenfuse.windows.rolling import RollingSum
from tokenfuse.windows.table import AxisTable


class ScopeSums(Protocol):
    """The scopes of one axis by number, with their sums.

    Attributes:
        granularity: of the panes that the window is made of.
    """

    granularity: str

    def advance(self, watermark_s: int) -> None:
        """Let the window end with the last pane that closed."""

    def live(self) -> Ids:
        """Every number in use, ascending."""

    def of(self, numbers: Ids) -> Sums:
        """Sums over the window, int64[n, M]."""

    def name(self, number: int) -> str | None:
        """Value of a scope; None if its number is free."""

    def standing(self, rule: AnyRule, at_ms: int) -> Ids:
        """Numbers of a rule's standing scopes, ascending; what stands of a scope that is gone is cleared."""


class _Window:
    def __init__(self, table: AxisTable, window_seconds: int, behind: int) -> None:
        self.granularity = finest_for(table.kind, window_seconds)
        self._size = PANE_SECONDS_OF[self.granularity]
        self._sums: RollingSum = table.rolling(self.granularity, window_seconds, None, behind)

    def advance(self, watermark_s: int) -> None:
        """Let the window end with the last pane that closed."""
        self._sums.advance(watermark_s - watermark_s % self._size - self._size)


class TableSums(_Window):
    """An axis with a table: its scopes' ids are the numbers."""

    def __init__(self, rule: AnyRule, window_seconds: int, court: Court) -> None:
        """Bind to the table; rules of one axis and window share the sums."""
        super().__init__(court.state.tables[rule.axis], window_seconds, behind=1)
        self._scopes = court.state.tables[rule.axis].scopes
        self._standings = court.standings

    def live(self) -> Ids:
        """Every id in use, ascending."""
        return self._scopes.live()

    def of(self, numbers: Ids) -> Sums:
        """Sums over the window, int64[n, M]."""
        return self._sums.of(numbers)

    def name(self, number: int) -> str | None:
        """Value of a scope; None if its id is free."""
        return self._scopes.values[number]

    def standing(self, rule: AnyRule, at_ms: int) -> Ids:
        """Ids of a rule's standing scopes, ascending; what stands of a scope that was evicted is cleared."""
        return self._standings.ids_of(rule, self._scopes, at_ms)


class JointSums(_Window):
    """A joint axis: its scopes have no panes of their own, so their cells' are added up when somebody looks."""

    def __init__(self, rule: AnyRule, window_seconds: int, court: Court, needs: int | None) -> None:
        """Bind to the cells. The window is the one that drift rules keep of them: nothing else reads cells on open panes."""
        super().__init__(court.state.tables[CELL], window_seconds, behind=0)
        self._members = JointMembers(rule.axis, court.cells)
        self._needs = needs
        self._standings = court.standings

    def live(self) -> Ids:
        """Every number that has a cell, ascending; none if no cell has what a finding needs: then no cell is numbered."""
        if self._needs is not None and not self._sums.has(self._needs):
            return np.empty(0, np.int32)
        of_cells = self._members.of_cells()
        return np.unique(of_cells[of_cells >= 0]).astype(np.int32)

    def of(self, numbers: Ids) -> Sums:
        """Sums over the window, int64[n, M]."""
        if not len(numbers):
            return np.zeros((0, WIDTH), np.int64)
        of_cells = self._members.of_cells()
        cells = np.flatnonzero(of_cells >= 0).astype(np.int32)
        order = np.argsort(of_cells[cells], kind="stable")
        scopes, firsts = np.unique(of_cells[cells][order], return_index=True)
        out = np.zeros((len(self._members.values), WIDTH), np.int64)
        if len(scopes):
            out[scopes] = np.add.reduceat(self._sums.of(cells[order]), firsts, axis=0)
        return out[numbers]

    def name(self, number: int) -> str | None:
        """Canonical key of a scope."""
        return self._members.value(number)

    def standing(self, rule: AnyRule, at_ms: int) -> Ids:
        """Numbers of a rule's standing scopes, ascending; what stands of a scope without cells is cleared."""
        return self._standings.ids_of(rule, self, at_ms)

    def id_of(self, value: str) -> int | None:
        """Number of a known key."""
        self._members.of_cells()
        return self._members.number(value)


def scope_sums(rule: AnyRule, window_seconds: int, court: Court, needs: int | None = None) -> ScopeSums:
    """The sums that a rule on closed panes reads.

    Args:
        needs: a measure of which a scope has something if the rule finds it; None: any scope may be found.
    """
    if JOINT in rule.axis:
        return JointSums(rule, window_seconds, court, needs)
    return TableSums(rule, window_seconds, court)

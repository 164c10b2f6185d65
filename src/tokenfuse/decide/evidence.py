"""Why, in dollars: what changed between a window and the week before it, who contributed, and example calls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from tokenfuse.contracts.axes import CELL_AXES
from tokenfuse.contracts.measures import INDEX
from tokenfuse.contracts.scope import parse_scope_key
from tokenfuse.contracts.signal import Contributor, DriverPart
from tokenfuse.decide.cells import CellIndex
from tokenfuse.detect.contributors import contributors
from tokenfuse.detect.drivers import decompose, dominant
from tokenfuse.windows.narrow import Sums
from tokenfuse.windows.pane import Ids
from tokenfuse.windows.state import WindowState

COST: Final = INDEX["cost_nanousd"]
BASE_SECONDS: Final = 7 * 86_400
EXAMPLES_MAX: Final = 5
RATE_SECONDS: Final = 600
"""Spend per hour is what the last ten minutes would come to."""


@dataclass(frozen=True)
class Evidence:
    """What a verdict says besides its numbers."""

    driver: str
    drivers: tuple[DriverPart, ...]
    contributors: tuple[Contributor, ...]
    examples: tuple[str, ...]


class Witness:
    """Looks evidence up in the windows of one deltas partition."""

    def __init__(self, state: WindowState, cells: CellIndex) -> None:
        """Read from these; nothing is kept."""
        self._state = state
        self._cells = cells

    def of_window(
        self, axis: str, value: str, granularity: str, start_s: int, end_s: int, driver: str
    ) -> Evidence:
        """Evidence for a scope's spend in [start_s, end_s) against the week before, scaled to the same length."""
        ids = self._cells.of_scope(axis, value)
        if not len(ids):
            return self._of_single(axis, value, driver)
        now = self._cells.cells.sums(granularity, start_s, end_s, ids)
        base, base_seconds = self._base(axis, value, ids, start_s)
        parts = decompose(now.T, base.T, (max(end_s - start_s, 1), base_seconds), self._cells.groups_of(ids))
        scaled = _scaled(base[:, COST], end_s - start_s, base_seconds)
        return self._evidence(axis, ids, now[:, COST] - scaled, parts, driver)

    def of_cells(
        self, axis: str, ids: Ids, sides: tuple[Sums, Sums], scale: tuple[int, int], excess: Sums
    ) -> Evidence:
        """Evidence for a drift whose cells were judged already.

        Args:
            axis: of the scope.
            ids: its cells, [n].
            sides: their sums now and normally, [n, M] each.
            scale: brings the second side to the window's length.
            excess: nano-dollars by cell, [n].
        """
        now, base = sides
        parts = decompose(now.T, base.T, scale, self._cells.groups_of(ids))
        return self._evidence(axis, ids, excess, parts, "")

    def of_missing(self, axis: str, value: str, since_s: int, nanousd: int, driver: str) -> Evidence:
        """Evidence for calls that did not come: what they usually cost, and whose they usually are, by the week before."""
        ids = self._cells.of_scope(axis, value)
        if not len(ids):
            return replace(self._of_single(axis, value, driver), drivers=(DriverPart(driver, -nanousd),))
        hour_s = since_s - since_s % 3600
        usual = self._cells.cells.sums("1h", hour_s - BASE_SECONDS, hour_s, ids)[:, COST]
        part = nanousd / max(int(usual.sum()), 1)
        whose = self._evidence(axis, ids, (usual * part).astype(np.int64), (), driver)
        return replace(whose, drivers=(DriverPart(driver, -nanousd),))

    def nanousd_per_hour(self, axis: str, value: str, latest_s: int) -> int:
        """Current spend of a scope per hour."""
        table = self._state.tables[axis]
        scope = table.scopes.id_of(value)
        if scope is None:
            return 0
        since = latest_s - latest_s % 60 - RATE_SECONDS + 60
        minutes = list(range(since, latest_s + 1, 60))
        spent = int(table.history("1m", minutes, np.array([scope], np.int32), COST).sum())
        lived = latest_s - max(since, int(table.scopes.first_s[scope])) + 10
        return spent * 3600 // max(lived, 10)

    def _base(self, axis: str, value: str, ids: Ids, start_s: int) -> tuple[Sums, int]:
        table = self._state.tables[axis]
        scope = table.scopes.id_of(value)
        first = int(table.scopes.first_s[scope]) if scope is not None else start_s
        since = max(start_s - BASE_SECONDS, first - first % 3600)
        until = start_s - start_s % 3600
        return self._cells.cells.sums("1h", since, until, ids), max(until - since, 3600)

    def _of_single(self, axis: str, value: str, driver: str) -> Evidence:
        """A user, a run or a further axis has no cells: the cell of its dearest call says where it works."""
        scopes = self._state.tables[axis].scopes
        scope = scopes.id_of(value)
        cell = scopes.cells[scope] if scope is not None else None
        example = scopes.examples[scope] if scope is not None else None
        spent = int(scopes.totals.column(np.array([scope]), COST)[0]) if scope is not None else 0
        where = parse_scope_key(cell) if cell and "=" in cell else {}
        who = tuple(Contributor(a, where[a], spent, 1.0) for a in CELL_AXES if a in where)
        return Evidence(driver, (), who, (example,) if example else ())

    def _evidence(
        self, axis: str, ids: Ids, excess: Sums, parts: tuple[DriverPart, ...], driver: str
    ) -> Evidence:
        scopes = self._cells.cells.scopes
        keys = [_key(scopes.values[i]) for i in ids.tolist()]
        dearest = ids[np.argsort(-excess, kind="stable")][:EXAMPLES_MAX].tolist()
        examples = tuple(e for e in (scopes.examples[i] for i in dearest) if e)
        main = dominant(parts) if driver and any(part.nanousd for part in parts) else driver
        return Evidence(main, parts, contributors(excess.tolist(), keys, known=(axis,)), examples)


def _scaled(nanousd: Sums, seconds: int, base_seconds: int) -> Sums:
    """Share of a duration, rounded down; the plain product overflows at $15,000 a week against a month."""
    whole, rest = np.divmod(nanousd, base_seconds)
    scaled: Sums = whole * seconds + rest * seconds // base_seconds
    return scaled


def _key(cell: str | None) -> str:
    """A cell's scope key; none for a free id and for the cell into which others were folded."""
    return cell if cell and "=" in cell else ""

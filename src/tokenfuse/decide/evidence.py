"""Why, in dollars: what changed between a window and the week before it, who contributed, and example calls.

Whatever is compared, the drivers add up to the cost change that stands beside them, to the nano-dollar.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tokenfuse.contracts.axes import CELL_AXES, JOINT
from tokenfuse.contracts.measures import INDEX
from tokenfuse.contracts.scope import parse_scope_key
from tokenfuse.contracts.signal import Contributor, CostChange, DriverPart
from tokenfuse.decide.cells import CellIndex
from tokenfuse.detect.contributors import contributors
from tokenfuse.detect.drivers import VOLUME, decompose, dominant, of_mixed_models, spent_and_usual
from tokenfuse.windows.granularity import DAY, HOUR, PANE_SECONDS_OF
from tokenfuse.windows.narrow import Sums
from tokenfuse.windows.pane import Ids
from tokenfuse.windows.state import WindowState
from tokenfuse.windows.table import AxisTable

COST: Final = INDEX["cost_nanousd"]
BASE_SECONDS: Final = 7 * 86_400
"""The week before, and the longest window that is compared with it: hours are kept for two weeks."""

RUN: Final = "run_id"
EXAMPLES_MAX: Final = 5
DAY_SECONDS: Final = PANE_SECONDS_OF[DAY]
RATE_SECONDS: Final = 600
"""Spend per hour is what the last ten minutes would come to."""


@dataclass(frozen=True)
class Evidence:
    """What a verdict says besides its numbers."""

    driver: str
    drivers: tuple[DriverPart, ...]
    contributors: tuple[Contributor, ...]
    examples: tuple[str, ...]
    cost_change: CostChange | None = None


class Witness:
    """Looks evidence up in the windows of one deltas partition."""

    def __init__(self, state: WindowState, cells: CellIndex) -> None:
        """Read from these; nothing is kept."""
        self._state = state
        self._cells = cells

    def of_window(
        self, axis: str, value: str, granularity: str, start_s: int, end_s: int, driver: str
    ) -> Evidence:
        """Evidence for a scope's spend in [start_s, end_s) against the week before, scaled to the same length.

        The window begins with its first whole pane; of one that is longer than a week the last week is compared.
        """
        start_s = _up(max(start_s, end_s - BASE_SECONDS), PANE_SECONDS_OF[granularity])
        ids = self._cells.of_scope(axis, value)
        if not len(ids):
            return self._of_single(axis, value, granularity, (start_s, end_s), driver)
        now = self._cells.cells.sums(granularity, start_s, end_s, ids)
        base, base_seconds = self._base(axis, value, ids, start_s)
        scale = max(end_s - start_s, 1), base_seconds
        parts = decompose(now.T, base.T, scale, self._cells.groups_of(ids))
        excess = now[:, COST] - _scaled(base[:, COST], *scale)
        change = _change((start_s, end_s), spent_and_usual(now.T, base.T, scale))
        return self._evidence(axis, ids, (excess, now[:, COST]), parts, driver, change)

    def of_run(self, value: str, end_s: int, excess_nanousd: int, driver: str) -> Evidence:
        """Evidence for a run over its limit: all that it spent, of which the excess is beyond the limit."""
        table = self._state.tables[RUN]
        scope = table.scopes.id_of(value)
        who, examples, spent = self._of_dearest(table, scope)
        start_s = end_s if scope is None else min(int(table.scopes.first_s[scope]), end_s)
        change = _change((start_s, end_s), (spent, spent - excess_nanousd))
        return Evidence(driver, (DriverPart(driver, excess_nanousd),), who, examples, change)

    def of_cells(
        self, axis: str, ids: Ids, sides: tuple[Sums, Sums], scale: tuple[int, int], excess: Sums, end_s: int
    ) -> Evidence:
        """Evidence for a drift whose cells were judged already.

        Args:
            axis: of the scope.
            ids: its cells, [n].
            sides: their sums now and normally, [n, M] each.
            scale: brings the second side to the window's length.
            excess: nano-dollars by cell, [n].
            end_s: end of the window.
        """
        now, base = sides
        parts = decompose(now.T, base.T, scale, self._cells.groups_of(ids))
        change = _change((end_s - scale[0], end_s), spent_and_usual(now.T, base.T, scale))
        return self._evidence(axis, ids, (excess, now[:, COST]), parts, "", change)

    def of_missing(
        self, axis: str, value: str, window: tuple[int, int], nanousd: int, driver: str
    ) -> Evidence:
        """Evidence for calls that did not come: what they usually cost, and whose they usually are, by the week before."""
        parts, change = (DriverPart(driver, -nanousd),), _change(window, (0, nanousd))
        ids = self._cells.of_scope(axis, value)
        if not len(ids):
            table = self._state.tables[axis]
            who, examples, _ = self._of_dearest(table, table.scopes.id_of(value))
            return Evidence(driver, parts, who, examples, change)
        hour_s = window[0] - window[0] % PANE_SECONDS_OF[HOUR]
        usual = self._cells.cells.sums(HOUR, hour_s - BASE_SECONDS, hour_s, ids)[:, COST]
        part = nanousd / max(int(usual.sum()), 1)
        excess = (usual * part).astype(np.int64)
        return self._evidence(axis, ids, (excess, usual), parts, driver, change)

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
        first = self._first_s(axis, value, ids, start_s)
        since = max(start_s - BASE_SECONDS, first - first % 3600)
        until = start_s - start_s % 3600
        return self._cells.cells.sums("1h", since, until, ids), max(until - since, 3600)

    def _first_s(self, axis: str, value: str, ids: Ids, start_s: int) -> int:
        """When a scope began; of a joint axis, which has no table, when the first of its cells did."""
        if JOINT in axis:
            return int(self._cells.cells.scopes.first_s[ids].min())
        scopes = self._state.tables[axis].scopes
        scope = scopes.id_of(value)
        return start_s if scope is None else int(scopes.first_s[scope])

    def _of_single(
        self, axis: str, value: str, granularity: str, window: tuple[int, int], driver: str
    ) -> Evidence:
        """A user, a run or a further axis has no cells: it is one, of calls of all models."""
        table = self._state.tables[axis]
        scope = table.scopes.id_of(value)
        who, examples, _ = self._of_dearest(table, scope)
        ids = np.array([] if scope is None else [scope], np.int32)
        if window[0] < _kept_s(table, granularity, window[1]):
            granularity, window = (
                DAY,
                (_up(max(window[0], _kept_s(table, DAY, window[1])), DAY_SECONDS), window[1]),
            )
        now = table.sums(granularity, *window, ids)
        base, base_seconds = _base_of_single(table, ids, window) if axis != RUN else (np.zeros_like(now), 1)
        scale = max(window[1] - window[0], 1), base_seconds
        parts = of_mixed_models(decompose(now.T, base.T, scale, np.zeros(len(ids), np.int64)))
        change = _change(window, spent_and_usual(now.T, base.T, scale))
        # A rule that names anything but volume has measured it itself.
        main = dominant(parts) if driver == VOLUME and any(part.nanousd for part in parts) else driver
        return Evidence(main, parts, who, examples, change)

    def _of_dearest(
        self, table: AxisTable, scope: int | None
    ) -> tuple[tuple[Contributor, ...], tuple[str, ...], int]:
        """Where a scope without cells works, as the cell of its dearest call says; that call; all that it ever spent."""
        if scope is None:
            return (), (), 0
        scopes = table.scopes
        cell, example = scopes.cells[scope], scopes.examples[scope]
        spent = int(scopes.totals.column(np.array([scope]), COST)[0])
        where = parse_scope_key(cell) if cell and "=" in cell else {}
        who = tuple(Contributor(a, where[a], spent, 1.0) for a in CELL_AXES if a in where)
        return who, (example,) if example else (), spent

    def _evidence(
        self, axis: str, ids: Ids, dollars: tuple[Sums, Sums], parts: tuple[DriverPart, ...], driver: str,
        change: CostChange,
    ) -> Evidence:  # fmt: skip
        """Contributors of the excess by cell, the first of `dollars`; of all spend, the second, where there is none."""
        excess = dollars[0] if int(dollars[0].sum()) > 0 else dollars[1]
        scopes = self._cells.cells.scopes
        keys = [_key(scopes.values[i]) for i in ids.tolist()]
        dearest = ids[np.argsort(-excess, kind="stable")][:EXAMPLES_MAX].tolist()
        examples = tuple(e for e in (scopes.examples[i] for i in dearest) if e)
        main = dominant(parts) if driver and any(part.nanousd for part in parts) else driver
        return Evidence(main, parts, contributors(excess.tolist(), keys, known=(axis,)), examples, change)


def _change(window: tuple[int, int], nanousd: tuple[int, int]) -> CostChange:
    return CostChange(window[0] * 1000, window[1] * 1000, *nanousd)


def _base_of_single(table: AxisTable, ids: Ids, window: tuple[int, int]) -> tuple[Sums, int]:
    """Whole days of the week before, else whole hours as far back as they are kept; and their seconds."""
    for granularity in (DAY, HOUR) if len(ids) else ():
        size, first_s = PANE_SECONDS_OF[granularity], int(table.scopes.first_s[ids[0]])
        since = _up(max(first_s, window[0] - BASE_SECONDS, _kept_s(table, granularity, window[1])), size)
        until = window[0] - window[0] % size
        if until > since:
            return table.sums(granularity, since, until, ids), until - since
    return np.zeros((len(ids), len(INDEX)), np.int64), 3600


def _kept_s(table: AxisTable, granularity: str, end_s: int) -> int:
    """From when on every pane is kept, seen from the end of a window."""
    size = PANE_SECONDS_OF[granularity]
    return (end_s - 1) // size * size - table.kind.panes[granularity] * size


def _up(time_s: int, size: int) -> int:
    """The first pane that begins at a time or after it."""
    return -(-time_s // size) * size


def _scaled(nanousd: Sums, seconds: int, base_seconds: int) -> Sums:
    """Share of a duration, rounded down; the plain product overflows at $15,000 a week against a month."""
    whole, rest = np.divmod(nanousd, base_seconds)
    scaled: Sums = whole * seconds + rest * seconds // base_seconds
    return scaled


def _key(cell: str | None) -> str:
    """A cell's scope key; none for a free id and for the cell into which others were folded."""
    return cell if cell and "=" in cell else ""

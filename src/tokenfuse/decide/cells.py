"""Which cells make up which scope, as index arrays for the detectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tokenfuse.contracts.axes import CELL, CELL_AXES, GLOBAL, JOINT
from tokenfuse.contracts.scope import axis_scope_key, parse_scope_key, some_axes
from tokenfuse.windows.pane import Ids
from tokenfuse.windows.state import WindowState
from tokenfuse.windows.table import AxisTable

IntArray = npt.NDArray[np.int64]

GROUP_AXES: Final = frozenset(CELL_AXES) - {"model"}

READ_AT_ONCE_MAX: Final = 2000
"""New cells that are read for the sake of one scope, at 10 us each; looking for it in a key takes 0.1 us."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Which cells make up which scope.

    Attributes:
        scope_of_cell: int64[k], scope number of each pair, 0 to n_scopes - 1.
        cell_index: int64[k], cell number of each pair.
        n_scopes: how many scopes there are.
        n_cells: how many cells there are, those of no scope included.
    """

    scope_of_cell: IntArray
    cell_index: IntArray
    n_scopes: int
    n_cells: int


class CellIndex:
    """Parses each cell's key once; groups are cells that differ in the model only."""

    def __init__(self, state: WindowState) -> None:
        """Watch a state's cells; nothing is computed yet."""
        self._state = state
        self._keys: list[str | None] = []
        self._scopes: list[dict[str, str]] = []
        self._group_keys: list[str] = []
        self._ids: dict[tuple[str, str], dict[int, None]] = {}
        self._seen_version = -1
        self._pairs: dict[str, tuple[tuple[int, int], IntArray, Pairs]] = {}
        self._group_of_cell: tuple[int, IntArray] | None = None
        self.groups: dict[str, int] = {}

    @property
    def cells(self) -> AxisTable:
        """The table of cells."""
        return self._state.tables[CELL]

    def table(self, axis: str) -> AxisTable:
        """The table of an axis."""
        return self._state.tables[axis]

    def of_scope(self, axis: str, value: str) -> Ids:
        """Ids of the cells of one scope; none for axes that cells do not have."""
        if axis == GLOBAL:
            return self.cells.scopes.live()
        if not set(axis.split(JOINT)) <= set(CELL_AXES):
            return np.empty(0, np.int32)
        wanted = axis_scope_key(axis, value)
        unread = self._unread()
        known = [self._ids.get(pair, {}).keys() for pair in parse_scope_key(wanted).items()]
        found = set(known[0]).intersection(*known[1:]).difference(unread)
        return np.array(sorted(found.union(self._find(wanted.split("&"), unread))), np.int32)

    def _unread(self) -> list[int]:
        """Cells whose keys were not read yet, if they are many: after a backlog reading them all would take seconds."""
        changed: list[int] = self.cells.scopes.changed_since(self._seen_version).tolist()
        if len(changed) > READ_AT_ONCE_MAX:
            return changed
        self._refresh()
        return []

    def _find(self, pairs: list[str], cells: list[int]) -> list[int]:
        """Those of some cells that are inside a scope, by looking for its pairs in their keys."""
        values, found = self.cells.scopes.values, cells
        for pair in pairs:
            found = [i for i in found if pair in (values[i] or "")]
        return [i for i in found if set(pairs) <= set((values[i] or "").split("&"))]

    def pairs(self, axis: str) -> Pairs:
        """Every pair of a scope of the axis (by scope id) and a cell of it (by cell id)."""
        self._refresh()
        table = self._state.tables[axis]
        version = (self.cells.scopes.version, table.scopes.version)
        kept = self._pairs.get(axis)
        if kept is None or kept[0] != version:
            of_cell = np.full(len(self._scopes), -1, np.int64)
            stale = np.arange(len(of_cell))
            if kept is not None:
                of_cell[: len(kept[1])] = kept[1]
                stale = self._stale(axis, table, of_cell, kept[0])
            of_cell[stale] = [self._scope_id(table, axis, self._scopes[i]) for i in stale.tolist()]
            inside = np.flatnonzero(of_cell >= 0).astype(np.int64)
            pairs = Pairs(of_cell[inside], inside, len(table.scopes.values), len(of_cell))
            kept = self._pairs[axis] = version, of_cell, pairs
        return kept[2]

    def _stale(self, axis: str, table: AxisTable, of_cell: IntArray, seen: tuple[int, int]) -> IntArray:
        """Cells whose scope may be another since two versions: they are new, or their scope came or went."""
        changed = table.scopes.changed_since(seen[1])
        if axis == GLOBAL and len(changed):
            return np.arange(len(of_cell))
        values = (table.scopes.values[i] for i in changed.tolist())
        come = [cell for value in values if value is not None for cell in self._ids.get((axis, value), ())]
        went = np.flatnonzero(np.isin(of_cell, changed))
        return np.unique(
            np.concatenate([self.cells.scopes.changed_since(seen[0]), np.array(come, np.int64), went])
        )

    def group_of_cell(self) -> IntArray:
        """Group number of every cell, int64[c], from 0; cells that came since `relearn` are numbered at the end."""
        self._refresh()
        kept = self._group_of_cell
        if kept is None or kept[0] != self._seen_version:
            groups = np.empty(len(self._scopes), np.int64)
            stale = np.arange(len(groups))
            if kept is not None:
                groups[: len(kept[1])] = kept[1]
                stale = self.cells.scopes.changed_since(kept[0])
            groups[stale] = [self._group(i) for i in stale.tolist()]
            kept = self._group_of_cell = self._seen_version, groups
        return kept[1]

    def groups_of(self, ids: Ids) -> IntArray:
        """Group numbers of some cells, numbered from 0 among themselves, int64[n]."""
        values = self.cells.scopes.values
        keys = [some_axes(values[i] or "", GROUP_AXES) for i in ids.tolist()]
        return np.unique(np.array(keys, np.str_), return_inverse=True)[1].astype(np.int64)

    def relearn(self, groups: list[str]) -> None:
        """Number the groups anew: these first, others as they come."""
        self.groups = {key: number for number, key in enumerate(groups)}
        self._group_of_cell = None

    def _scope_id(self, table: AxisTable, axis: str, scope: dict[str, str]) -> int:
        value = "" if axis == GLOBAL and scope else scope.get(axis)
        found = None if value is None else table.scopes.id_of(value)
        return -1 if found is None else found

    def _group(self, cell: int) -> int:
        return self.groups.setdefault(self._group_keys[cell], len(self.groups))

    def _refresh(self) -> None:
        scopes = self.cells.scopes
        if self._seen_version == scopes.version:
            return
        values, more = scopes.values, len(scopes.values) - len(self._keys)
        self._keys += [None] * more
        self._scopes += [{} for _ in range(more)]
        self._group_keys += [""] * more
        for i in scopes.changed_since(self._seen_version).tolist():
            if self._keys[i] != values[i]:
                self._read(i, values[i])
        self._seen_version = scopes.version

    def _read(self, cell: int, key: str | None) -> None:
        """An id has another key than before."""
        for pair in self._scopes[cell].items():
            del self._ids[pair][cell]
            if not self._ids[pair]:
                del self._ids[pair]
        scope = _axes_of(key)
        for pair in scope.items():
            self._ids.setdefault(pair, {})[cell] = None
        self._keys[cell], self._scopes[cell] = key, scope
        self._group_keys[cell] = some_axes(key, GROUP_AXES) if key and scope else ""


def _axes_of(cell: str | None) -> dict[str, str]:
    """Axis values of a cell; none for a free id and for the cell into which others were folded."""
    return parse_scope_key(cell) if cell and "=" in cell else {}

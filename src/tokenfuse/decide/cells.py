"""Which cells make up which scope, as index arrays for the detectors."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tokenfuse.contracts.axes import CELL, CELL_AXES, GLOBAL, JOINT
from tokenfuse.contracts.scope import axis_scope_key, axis_value, some_axes
from tokenfuse.windows.pane import Ids
from tokenfuse.windows.state import WindowState
from tokenfuse.windows.table import AxisTable

IntArray = npt.NDArray[np.int64]

GROUP_AXES: Final = frozenset(CELL_AXES) - {"model"}

STALE_MAX: Final = 100_000
"""Entries of cells that are gone, or another's now: more are thrown away with the index, which is read again."""


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
    """Which cells each axis value has; groups are cells that differ in the model only.

    A backlog brings a million new cells, and the next alert waits until they are read: so a key is split and nothing more.
    """

    def __init__(self, state: WindowState) -> None:
        """Watch a state's cells; nothing is computed yet."""
        self._state = state
        self._cells_of: defaultdict[str, list[int]] = defaultdict(list)
        self._entries = 0
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
        self._refresh()
        values, wanted = self.cells.scopes.values, set(axis_scope_key(axis, value).split("&"))
        fewest = min((self._cells_of.get(pair, []) for pair in wanted), key=len)
        found = {i for i in fewest if wanted.issubset((values[i] or "").split("&"))}
        return np.array(sorted(found), np.int32)

    def pairs(self, axis: str) -> Pairs:
        """Every pair of a scope of the axis (by scope id) and a cell of it (by cell id)."""
        table = self._state.tables[axis]
        version = (self.cells.scopes.version, table.scopes.version)
        kept = self._pairs.get(axis)
        if kept is None or kept[0] != version:
            values = self.cells.scopes.values
            of_cell = np.full(len(values), -1, np.int64)
            stale = np.arange(len(of_cell))
            if kept is not None:
                of_cell[: len(kept[1])] = kept[1]
                stale = self._stale(axis, table, of_cell, kept[0])
            of_cell[stale] = [_scope_id(table, axis, values[i]) for i in stale.tolist()]
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
        come = [self.of_scope(axis, value) for value in values if value is not None]
        went = np.flatnonzero(np.isin(of_cell, changed))
        return np.unique(np.concatenate([self.cells.scopes.changed_since(seen[0]), *come, went]))

    def group_of_cell(self) -> IntArray:
        """Group number of every cell, int64[c], from 0; cells that came since `relearn` are numbered at the end."""
        scopes, kept = self.cells.scopes, self._group_of_cell
        if kept is None or kept[0] != scopes.version:
            groups = np.empty(len(scopes.values), np.int64)
            stale = np.arange(len(groups))
            if kept is not None:
                groups[: len(kept[1])] = kept[1]
                stale = scopes.changed_since(kept[0])
            groups[stale] = [self._group(scopes.values[i]) for i in stale.tolist()]
            kept = self._group_of_cell = scopes.version, groups
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

    def _group(self, cell: str | None) -> int:
        key = some_axes(cell, GROUP_AXES) if cell and "=" in cell else ""
        return self.groups.setdefault(key, len(self.groups))

    def _refresh(self) -> None:
        """Take in what changed. An entry stays when its cell goes: whoever reads it compares with the cell's key."""
        scopes = self.cells.scopes
        if self._seen_version == scopes.version:
            return
        if self._entries > STALE_MAX + 2 * len(CELL_AXES) * len(scopes.values):
            self._cells_of.clear()
            self._entries, self._seen_version = 0, -1
        values, cells_of = scopes.values, self._cells_of
        for i in scopes.changed_since(self._seen_version).tolist():
            for pair in (values[i] or "").split("&"):
                cells_of[pair].append(i)
                self._entries += 1
        self._seen_version = scopes.version


def _scope_id(table: AxisTable, axis: str, cell: str | None) -> int:
    """Id of a cell's scope on an axis; -1: it has none, as a free id and the cell into which others were folded."""
    if cell is None or "=" not in cell:
        return -1
    value = "" if axis == GLOBAL else axis_value(cell, axis)
    found = None if value is None else table.scopes.id_of(value)
    return -1 if found is None else found

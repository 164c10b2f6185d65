"""Which cell belongs to which scope of an axis, also of a joint axis (`tenant+feature`), whose scopes have no table."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from tokenfuse.contracts.axes import JOINT
from tokenfuse.contracts.scope import axis_value, some_axes
from tokenfuse.decide.cells import CellIndex
from tokenfuse.detect.arrays import IntArray
from tokenfuse.detect.drift import NOTHING


class Members(Protocol):
    """The scopes of one axis by number, and the cells of each."""

    axis: str

    def value(self, scope: int) -> str | None:
        """Value of a scope; for a joint axis its canonical key; None if the number is free."""

    def number(self, value: str) -> int | None:
        """Inverse of `value`."""

    def of_cells(self) -> IntArray:
        """Scope number of every cell, int64[c], NOTHING where it has none."""

    def born(self) -> IntArray:
        """Tells, by number, one scope from another that had the number before: int64[n]."""


class TableMembers:
    """An axis with a table: its scopes' ids are the numbers."""

    def __init__(self, axis: str, cells: CellIndex) -> None:
        """Read from the index; nothing is kept but the last answer."""
        self.axis = axis
        self._cells = cells
        self._scopes = cells.table(axis).scopes
        self._pairs: object = None
        self._of_cell = np.empty(0, np.int64)

    def value(self, scope: int) -> str | None:
        """Value of a scope; None if its id is free."""
        return self._scopes.values[scope]

    def number(self, value: str) -> int | None:
        """Id of a known value."""
        return self._scopes.id_of(value)

    def of_cells(self) -> IntArray:
        """Scope of every cell, from the index's pairs."""
        pairs = self._cells.pairs(self.axis)
        if self._pairs is not pairs:
            self._pairs = pairs
            self._of_cell = np.full(pairs.n_cells, NOTHING, np.int64)
            self._of_cell[pairs.cell_index] = pairs.scope_of_cell
        return self._of_cell

    def born(self) -> IntArray:
        """The pane of each scope's first call."""
        return self._scopes.first_s[: len(self._scopes.values)]


class JointMembers:
    """A joint axis: numbers are given in the order of the cells' ids, and are part of the checkpoint.

    A partition has cells of many scopes that it knows a part of only: whoever owns a model has some of a tenant's calls of
    a feature. So the owner of the first axis value judges them, who has all their cells, and nobody else.

    Attributes:
        values: canonical keys by number; None where the last cell is gone.
        given: how often a number was given.
    """

    def __init__(self, axis: str, cells: CellIndex) -> None:
        """No scope is known."""
        self.axis = axis
        self.values: list[str | None] = []
        self.given = 0
        self._born: list[int] = []
        self._born_array = np.empty(0, np.int64)
        self._axes = tuple(axis.split(JOINT))
        self._cells = cells
        self._owned = cells.table(self._axes[0]).scopes
        self._numbers: dict[str, int] = {}
        self._version = (-1, -1)
        self._owned_ids = 0
        self._of_cell = np.empty(0, np.int64)

    def dump(self) -> dict[str, Any]:
        """Fields of a checkpoint row."""
        return {"values": self.values, "born": self._born, "given": self.given}

    def load(self, fields: dict[str, Any]) -> None:
        """Inverse of `dump`."""
        self.values, self._born, self.given = fields["values"], fields["born"], fields["given"]
        self._born_array = np.array(self._born, np.int64)
        self._numbers = {value: number for number, value in enumerate(self.values) if value is not None}

    def value(self, scope: int) -> str | None:
        """Canonical key of a scope."""
        return self.values[scope]

    def number(self, value: str) -> int | None:
        """Number of a known key."""
        return self._numbers.get(value)

    def of_cells(self) -> IntArray:
        """Scope of every cell; numbers of scopes without cells are free for the next."""
        scopes, owned = self._cells.cells.scopes, self._owned
        if (scopes.version, owned.version) != self._version:
            stale = self._stale()
            self._version, self._owned_ids = (scopes.version, owned.version), len(owned.values)
            self._number_cells(stale)
        return self._of_cell

    def born(self) -> IntArray:
        """When each number was given, counted."""
        return self._born_array

    def _stale(self) -> IntArray:
        """Cells whose scope may be another than when last asked, ascending.

        The cells of a new owner are new themselves, unless it was folded before or has another's id.
        """
        reused = bool((self._owned.changed_since(self._version[1]) < self._owned_ids).any())
        since = -1 if reused or self._owned.folded else self._version[0]
        return self._cells.cells.scopes.changed_since(since)

    def _number_cells(self, stale: IntArray) -> None:
        values = self._cells.cells.scopes.values
        keys = [self._key(values[i]) for i in stale.tolist()]
        of_cell = np.full(len(values), NOTHING, np.int64)
        of_cell[: len(self._of_cell)] = self._of_cell
        of_cell[stale] = [self._numbers.get(key, NOTHING) if key else NOTHING for key in keys]
        self._free_unused(of_cell)
        free = iter([number for number, value in enumerate(self.values) if value is None])
        for key in keys:
            if key is not None and key not in self._numbers:
                self._give(key, next(free, None))
        of_cell[stale] = [self._numbers[key] if key else NOTHING for key in keys]
        self._born_array = np.array(self._born, np.int64)
        self._of_cell = of_cell

    def _free_unused(self, of_cell: IntArray) -> None:
        cells = np.bincount(of_cell[of_cell >= 0], minlength=len(self.values))
        for number in np.flatnonzero(cells == 0).tolist():
            value = self.values[number]
            if value is not None:
                del self._numbers[value]
                self.values[number] = None

    def _give(self, key: str, number: int | None) -> None:
        if number is None:
            number = len(self.values)
            self.values.append(None)
            self._born.append(0)
        self.given += 1
        self._numbers[key], self.values[number], self._born[number] = number, key, self.given

    def _key(self, cell: str | None) -> str | None:
        """Key of the scope of a cell, from the cell's own; most cells here are others', which one look must tell."""
        owner = None if cell is None else axis_value(cell, self._axes[0])
        if cell is None or owner is None or self._owned.id_of(owner) is None:
            return None
        key = some_axes(cell, self._axes)
        return key if key.count("&") == len(self._axes) - 1 else None


def members_of(axis: str, cells: CellIndex) -> TableMembers | JointMembers:
    """The members of an axis that rules name."""
    return JointMembers(axis, cells) if JOINT in axis else TableMembers(axis, cells)


def has_axis(axis: str, tables: set[str]) -> bool:
    """Whether settings keep everything that an axis needs."""
    return set(axis.split(JOINT)) <= tables

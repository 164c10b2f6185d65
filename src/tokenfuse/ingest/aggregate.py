"""Calls to delta rows: summed by scope and 10 s pane, each scope's rows to the output partition that owns it.

Cells are summed from calls; the scopes on the four cell axes and the global scope from the cells, which are fewer;
users, runs and further axes from calls. The same calls in the same order give the same bytes.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from tokenfuse.contracts.axes import AXES, CELL, CELL_AXES, GLOBAL
from tokenfuse.contracts.block import AxisRows
from tokenfuse.contracts.scope import output_partition, scope_key
from tokenfuse.ingest.agents import with_parents
from tokenfuse.ingest.columns import (
    TABLE_ENTRIES_MAX,
    Calls,
    Codes,
    Ints,
    Rows,
    columns,
    factorise,
    group,
    run_starts,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tokenfuse.ingest.call import Call

REMEMBERED_CHARS_MAX: Final = 64
"""Longer values are hashed each time: a flood of them would fill hundreds of megabytes, and hardly one comes again."""

Cell = tuple[str | None, ...]
_cell = attrgetter(*CELL_AXES)


class Owners(dict[str, int]):
    """Output partition of each value of one axis, remembered."""

    def __init__(self, axis: str, partitions: int) -> None:
        super().__init__()
        self._axis, self._partitions = axis, partitions

    def __missing__(self, value: str) -> int:
        owner = output_partition(self._axis, value, self._partitions)
        if len(value) <= REMEMBERED_CHARS_MAX:
            if len(self) >= TABLE_ENTRIES_MAX:
                self.clear()
            self[value] = owner
        return owner


class Routes(dict[Cell, tuple[str, tuple[int, ...]]]):
    """Key of each cell, and the output partitions that own one of its scopes: where its rows go, once each."""

    def __init__(self, owners: dict[str, Owners]) -> None:
        super().__init__()
        self._owners = owners

    def __missing__(self, cell: Cell) -> tuple[str, tuple[int, ...]]:
        if len(self) >= TABLE_ENTRIES_MAX:
            self.clear()
        scope = {axis: value for axis, value in zip(CELL_AXES, cell, strict=True) if value is not None}
        targets = {self._owners[axis][value] for axis, value in scope.items()} | {self._owners[GLOBAL][""]}
        route = self[cell] = scope_key(scope), tuple(sorted(targets))
        return route


class Scopes(NamedTuple):
    """Rows of one axis of the whole slice, sorted by (owner, value, pane).

    Attributes:
        values: k names, in that order.
        owners: int64[k].
        code: int64[n], index into `values`.
    """

    axis: str
    values: list[str]
    owners: Ints
    code: Ints
    rows: Rows


class Aggregator:
    """Sums calls into the rows of every output partition.

    Args:
        further_axes: names of the further axes, in the order of `Call.further`.
        partitions: of `tokenfuse.deltas`.
    """

    def __init__(self, further_axes: Sequence[str], partitions: int) -> None:
        self.partitions = partitions
        self._further = tuple(further_axes)
        self._owners = {axis: Owners(axis, partitions) for axis in (*AXES, *self._further, GLOBAL)}
        self._routes = Routes(self._owners)

    def rows(self, calls: Sequence[Call], signs: Sequence[int] | None = None) -> list[tuple[AxisRows, ...]]:
        """The rows of each output partition, P tuples; a sign of -1 takes the call out again."""
        parts: list[list[AxisRows]] = [[] for _ in range(self.partitions)]
        if calls:
            signed = np.ones(len(calls), np.int64) if signs is None else np.array(signs, np.int64)
            for owner, rows in self._axes(calls, columns(calls, signed), signed):
                parts[owner].append(rows)
        return [tuple(part) for part in parts]

    def _axes(self, calls: Sequence[Call], table: Calls, signs: Ints) -> Iterator[tuple[int, AxisRows]]:
        panes = len(table.panes_s)
        code, cells = factorise(map(_cell, calls), len(calls))
        names = list(cells)
        routes = [self._routes[cell] for cell in names]
        emit = _Emitter(table, [call.id for call in calls], code, [key for key, _ in routes])
        cell_code, cell_rows = group(table.rows, code, panes)
        for place, axis in enumerate(CELL_AXES):
            value_of_cell, values = factorise((cell[place] for cell in names), len(names))
            yield from emit.scopes(self._scopes(axis, value_of_cell[cell_code], values, cell_rows, panes))
        for axis, values_of, rows in self._call_axes(calls, table.rows, signs):
            value, values = factorise(values_of, len(values_of))
            yield from emit.scopes(self._scopes(axis, value, values, rows, panes), cells=True)
        yield from emit.cells(cell_code, cell_rows, [targets for _, targets in routes], self.partitions)
        everything = self._scopes(GLOBAL, np.zeros_like(cell_code), Codes({"": 0}), cell_rows, panes)
        yield from emit.scopes(everything)

    def _call_axes(
        self, calls: Sequence[Call], rows: Rows, signs: Ints
    ) -> Iterator[tuple[str, Sequence[str | None], Rows]]:
        """Users, runs and further axes: the value of each row, and the rows."""
        yield "user", [call.user for call in calls], rows
        yield "run_id", *with_parents(calls, rows, signs)
        for place, axis in enumerate(self._further):
            yield axis, [call.further[place] for call in calls], rows

    def _scopes(self, axis: str, code: Ints, codes: Codes, rows: Rows, panes: int) -> Scopes | None:
        """Rows of one axis; calls without a value have no scope on it."""
        if (nothing := codes.pop(None, None)) is not None:
            present = np.flatnonzero(code != nothing)
            code, rows = code[present], rows.take(present)
        if not codes:
            return None
        names = sorted(codes)
        owners = np.fromiter(map(self._owners[axis].__getitem__, names), np.int64, len(names))
        by_owner = np.argsort(owners, kind="stable")
        names = [names[i] for i in by_owner.tolist()]
        position = np.zeros(max(codes.values()) + 1, np.int64)
        position[[codes[name] for name in names]] = np.arange(len(names))
        place, summed = group(rows, position[code], panes)
        return Scopes(axis, names, owners[by_owner], place, summed)


class _Emitter:
    """Cuts the summed rows of one axis into the wire's columns, one part per owner.

    Args:
        ids: of the slice's calls.
        cell_of: the cell of each call.
        cell_keys: key of each cell.
    """

    def __init__(self, table: Calls, ids: list[str], cell_of: Ints, cell_keys: list[str]) -> None:
        self._table, self._ids, self._cell_of, self._cell_keys = table, ids, cell_of, cell_keys

    def scopes(self, scopes: Scopes | None, *, cells: bool = False) -> Iterator[tuple[int, AxisRows]]:
        """Rows of each owner, with the cell of each value's dearest call where `cells`."""
        if scopes is None:
            return
        keys = self._cells_of(scopes) if cells else []
        sizes = np.bincount(scopes.code, minlength=len(scopes.values))
        starts = run_starts(scopes.owners).tolist()
        ends = [*starts[1:], len(scopes.values)]
        row = 0
        wire = self._wire(scopes.rows)
        for first, end in zip(starts, ends, strict=True):
            values, scope = (
                tuple(scopes.values[first:end]),
                np.repeat(np.arange(end - first), sizes[first:end]),
            )
            part = wire.part(scopes.axis, values, scope, row, tuple(keys[first:end]))
            yield int(scopes.owners[first]), part
            row += len(scope)

    def cells(
        self, code: Ints, rows: Rows, targets: list[tuple[int, ...]], partitions: int
    ) -> Iterator[tuple[int, AxisRows]]:
        """Each cell's rows to every partition that owns one of its scopes."""
        wanted: list[list[int]] = [[] for _ in range(partitions)]
        for cell in sorted(range(len(self._cell_keys)), key=self._cell_keys.__getitem__):
            for owner in targets[cell]:
                wanted[owner].append(cell)
        chosen = np.array([cell for cells in wanted for cell in cells], np.int64)
        sizes = np.bincount(code)
        size = sizes[chosen]
        # Row numbers of the chosen cells, cell after cell: each cell's first row plus 0, 1, 2, ...
        first_row = (np.cumsum(sizes) - sizes)[chosen]
        wire = self._wire(
            rows.take(np.repeat(first_row - np.cumsum(size) + size, size) + np.arange(size.sum()))
        )
        row = 0
        for owner, cells in enumerate(wanted):
            if cells:
                scope = np.repeat(np.arange(len(cells)), sizes[cells])
                yield owner, wire.part(CELL, tuple(self._cell_keys[cell] for cell in cells), scope, row, ())
                row += len(scope)

    def _cells_of(self, scopes: Scopes) -> list[str]:
        """The cell of the dearest call of each value."""
        best = np.minimum.reduceat(scopes.rows.rank, run_starts(scopes.code))
        return [self._cell_keys[i] for i in self._cell_of[self._table.order[best]].tolist()]

    def _wire(self, rows: Rows) -> _Wire:
        dearest = self._table.order[rows.rank]
        cost = self._table.put_in_nanousd[dearest]
        ids = [self._ids[i] for i in dearest.tolist()]
        for row in np.flatnonzero(cost < 0).tolist():
            ids[row] = ""  # a row that only takes calls out has no dearest call
        return _Wire(
            np.ascontiguousarray(self._table.panes_s[rows.pane], "<i8"),
            np.ascontiguousarray(rows.sums.T, "<i8"),
            np.ascontiguousarray(rows.maxima.T, "<i8"),
            np.maximum(cost, 0).astype("<i8"),
            ids,
        )


class _Wire(NamedTuple):
    """The columns of all rows of one axis as they go out."""

    pane_s: Ints
    sums: Ints
    maxima: Ints
    dearest_nanousd: Ints
    dearest_id: list[str]

    def part(
        self, axis: str, values: tuple[str, ...], scope: Ints, row: int, cells: tuple[str, ...]
    ) -> AxisRows:
        """The rows from `row` on, as many as `scope` has."""
        end = row + len(scope)
        return AxisRows(
            axis=axis,
            values=values,
            scope=scope.astype("<i4").tobytes(),
            pane_s=self.pane_s[row:end].tobytes(),
            sums=self.sums[:, row:end].tobytes(),
            maxima=self.maxima[:, row:end].tobytes(),
            dearest_nanousd=self.dearest_nanousd[row:end].tobytes(),
            dearest_id=tuple(self.dearest_id[row:end]),
            cells=cells,
        )

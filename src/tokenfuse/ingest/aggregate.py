"""Calls to delta rows: summed by scope and 10 s pane, each scope's rows to the output partition that owns it.

Cells are summed from calls; the scopes on the four cell axes and the global scope from the cells, which are fewer;
users, runs and further axes from calls. The same calls in the same order give the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tokenfuse.contracts.axes import AXES, CELL_AXES, GLOBAL
from tokenfuse.contracts.scope import output_partition
from tokenfuse.ingest.agents import with_parents
from tokenfuse.ingest.cells import Cells, KeyParts
from tokenfuse.ingest.columns import Measured, group, measured
from tokenfuse.ingest.names import REMEMBERED_CHARS_MAX, TABLE_ENTRIES_MAX, Names
from tokenfuse.ingest.scopes import Scopes, Seen
from tokenfuse.ingest.table import CallTable
from tokenfuse.ingest.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tokenfuse.contracts.packed import PackedRows
    from tokenfuse.ingest.call import Call


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


class Aggregator:
    """Sums calls into the rows of every output partition.

    Args:
        further_axes: names of the further axes, in the order of `Call.further`.
        partitions: of `tokenfuse.deltas`.
    """

    def __init__(self, further_axes: Sequence[str], partitions: int) -> None:
        self.partitions = partitions
        self._axes = (*AXES, *further_axes)
        self._owners = {axis: Owners(axis, partitions) for axis in self._axes}
        self._everything = output_partition(GLOBAL, "", partitions)
        self._key_parts = {axis: KeyParts(axis) for axis in CELL_AXES}

    def rows(self, calls: Sequence[Call], signs: Sequence[int] | None = None) -> list[tuple[PackedRows, ...]]:
        """The rows of each output partition, P tuples; a sign of -1 takes the call out again."""
        names = Names(self._axes)
        signed = list(zip(calls, signs or [1] * len(calls), strict=True))
        put_in, taken_out = ([call for call, sign in signed if sign == s] for s in (1, -1))
        return self.table_rows(CallTable.of(put_in, names), CallTable.of(taken_out, names))

    def table_rows(self, put_in: CallTable, taken_out: CallTable) -> list[tuple[PackedRows, ...]]:
        """`rows` of calls as columns, both with the same names."""
        parts: list[list[PackedRows]] = [[] for _ in range(self.partitions)]
        calls = put_in.joined(taken_out) if len(taken_out.ids) else put_in
        if len(calls.ids):
            for owner, rows in self._parts(calls, measured(calls, len(taken_out.ids))):
                parts[owner].append(rows)
        return [tuple(part) for part in parts]

    def _parts(self, calls: CallTable, table: Measured) -> Iterator[tuple[int, PackedRows]]:
        panes = len(table.panes_s)
        rows_of = {axis: (calls.axes[row], table.rows) for row, axis in enumerate(self._axes)}
        rows_of["run_id"] = with_parents(calls, table)
        seen = {
            axis: Seen.of(rows_of[axis][0], known, self._owners[axis])
            for axis, known in zip(self._axes, calls.names.numbers, strict=True)
        }
        cells = Cells.of(calls.axes, seen, self._key_parts)
        wire = Wire(table, calls.ids, cells)
        cell_code, cell_rows = group(table.rows, cells.of_call, panes)
        for row, axis in enumerate(CELL_AXES):
            places = seen[axis].place[cells.axes[row]][cell_code]
            yield from wire.scopes(Scopes.of(axis, seen[axis], places, cell_rows, panes))
        for axis in self._axes[len(CELL_AXES) :]:
            numbers, rows = rows_of[axis]
            scopes = Scopes.of(axis, seen[axis], seen[axis].place[numbers], rows, panes)
            yield from wire.scopes(scopes, with_cells=True)
        yield from wire.cells(cell_code, cell_rows, cells.owners(seen, self._everything))
        everything = Seen([""], np.array([self._everything]), np.zeros(1, np.int64))
        yield from wire.scopes(Scopes.of(GLOBAL, everything, np.zeros_like(cell_code), cell_rows, panes))

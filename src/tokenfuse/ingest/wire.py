"""Summed rows as they go out: the columns of `AxisRows`, one part for each output partition."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tokenfuse.contracts.axes import CELL
from tokenfuse.contracts.block import AxisRows
from tokenfuse.contracts.measures import MEASURES
from tokenfuse.ingest.columns import run_starts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenfuse.ingest.cells import Cells
    from tokenfuse.ingest.columns import Ints, Measured, Rows
    from tokenfuse.ingest.scopes import Scopes
    from tokenfuse.ingest.table import Objects


class Wire:
    """Cuts the summed rows of a slice into parts.

    Args:
        table: the measures of the slice's calls.
        ids: of the calls.
        cells: of the calls.
    """

    def __init__(self, table: Measured, ids: Objects, cells: Cells) -> None:
        self._table, self._cells = table, cells
        self._id_of_rank = ids[table.order]
        # A row that only takes calls out has no dearest call.
        self._id_of_rank[table.put_in_nanousd[table.order] < 0] = ""

    def scopes(self, scopes: Scopes | None, *, with_cells: bool = False) -> Iterator[tuple[int, AxisRows]]:
        """Rows of each owner, with the cell of each value's dearest call where `with_cells`."""
        if scopes is None:
            return
        seen = scopes.seen
        keys = self._cells_of(scopes) if with_cells else []
        sizes = np.bincount(scopes.code, minlength=len(seen.values))
        starts = run_starts(seen.owners).tolist()
        row, columns = 0, self._columns(scopes.rows)
        for first, end in zip(starts, [*starts[1:], len(seen.values)], strict=True):
            values, cells = tuple(seen.values[first:end]), tuple(keys[first:end])
            part = columns.part(scopes.axis, values, sizes[first:end], row, cells)
            yield int(seen.owners[first]), part
            row += len(part.dearest_id)

    def cells(self, code: Ints, rows: Rows, owners: Ints) -> Iterator[tuple[int, AxisRows]]:
        """Each cell's rows to every partition that owns one of its scopes.

        Args:
            code: int64[n], the cell of each row; rising.
            rows: n rows.
            owners: as `Cells.owners` gives them.
        """
        owner, cell = _pairs(owners)
        sizes = np.bincount(code, minlength=owners.shape[1])
        size = sizes[cell]
        # Row numbers of the chosen cells, cell after cell: each cell's first row plus 0, 1, 2, ...
        first_row = (np.cumsum(sizes) - sizes)[cell]
        columns = self._columns(
            rows.take(np.repeat(first_row - np.cumsum(size) + size, size) + np.arange(size.sum()))
        )
        keys = self._cells.keys[cell]
        starts = run_starts(owner).tolist()
        row = 0
        for first, end in zip(starts, [*starts[1:], len(owner)], strict=True):
            part = columns.part(CELL, tuple(keys[first:end].tolist()), size[first:end], row, ())
            yield int(owner[first]), part
            row += len(part.dearest_id)

    def _cells_of(self, scopes: Scopes) -> list[str]:
        """The cell of the dearest call of each value."""
        best = np.minimum.reduceat(scopes.rows.rank, run_starts(scopes.code))
        keys: list[str] = self._cells.keys[self._cells.of_call[self._table.order[best]]].tolist()
        return keys

    def _columns(self, rows: Rows) -> _Columns:
        table = self._table
        sums = np.zeros((len(MEASURES), len(rows.pane)), "<i8")
        sums[table.measures] = rows.sums
        return _Columns(
            np.ascontiguousarray(table.panes_s[rows.pane], "<i8"),
            sums,
            np.ascontiguousarray(rows.maxima, "<i8"),
            np.maximum(table.put_in_nanousd[table.order[rows.rank]], 0).astype("<i8"),
            self._id_of_rank[rows.rank].tolist(),
        )


class _Columns(NamedTuple):
    """The columns of all rows of one axis as they go out."""

    pane_s: Ints
    sums: Ints
    maxima: Ints
    dearest_nanousd: Ints
    dearest_id: list[str]

    def part(
        self, axis: str, values: tuple[str, ...], sizes: Ints, row: int, cells: tuple[str, ...]
    ) -> AxisRows:
        """The rows from `row` on: as many of each value as `sizes` says."""
        scope = np.repeat(np.arange(len(sizes), dtype="<i4"), sizes)
        end = row + len(scope)
        return AxisRows(
            axis=axis,
            values=values,
            scope=scope.tobytes(),
            pane_s=self.pane_s[row:end].tobytes(),
            sums=self.sums[:, row:end].tobytes(),
            maxima=self.maxima[:, row:end].tobytes(),
            dearest_nanousd=self.dearest_nanousd[row:end].tobytes(),
            dearest_id=tuple(self.dearest_id[row:end]),
            cells=cells,
        )


def _pairs(owners: Ints) -> tuple[Ints, Ints]:
    """Owner and cell of each pair, once, sorted so."""
    sorted_ = np.sort(owners, axis=0)
    once = np.ones(owners.shape, bool)
    once[1:] = sorted_[1:] != sorted_[:-1]
    owner = sorted_[once]
    cell = np.broadcast_to(np.arange(owners.shape[1]), owners.shape)[once]
    order = np.lexsort((cell, owner))
    return owner[order], cell[order]

"""Summed rows as they go out: the columns of `PackedRows`, one part for each output partition."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tokenfuse.contracts.axes import CELL
from tokenfuse.contracts.block import PANE_SECONDS
from tokenfuse.contracts.measures import MAXIMA, MEASURES
from tokenfuse.contracts.packed import PackedRows
from tokenfuse.ingest.columns import run_starts
from tokenfuse.ingest.packed import Narrow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenfuse.contracts.packed import JoinedTexts
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

    def scopes(self, scopes: Scopes | None, *, with_cells: bool = False) -> Iterator[tuple[int, PackedRows]]:
        """Rows of each owner, with the cell of each value's dearest call where `with_cells`."""
        if scopes is None:
            return
        seen = scopes.seen
        starts = run_starts(seen.owners).tolist()
        keys = self._cells_of(scopes, starts) if with_cells else [None] * len(starts)
        columns = self._columns(scopes.rows)
        sizes = np.bincount(scopes.code, minlength=len(seen.values))
        for part, cells in zip(_parts(starts, sizes), keys, strict=True):
            values = tuple(seen.values[part.first : part.end])
            yield int(seen.owners[part.first]), columns.part(scopes.axis, values, part, cells)

    def cells(self, code: Ints, rows: Rows, owners: Ints) -> Iterator[tuple[int, PackedRows]]:
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
        index = np.repeat(first_row - np.cumsum(size) + size, size) + np.arange(size.sum())
        columns = self._columns(rows).take(index)
        starts = run_starts(owner).tolist()
        for part, keys in zip(_parts(starts, size), self._cells.joined(cell, starts), strict=True):
            yield int(owner[part.first]), columns.part(CELL, (), part, keys)

    def _cells_of(self, scopes: Scopes, starts: list[int]) -> list[JoinedTexts]:
        """The cell of the dearest call of each value."""
        best = np.minimum.reduceat(scopes.rows.rank, run_starts(scopes.code))
        return self._cells.joined(self._cells.of_call[self._table.order[best]], starts)

    def _columns(self, rows: Rows) -> _Columns:
        table = self._table
        panes = (table.panes_s - table.panes_s[0]) // PANE_SECONDS
        dearest_nanousd = np.maximum(table.put_in_nanousd[table.order[rows.rank]], 0)
        columns = np.concatenate(([panes[rows.pane]], [dearest_nanousd], rows.sums, rows.maxima))
        behind = 2 + len(MEASURES)
        numbers = [0, 1, *(2 + table.measures).tolist(), *range(behind, behind + len(MAXIMA))]
        narrow = Narrow.of(columns, numbers, behind + len(MAXIMA))
        return _Columns(int(table.panes_s[0]), narrow, self._id_of_rank[rows.rank])


class _Part(NamedTuple):
    """What one owner gets: its first value and the one behind its last, rows likewise, and rows of each value."""

    first: int
    end: int
    first_row: int
    end_row: int
    sizes: Ints


def _parts(starts: list[int], sizes: Ints) -> list[_Part]:
    """Of each owner.

    Args:
        starts: the first value of each.
        sizes: int64[k], rows of each value.
    """
    ends = [*starts[1:], len(sizes)]
    rows = np.concatenate(([0], np.cumsum(sizes)))
    bounds = zip(starts, ends, rows[starts].tolist(), rows[ends].tolist(), strict=True)
    return [_Part(first, end, row, end_row, sizes[first:end]) for first, end, row, end_row in bounds]


class _Columns(NamedTuple):
    """The columns of all rows of one axis as they go out."""

    first_s: int
    narrow: Narrow
    dearest_id: Objects

    def take(self, index: Ints) -> _Columns:
        """These rows, in this order."""
        return _Columns(self.first_s, self.narrow.take(index), self.dearest_id.take(index))

    def part(self, axis: str, values: tuple[str, ...], part: _Part, cells: JoinedTexts | None) -> PackedRows:
        """The rows of one owner."""
        rows = slice(part.first_row, part.end_row)
        one_each = part.end_row - part.first_row == part.end - part.first
        return PackedRows(
            axis,
            values,
            b"" if one_each else part.sizes.astype("<u4").tobytes(),
            self.first_s,
            len(MEASURES),
            self.narrow.part(part.first_row, part.end_row),
            tuple(self.dearest_id[rows].tolist()),
            cells,
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

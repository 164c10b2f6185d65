"""A block's rows of one axis as arrays, and their reduction to distinct (pane, scope) pairs."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tokenfuse.contracts.axes import CELL
from tokenfuse.contracts.block import PANE_SECONDS, AxisRows, WideRows
from tokenfuse.contracts.measures import MAXIMA, MEASURES
from tokenfuse.contracts.packed import DamagedBlockError, PackedRows
from tokenfuse.windows.codec import widened
from tokenfuse.windows.narrow import Sums
from tokenfuse.windows.packed import joined, unpacked
from tokenfuse.windows.pane import Ids

Times = npt.NDArray[np.int64]

SECONDS_MAX: Final = 10**15
"""Beyond what any event's time can be; sums of times below do not overflow."""

ROWS_MAX: Final = 1_000_000
"""Of one axis in one block: a slice holds 16 MiB of events, and few rows of each."""


class Rows(NamedTuple):
    """Rows of a block decoded. Shapes: scope [n], pane_s [n], sums [n, M], maxima [n, 2], dearest_nanousd [n]."""

    values: tuple[str, ...]
    cells: tuple[str, ...]
    scope: npt.NDArray[np.int32]
    pane_s: Times
    sums: Sums
    maxima: Sums
    dearest_nanousd: npt.NDArray[np.int64]
    dearest_id: tuple[str, ...]

    def take(self, index: npt.NDArray[np.intp]) -> Rows:
        """Some rows only; the scopes' names stay."""
        ids = self.dearest_id
        return Rows(
            values=self.values,
            cells=self.cells,
            scope=self.scope[index],
            pane_s=self.pane_s[index],
            sums=self.sums[index],
            maxima=self.maxima[index],
            dearest_nanousd=self.dearest_nanousd[index],
            dearest_id=tuple([ids[i] for i in index.tolist()]),
        )


def decode_rows(rows: AxisRows) -> Rows:
    """Rows of a block as arrays, of every format.

    Raises:
        DamagedBlockError: columns of different lengths, or that point to what is not there.
        ValueError: more measures than this release has.
    """
    return _of_wide(rows) if isinstance(rows, WideRows) else _of_packed(rows)


def _of_packed(rows: PackedRows) -> Rows:
    n, m = len(rows.dearest_id), rows.measures
    k = len(rows.rows_of) // 4 or n
    x = len(rows.columns.types) - 2 - m
    if not (0 <= m <= len(MEASURES) and 0 <= x <= len(MAXIMA) and n <= ROWS_MAX):
        msg = f"damaged delta block: {n} rows of {m} measures and {x} maxima"
        raise DamagedBlockError(msg)
    cells = joined(rows.cells, k) if rows.cells else ()
    values = cells if rows.axis == CELL else rows.values
    if len(values) != k:
        msg = f"damaged delta block: {len(values)} values of {k}"
        raise DamagedBlockError(msg)
    columns = unpacked(rows.columns, n)
    return Rows(
        values=values,
        cells=() if rows.axis == CELL else cells,
        scope=_scopes(rows.rows_of, n),
        pane_s=_panes(rows, columns[:, 0]),
        sums=widened(columns[:, 2 : 2 + m], len(MEASURES)),
        maxima=widened(columns[:, 2 + m :], len(MAXIMA)),
        dearest_nanousd=columns[:, 1],
        dearest_id=rows.dearest_id,
    )


def _panes(rows: PackedRows, panes: Times) -> Times:
    """The start of each row's pane."""
    if abs(rows.first_s) > SECONDS_MAX:
        raise DamagedBlockError("damaged delta block: it begins at no time")
    if rows.columns.types[0] == "0":  # all in the first one, as in live traffic
        return rows.first_s + panes
    if len(panes) and not 0 <= panes.min() <= panes.max() <= SECONDS_MAX // PANE_SECONDS:
        raise DamagedBlockError("damaged delta block: a pane of no time")
    return rows.first_s + panes * PANE_SECONDS


def _scopes(rows_of: bytes, n: int) -> npt.NDArray[np.int32]:
    """The scope of each row, from how many rows each scope has."""
    if not rows_of:
        return np.arange(n, dtype=np.int32)
    sizes = np.frombuffer(rows_of, "<u4") if len(rows_of) % 4 == 0 else np.zeros(1, np.uint32)
    if sizes.min() < 1 or int(sizes.sum(dtype=np.int64)) != n:
        raise DamagedBlockError("damaged delta block: its scopes have other rows than there are")
    return np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)


def _of_wide(rows: WideRows) -> Rows:
    try:
        scope = np.frombuffer(rows.scope, "<i4")
        n = len(scope)
        found = Rows(
            values=rows.values,
            cells=rows.cells,
            scope=scope,
            pane_s=np.frombuffer(rows.pane_s, "<i8").reshape(n),
            sums=_columns(rows.sums, n),
            maxima=_columns(rows.maxima, n),
            dearest_nanousd=np.frombuffer(rows.dearest_nanousd, "<i8").reshape(n),
            dearest_id=rows.dearest_id,
        )
    except ValueError as error:
        msg = f"damaged delta block: {error}"
        raise DamagedBlockError(msg) from error
    if len(rows.dearest_id) != n or len(rows.cells) not in {0, len(rows.values)}:
        raise DamagedBlockError("damaged delta block: its columns do not fit together")
    if n and not (0 <= scope.min() <= scope.max() < len(rows.values) and _is_time(found.pane_s)):
        raise DamagedBlockError("damaged delta block: a row of no scope or time")
    return found._replace(sums=widened(found.sums, len(MEASURES)), maxima=widened(found.maxima, len(MAXIMA)))


def _is_time(seconds: Times) -> bool:
    return bool(-SECONDS_MAX <= seconds.min() <= seconds.max() <= SECONDS_MAX)


def _columns(data: bytes, n: int) -> Sums:
    """int64[n, m]: a block of an older release has fewer columns."""
    values = np.frombuffer(data, "<i8")
    return np.ascontiguousarray(values.reshape(len(values) // n if n else 0, n).T)


def reduce_pairs(times: Times, ids: Ids, sums: Sums) -> tuple[Times, Ids, Sums]:
    """Add up rows of the same (time, id); the result is sorted by time, then id."""
    order = np.lexsort((ids, times))
    times, ids, sums = times[order], ids[order], sums[order]
    if len(times) < 2:
        return times, ids, sums
    first = np.flatnonzero(np.concatenate([[True], (times[1:] != times[:-1]) | (ids[1:] != ids[:-1])]))
    if len(first) == len(times):
        return times, ids, sums
    return times[first], ids[first], np.add.reduceat(sums, first, axis=0)


def reduce_runs(sorted_ids: Ids) -> tuple[Ids, npt.NDArray[np.intp]]:
    """Distinct ids of a sorted array, and where each begins."""
    first = np.flatnonzero(
        np.concatenate([[len(sorted_ids) > 0], sorted_ids[1:] != sorted_ids[:-1]])[: len(sorted_ids)]
    )
    return sorted_ids[first], first


def split_by_time(times: Times) -> list[tuple[int, slice]]:
    """Runs of equal times in a sorted array."""
    if not len(times):
        return []
    edges = np.flatnonzero(np.concatenate([[True], times[1:] != times[:-1], [True]]))
    return [(int(times[a]), slice(a, b)) for a, b in pairwise(edges.tolist())]

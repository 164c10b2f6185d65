"""A block's rows of one axis as arrays, and their reduction to distinct (pane, scope) pairs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from tokenfuse.contracts.block import AxisRows
from tokenfuse.contracts.measures import MAXIMA, MEASURES
from tokenfuse.windows.codec import widened
from tokenfuse.windows.narrow import Sums
from tokenfuse.windows.pane import Ids

Times = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """AxisRows decoded. Shapes: scope [n], pane_s [n], sums [n, M], maxima [n, 2], dearest_nanousd [n]."""

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
    """Columns of a block as arrays.

    Raises:
        ValueError: columns of different lengths.
    """
    scope = np.frombuffer(rows.scope, "<i4")
    n = len(scope)
    return Rows(
        values=rows.values,
        cells=rows.cells,
        scope=scope,
        pane_s=np.frombuffer(rows.pane_s, "<i8").reshape(n),
        sums=_columns(rows.sums, n, len(MEASURES)),
        maxima=_columns(rows.maxima, n, len(MAXIMA)),
        dearest_nanousd=np.frombuffer(rows.dearest_nanousd, "<i8").reshape(n),
        dearest_id=rows.dearest_id,
    )


def _columns(data: bytes, n: int, width: int) -> Sums:
    """int64[n, width]; a block of an older release has fewer columns."""
    values = np.frombuffer(data, "<i8")
    written = len(values) // n if n else width
    return widened(np.ascontiguousarray(values.reshape(written, n).T), width)


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

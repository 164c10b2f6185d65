"""Rows that were applied and not yet added to running sums: many blocks are added up first, then stored once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from tokenfuse.windows.narrow import Sums
from tokenfuse.windows.pane import Ids
from tokenfuse.windows.rows import Rows, Times


class Merged(NamedTuple):
    """All rows of some blocks, in the order of the log. Shapes as in `Rows`; `dearest` looks names up."""

    ids: Ids
    times_s: Times
    sums: Sums
    maxima: Sums
    dearest_nanousd: Times
    batches: list[tuple[Ids, Rows]]
    starts: list[int]

    def dearest(self, rows: Times) -> Iterator[tuple[str, str | None]]:
        """Of each row the event id of its dearest call, and that call's cell, for axes that are no part of cells."""
        starts = np.array(self.starts)
        batches = np.searchsorted(starts, rows, side="right") - 1
        for batch, inside in zip(batches.tolist(), (rows - starts[batches]).tolist(), strict=True):
            part = self.batches[batch][1]
            yield part.dearest_id[inside], part.cells[int(part.scope[inside])] if part.cells else None


class Pending:
    """Batches in the order of the log.

    Attributes:
        count: rows of all batches.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.count = 0
        self._batches: list[tuple[Ids, Rows]] = []

    def append(self, ids: Ids, rows: Rows) -> None:
        """Add a batch."""
        self._batches.append((ids, rows))
        self.count += len(ids)

    def take(self) -> Merged:
        """All rows; none is left."""
        batches, self._batches, self.count = self._batches, [], 0
        if len(batches) == 1:
            ((ids, rows),) = batches
            return Merged(ids, rows.pane_s, rows.sums, rows.maxima, rows.dearest_nanousd, batches, [0])
        ids = np.concatenate([ids for ids, _ in batches])
        joined = [
            np.concatenate([getattr(rows, name) for _, rows in batches])
            for name in ("pane_s", "sums", "maxima", "dearest_nanousd")
        ]
        starts = [0, *accumulate(len(ids) for ids, _ in batches[:-1])]
        times, sums, maxima, dearest = joined
        return Merged(ids, times, sums, maxima, dearest, batches, starts)

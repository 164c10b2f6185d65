"""One pane of one axis: the sums of every scope that had a call in it. Time-major, so expiry is O(1)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tokenfuse.contracts.measures import MEASURES
from tokenfuse.windows.codec import widened

Ids = npt.NDArray[np.int32]
Sums = npt.NDArray[np.int64]
WIDTH = len(MEASURES)

CHUNK: Final = 3584
"""Scopes per checkpoint row: 237 bytes each are under a message's size even if nothing compresses."""


class Pane:
    """Rows of int64 sums by scope id; absent scopes are zero.

    Attributes:
        count: scopes that have a row.
    """

    __slots__ = ("_any_unsent", "_changed", "_ids", "_recut", "_rows", "_slots", "_unsent", "count")

    def __init__(self) -> None:
        """Start with no scope."""
        self.count = 0
        self._any_unsent = False
        self._recut = False
        self._changed = np.zeros(1, np.bool_)
        self._ids = np.empty(0, np.int32)
        self._rows = np.zeros((0, WIDTH), np.int64)
        self._unsent = np.zeros(0, np.bool_)
        self._slots = np.empty(0, np.int32)

    def add(self, ids: Ids, sums: Sums) -> None:
        """Add sums[i] to scope ids[i]; ids are distinct. Shapes: [n], [n, M]."""
        slots = self._slots_for(ids)
        self._rows[slots] += sums
        self._unsent[slots] = self._any_unsent = True
        self._changed[slots // CHUNK] = True

    def gather(self, ids: Ids) -> Sums:
        """Sums of the given scopes, int64[n, M]."""
        slots = self._find(ids)
        if not self.count:
            return np.zeros((len(ids), WIDTH), np.int64)
        found = self._rows[slots]
        found[slots < 0] = 0
        return found

    def column(self, ids: Ids, measure: int) -> Sums:
        """One measure of the given scopes, int64[n]."""
        if not self.count:
            return np.zeros(len(ids), np.int64)
        slots = self._find(ids)
        return np.where(slots < 0, 0, self._rows[slots, measure])

    @property
    def ids(self) -> Ids:
        """Scopes that have a row, in the order in which they came."""
        return self._ids[: self.count]

    @property
    def rows(self) -> Sums:
        """Their sums, int64[count, M]."""
        return self._rows[: self.count]

    def take_unsent(self) -> tuple[Ids, Sums]:
        """Rows changed since the last call."""
        if not self._any_unsent:
            return self._ids[:0], self._rows[:0]
        slots = np.flatnonzero(self._unsent[: self.count])
        self._unsent[slots] = self._any_unsent = False
        self._changed[slots // CHUNK] = True  # a checkpoint must say that they were sent
        return self._ids[slots], self._rows[slots]

    def forget(self, ids: Ids) -> None:
        """Scopes that are gone: whoever has their ids next starts from zero."""
        slots = self._find(ids)
        slots = slots[slots >= 0]
        self._rows[slots] = 0
        self._unsent[slots] = False
        self._changed[slots // CHUNK] = True

    @property
    def chunks(self) -> int:
        """How many checkpoint rows the pane has."""
        return -(-self.count // CHUNK)

    @property
    def changed_chunks(self) -> list[int]:
        """Those that changed since they were taken."""
        return np.flatnonzero(self._changed).tolist()

    def chunk(self, number: int) -> dict[str, Any]:
        """One checkpoint row as plain data; it counts as unchanged from now on."""
        part = slice(number * CHUNK, min((number + 1) * CHUNK, self.count))
        self._changed[number] = False
        return {"ids": self._ids[part], "rows": self._rows[part], "unsent": self._unsent[part]}

    def restore_chunk(self, ids: Ids, rows: Sums, unsent: npt.NDArray[np.bool_]) -> None:
        """Inverse of `chunk`; chunks come in their order."""
        first = self.count
        told = self._any_unsent
        self.add(ids, widened(rows, WIDTH))
        self._unsent[first : self.count] = unsent
        self._any_unsent = told or bool(unsent.any())
        self._recut = (
            self._recut or len(ids) > CHUNK
        )  # an older release cut larger rows: write all of them anew
        self._changed[:] = self._recut

    def _find(self, ids: Ids) -> npt.NDArray[np.int32]:
        inside = ids < len(self._slots)
        if inside.all():
            return self._slots[ids]
        slots = np.full(len(ids), -1, np.int32)
        slots[inside] = self._slots[ids[inside]]
        return slots

    def _slots_for(self, ids: Ids) -> npt.NDArray[np.int32]:
        top = int(ids.max(initial=-1))
        if top >= len(self._slots):
            grown = np.full(max(len(self._slots) + len(self._slots) // 2, top + 1), -1, np.int32)
            grown[: len(self._slots)] = self._slots
            self._slots = grown
        slots = self._slots[ids]
        missing = slots < 0
        if missing.any():
            self._append(ids[missing])
            slots = self._slots[ids]
        return slots

    def _append(self, ids: Ids) -> None:
        end = self.count + len(ids)
        if end > len(self._ids):
            size = max(len(self._ids) + len(self._ids) // 2, end)
            self._ids = np.resize(self._ids, size)
            self._rows = np.concatenate([self._rows, np.zeros((size - len(self._rows), WIDTH), np.int64)])
            self._unsent = np.concatenate([self._unsent, np.zeros(size - len(self._unsent), np.bool_)])
            more = -(-size // CHUNK) - len(self._changed)
            self._changed = np.concatenate([self._changed, np.zeros(more, np.bool_)])
        self._ids[self.count : end] = ids
        self._slots[ids] = np.arange(self.count, end, dtype=np.int32)
        self.count = end

"""One pane of one axis: the sums of every scope that had a call in it. Time-major, so expiry is O(1)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenfuse.contracts.measures import MEASURES

Ids = npt.NDArray[np.int32]
Sums = npt.NDArray[np.int64]
WIDTH = len(MEASURES)


class Pane:
    """Rows of int64 sums by scope id; absent scopes are zero.

    Attributes:
        changed: since the last checkpoint row was taken. unsent: any row since the last rollup.
    """

    __slots__ = ("_ids", "_rows", "_slots", "_unsent", "changed", "count")

    def __init__(self) -> None:
        """Start with no scope."""
        self.count = 0
        self.changed = False
        self._ids = np.empty(8, np.int32)
        self._rows = np.zeros((8, WIDTH), np.int64)
        self._unsent = np.zeros(8, np.bool_)
        self._slots = np.full(16, -1, np.int32)

    def add(self, ids: Ids, sums: Sums) -> None:
        """Add sums[i] to scope ids[i]; ids are distinct. Shapes: [n], [n, M]."""
        slots = self._slots_for(ids)
        self._rows[slots] += sums
        self._unsent[slots] = True
        self.changed = True

    def gather(self, ids: Ids) -> Sums:
        """Sums of the given scopes, int64[n, M]."""
        slots = self._find(ids)
        found = self._rows[slots]
        found[slots < 0] = 0
        return found

    def column(self, ids: Ids, measure: int) -> Sums:
        """One measure of the given scopes, int64[n]."""
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
        slots = np.flatnonzero(self._unsent[: self.count])
        self._unsent[slots] = False
        self.changed |= len(slots) > 0  # a checkpoint must say that they were sent
        return self._ids[slots], self._rows[slots]

    @property
    def unsent(self) -> npt.NDArray[np.bool_]:
        """Which rows changed since the last rollup, bool[count]."""
        return self._unsent[: self.count]

    @classmethod
    def of(cls, ids: Ids, rows: Sums, unsent: npt.NDArray[np.bool_]) -> Pane:
        """The pane that had these, as its checkpoint row says."""
        pane = cls()
        pane.add(ids, rows)
        pane.unsent[:] = unsent
        pane.changed = False
        return pane

    def _find(self, ids: Ids) -> npt.NDArray[np.int32]:
        inside = ids < len(self._slots)
        if inside.all():
            return self._slots[ids]
        return np.where(inside, self._slots[np.where(inside, ids, 0)], -1).astype(np.int32)

    def _slots_for(self, ids: Ids) -> npt.NDArray[np.int32]:
        top = int(ids.max(initial=-1))
        if top >= len(self._slots):
            grown = np.full(max(2 * len(self._slots), top + 1), -1, np.int32)
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
            size = max(2 * len(self._ids), end)
            self._ids = np.resize(self._ids, size)
            self._rows = np.concatenate([self._rows, np.zeros((size - len(self._rows), WIDTH), np.int64)])
            self._unsent = np.concatenate([self._unsent, np.zeros(size - len(self._unsent), np.bool_)])
        self._ids[self.count : end] = ids
        self._slots[ids] = np.arange(self.count, end, dtype=np.int32)
        self.count = end

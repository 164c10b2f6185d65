"""One pane of one axis: the sums of every scope that had a call in it. Time-major, so expiry is O(1)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tokenfuse.contracts.measures import MEASURES
from tokenfuse.windows.codec import widened
from tokenfuse.windows.narrow import NarrowSums, Sums

Ids = npt.NDArray[np.int32]
WIDTH = len(MEASURES)

CHUNK: Final = 3584
"""Scopes per checkpoint row: 237 bytes each are under a message's size even if nothing compresses."""


class Pane:
    """Rows of int64 sums by scope id; absent scopes are zero.

    A pane that is added to finds a scope's row by an array over all ids. `seal` lets go of it, and of every byte that
    the sums do not need; the next addition brings it back.

    Attributes:
        count: scopes that have a row.
        silent: it never leaves as rollups; what is added to it counts as late besides.
    """

    __slots__ = ("_any_unsent", "_changed", "_ids", "_order", "_slots", "_sums", "_unsent", "count", "silent")

    def __init__(self, columns: int = WIDTH, *, silent: bool = False) -> None:
        """Start with no scope."""
        self.count = 0
        self.silent = silent
        self._any_unsent = False
        self._changed = np.zeros(1, np.bool_)
        self._ids = np.empty(0, np.int32)
        self._sums = NarrowSums(columns)
        self._unsent = np.zeros(0, np.bool_)
        self._slots: Ids | None = np.empty(0, np.int32)
        self._order: Ids | None = None

    def add(self, ids: Ids, sums: Sums) -> None:
        """Add sums[i] to scope ids[i]; ids are distinct. Shapes: [n], [n, columns]."""
        slots = self._slots_for(ids)
        self._sums.add(slots, sums)
        if not self.silent:
            self._unsent[slots] = self._any_unsent = True
        self._mark(slots)

    def gather(self, ids: Ids) -> Sums:
        """Sums of the given scopes, int64[n, columns]."""
        slots = self._find(ids)
        if not self.count:
            return np.zeros((len(ids), self._sums.columns), np.int64)
        found = self._sums.gather(slots)
        found[slots < 0] = 0
        return found

    def column(self, ids: Ids, measure: int) -> Sums:
        """One column of the given scopes, int64[n]."""
        if not self.count:
            return np.zeros(len(ids), np.int64)
        slots = self._find(ids)
        return np.where(slots < 0, 0, self._sums.column(slots, measure))

    @property
    def ids(self) -> Ids:
        """Scopes that have a row, in the order in which they came."""
        return self._ids[: self.count]

    @property
    def rows(self) -> Sums:
        """Their sums, int64[count, columns]."""
        return self._sums.all()

    def all_of(self, measure: int) -> Sums:
        """One column of `rows`, int64[count]."""
        return self._sums.all_of(measure)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = (self._changed, self._ids, self._unsent, self._slots, self._order)
        return self._sums.nbytes + sum(array.nbytes for array in arrays if array is not None)

    @property
    def sealed(self) -> bool:
        """Whether nothing was added since `seal`."""
        return self._slots is None

    def seal(self) -> None:
        """Little will be added from now on: take no more bytes than needed."""
        if self._slots is not None:
            self._slots = None
            self._sums.compact()
            self._ids = self._ids[: self.count].copy()
            self._unsent = self._unsent[: self.count].copy()

    def has_unsent(self) -> bool:
        """Whether `take_unsent` would take any."""
        return self._any_unsent

    def take_unsent(self, most: int = 2**62) -> tuple[Ids, Sums]:
        """Rows changed since the last call, at most so many, ascending by scope whatever the order in which they came."""
        if not self._any_unsent:
            return self._ids[:0], np.zeros((0, self._sums.columns), np.int64)
        slots = np.flatnonzero(self._unsent[: self.count])
        self._any_unsent = len(slots) > most
        slots = slots[np.argsort(self._ids[slots])][:most]
        self._unsent[slots] = False
        self._mark(slots)  # a checkpoint must say that they were sent
        return self._ids[slots], self._sums.gather(slots)

    def forget(self, ids: Ids) -> None:
        """Scopes that are gone: whoever has their ids next starts from zero."""
        slots = self._find(ids)
        slots = slots[slots >= 0]
        self._sums.set_zero(slots)
        self._unsent[slots] = False
        self._mark(slots)

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
        first, end = number * CHUNK, min((number + 1) * CHUNK, self.count)
        self._changed[number] = False
        rows = self._sums.gather(np.arange(first, end))
        fields: dict[str, Any] = {
            "ids": self._ids[first:end],
            "rows": rows,
            "unsent": self._unsent[first:end],
        }
        return fields | ({"silent": True} if self.silent else {})

    def restore(self, chunks: list[dict[str, Any]]) -> None:
        """Inverse of `chunk` for all chunks of a pane, in their order."""
        ids, unsent = (_joined([chunk[name] for chunk in chunks]) for name in ("ids", "unsent"))
        rows = _joined([widened(chunk["rows"], self._sums.columns) for chunk in chunks])
        self.silent = "silent" in chunks[0]
        self.count = len(ids)
        self._ids, self._unsent = ids, unsent.copy()
        self._sums.replace(rows)
        self._slots = self._order = None
        self._any_unsent = bool(unsent.any())
        # An older release cut larger rows: all of them are written anew.
        recut = any(len(chunk["ids"]) > CHUNK for chunk in chunks)
        self._changed = np.full(max(self.chunks, 1), recut)

    def _mark(self, slots: npt.NDArray[Any]) -> None:
        if len(self._changed) == 1:
            self._changed[0] |= len(slots) > 0
        else:
            self._changed[slots // CHUNK] = True

    def _find(self, ids: Ids) -> Ids:
        """Slots of some scopes, -1 where they have none."""
        if self._slots is None:
            return self._search(ids)
        inside = ids < len(self._slots)
        if inside.all():
            return self._slots[ids]
        slots = np.full(len(ids), -1, np.int32)
        slots[inside] = self._slots[ids[inside]]
        return slots

    def _search(self, ids: Ids) -> Ids:
        """The same without an array over all ids."""
        if self._order is None or len(self._order) != self.count:
            self._order = np.argsort(self.ids).astype(np.int32)
        place = np.searchsorted(self.ids, ids, sorter=self._order)
        slots = (
            self._order[np.minimum(place, self.count - 1)] if self.count else np.full(len(ids), -1, np.int32)
        )
        return np.where(self.count and self._ids[slots] == ids, slots, -1).astype(np.int32)

    def _slots_for(self, ids: Ids) -> Ids:
        if self._slots is None:
            self._unseal()
        assert self._slots is not None  # noqa: S101 - unsealed
        top = int(ids.max(initial=-1))
        if top >= len(self._slots):
            grown = np.full(max(len(self._slots) + len(self._slots) // 4, top + 1), -1, np.int32)
            grown[: len(self._slots)] = self._slots
            self._slots = grown
        slots = self._slots[ids]
        missing = slots < 0
        if missing.any():
            self._append(ids[missing])
            slots = self._slots[ids]
        return slots

    def _unseal(self) -> None:
        ids = self.ids
        self._order = None
        self._slots = np.full(int(ids.max(initial=-1)) + 1, -1, np.int32)
        self._slots[ids] = np.arange(self.count, dtype=np.int32)

    def _append(self, ids: Ids) -> None:
        assert self._slots is not None  # noqa: S101 - unsealed
        end = self.count + len(ids)
        if end > len(self._ids):
            size = max(len(self._ids) + len(self._ids) // 4, end)
            self._ids = np.resize(self._ids, size)
            self._unsent = np.concatenate([self._unsent, np.zeros(size - len(self._unsent), np.bool_)])
            more = max(-(-size // CHUNK) - len(self._changed), 0)
            self._changed = np.concatenate([self._changed, np.zeros(more, np.bool_)])
        self._ids[self.count : end] = ids
        self._slots[ids] = np.arange(self.count, end, dtype=np.int32)
        self._sums.reserve(end)
        self.count = end


def _joined(parts: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)

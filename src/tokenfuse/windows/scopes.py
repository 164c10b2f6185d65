"""The scopes of one axis: value to id, running sums, first and last call, the dearest call of the hour."""

from __future__ import annotations

import heapq
from typing import Any, Final

import numpy as np

from tokenfuse.contracts.measures import MAXIMA
from tokenfuse.windows.codec import widened
from tokenfuse.windows.pane import WIDTH, Ids, Sums
from tokenfuse.windows.rows import Rows

CHUNK: Final = 128
"""Scopes per checkpoint row. Names decide: value, example and a cell of four values, 256 characters each, of up to
12 bytes once percent-encoded, compress to under half of a message's size."""

ALWAYS_S: Final = -(2**62)


class Scopes:
    """Ids are given in the order of the log and the lowest free one first, so every replay gives the same.

    Attributes:
        totals: int64[capacity, M], running sums since first_s. live: which ids are in use.
        first_s, last_s: pane of the first call (at creation) and of the newest one.
        cell: for users, runs and further axes the cell of the dearest call, else None.
        changed_chunks: chunks of ids changed since their checkpoint row was taken.
        unsent: totals changed since the last rollup. folded: values that found the table full.
        version: grows when a scope is created or evicted. created: ids given since this list was last emptied.
        evicted_s: scopes without a call since then were evicted. A scope begins then at the earliest, so that the
            running sums of one that comes back never have the `first_s` of those that went out before.
    """

    def __init__(self, other: str, scopes_max: int) -> None:
        """Start empty; values beyond scopes_max fold into the value `other`."""
        self._other = other
        self._max = scopes_max
        self._ids: dict[str, int] = {}
        self._free: list[int] = []
        self.folded = 0
        self.version = 0
        self.created: list[int] = []
        self.evicted_s = ALWAYS_S
        self.changed_chunks: set[int] = set()
        self.values: list[str | None] = []
        self.cells: list[str | None] = []
        self.examples: list[str | None] = []
        self.totals: Sums = np.zeros((16, WIDTH), np.int64)
        self.maxima: Sums = np.zeros((16, len(MAXIMA)), np.int64)
        self.first_s = np.zeros(16, np.int64)
        self.last_s = np.zeros(16, np.int64)
        self.dearest_hour = np.zeros(16, np.int64)
        self.dearest_nanousd = np.zeros(16, np.int64)
        self.unsent = np.zeros(16, np.bool_)
        self._live = np.zeros(16, np.bool_)

    def __len__(self) -> int:
        """Scopes in use."""
        return len(self._ids)

    def id_of(self, value: str) -> int | None:
        """Id of a known scope value."""
        return self._ids.get(value)

    def live(self) -> Ids:
        """Every id in use, ascending."""
        return np.flatnonzero(self._live).astype(np.int32)

    def ids_for(self, rows: Rows) -> Ids:
        """Ids of a block's values, new ones created as of their own first pane."""
        known = self._ids
        ids = [known.get(value, -1) for value in rows.values]
        if -1 in ids:
            first_s = np.full(len(ids), rows.pane_s.max(initial=0))
            np.minimum.at(first_s, rows.scope, rows.pane_s)
            for row, value in enumerate(rows.values):
                if ids[row] < 0:
                    ids[row] = self._create(value, int(first_s[row]))
        return np.array(ids, np.int32)

    def add(self, ids: Ids, rows: Rows, *, distinct: bool) -> None:
        """Add a block's rows to the running sums; ids[i] is the scope of row i, which repeats unless distinct."""
        if distinct:
            self.totals[ids] += rows.sums
            self.maxima[ids] = np.maximum(self.maxima[ids], rows.maxima)
            self.last_s[ids] = np.maximum(self.last_s[ids], rows.pane_s)
        else:
            np.add.at(self.totals, ids, rows.sums)
            np.maximum.at(self.maxima, ids, rows.maxima)
            np.maximum.at(self.last_s, ids, rows.pane_s)
        self.unsent[ids] = True
        self.changed_chunks.update(set((ids // CHUNK).tolist()))
        self._keep_dearest(ids, rows)

    def evict_idle(self, before_s: int) -> Ids:
        """Forget scopes whose newest call is older than before_s; their ids are free again."""
        if before_s <= self.evicted_s:
            return np.empty(0, np.int32)
        self.evicted_s = before_s
        live = self.live()
        ids: Ids = live[self.last_s[live] < before_s]
        if len(ids):
            self._evict(ids)
        return ids

    def _evict(self, ids: Ids) -> None:
        for i in ids.tolist():
            value = self.values[i]
            if value is not None:
                del self._ids[value]
            self.values[i] = self.cells[i] = self.examples[i] = None
            heapq.heappush(self._free, i)
        for name in _ARRAYS:
            getattr(self, name)[ids] = 0
        self._live[ids] = False
        self.version += 1
        self.changed_chunks.update((ids // CHUNK).tolist())

    def take_unsent(self) -> Ids:
        """Scopes whose totals changed since the last call."""
        ids = np.flatnonzero(self.unsent).astype(np.int32)
        self.unsent[ids] = False
        self.changed_chunks.update((ids // CHUNK).tolist())  # a checkpoint must say that they were sent
        return ids

    def chunk(self, number: int) -> dict[str, Any]:
        """One chunk of ids as plain data, for its checkpoint row."""
        part = slice(number * CHUNK, min((number + 1) * CHUNK, len(self.values)))
        self.changed_chunks.discard(number)
        return {
            "values": self.values[part],
            "cells": self.cells[part],
            "examples": self.examples[part],
            **{name: getattr(self, name)[part] for name in _ARRAYS},
        }

    def restore_chunk(self, number: int, data: dict[str, Any]) -> None:
        """Inverse of `chunk`; chunks come in any order, then `restored` once."""
        base = number * CHUNK
        end = base + len(data["values"])
        self._reserve(end)
        for name in ("values", "cells", "examples"):
            stored = getattr(self, name)
            stored.extend([None] * (end - len(stored)))
            stored[base:end] = data[name]
        for name in _ARRAYS:
            array, part = getattr(self, name), data[name]
            array[base:end] = part if array.ndim == 1 else widened(part, array.shape[1])

    def restored(self, evicted_s: int) -> None:
        """Rebuild what is derived, as it stood after `evict_idle` at evicted_s."""
        self.evicted_s = evicted_s
        self._ids = {value: i for i, value in enumerate(self.values) if value is not None}
        self._free = [i for i, value in enumerate(self.values) if value is None]
        heapq.heapify(self._free)
        self._live[list(self._ids.values())] = True

    def _create(self, value: str, first_s: int) -> int:
        if (known := self._ids.get(value)) is not None:  # twice in one block, through folding
            return known
        if len(self._ids) >= self._max and value != self._other:
            self.folded += 1
            other = self._ids.get(self._other)
            return other if other is not None else self._create(self._other, first_s)
        new = heapq.heappop(self._free) if self._free else len(self.values)
        if new == len(self.values):
            self._reserve(new + 1)
            for column in (self.values, self.cells, self.examples):
                column.append(None)
        self.values[new] = value
        self._ids[value] = new
        self.version += 1
        self._live[new] = True
        self.created.append(new)
        self.first_s[new] = self.last_s[new] = max(first_s, self.evicted_s)
        return new

    def _reserve(self, size: int) -> None:
        have = len(self.totals)
        if size <= have:
            return
        more = max(2 * have, size) - have
        for name in (*_ARRAYS, "_live"):
            array = getattr(self, name)
            setattr(self, name, np.concatenate([array, np.zeros((more, *array.shape[1:]), array.dtype)]))

    def _keep_dearest(self, ids: Ids, rows: Rows) -> None:
        hours = rows.pane_s // 3600
        order = np.lexsort((rows.dearest_nanousd, hours, ids))
        last = np.flatnonzero(np.concatenate([ids[order][1:] != ids[order][:-1], [True]]))
        best = order[last]  # per scope: the dearest call of its newest hour in this block
        scope, hour, cost = ids[best], hours[best], rows.dearest_nanousd[best]
        newer = hour > self.dearest_hour[scope]
        wins = newer | ((hour == self.dearest_hour[scope]) & (cost > self.dearest_nanousd[scope]))
        for row, i in zip(best[wins].tolist(), scope[wins].tolist(), strict=True):
            self.examples[i] = rows.dearest_id[row]
            if rows.cells:
                self.cells[i] = rows.cells[int(rows.scope[row])]
        self.dearest_hour[scope[wins]] = hour[wins]
        self.dearest_nanousd[scope[wins]] = cost[wins]


_ARRAYS: Final = ("totals", "maxima", "first_s", "last_s", "dearest_hour", "dearest_nanousd", "unsent")

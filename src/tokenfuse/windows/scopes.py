"""The scopes of one axis: value to id, running sums, first and last call, the dearest call of the hour."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tokenfuse.contracts.measures import MAXIMA
from tokenfuse.windows.codec import widened
from tokenfuse.windows.narrow import NarrowSums, Sums
from tokenfuse.windows.pane import WIDTH, Ids
from tokenfuse.windows.pending import Merged
from tokenfuse.windows.rows import Rows, reduce_runs

CHUNK_BITS: Final = 7
CHUNK: Final = 1 << CHUNK_BITS
"""Scopes per checkpoint row. Names decide: value, example and a cell of four values, 256 characters each, of up to
12 bytes once percent-encoded, compress to under half of a message's size."""

ALWAYS_S: Final = -(2**62)

AT_ONCE_MIN: Final = 12
"""Fewer new scopes of a block cost less one by one: 5 us each, while many at once take 0.5 us each."""


class Scopes:
    """Ids are given in the order of the log and the lowest free one first, so every replay gives the same.

    Attributes:
        totals: running sums since first_s.
        first_s, last_s: pane of the first call (at creation) and of the newest one.
        cell: for users, runs and further axes the cell of the dearest call, else None.
        changed_chunks: chunks of ids changed since their checkpoint row was taken.
        unsent: totals changed since the last rollup. folded: values that found the table full.
        version: grows when a scope is created or evicted. created: ids given since this list was last emptied.
        born: version at which each id was given or became free.
        settle: adds what is pending; called before anything but names, ids and `first_s` is read.
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
        self.settle: Callable[[], None] = lambda: None
        self._cells: list[str | None] = []
        self._examples: list[str | None] = []
        self._totals = NarrowSums(WIDTH)
        self._maxima: Sums = np.zeros((16, len(MAXIMA)), np.int64)
        self.first_s = np.zeros(16, np.int64)
        self._last_s = np.zeros(16, np.int64)
        self._dearest_hour = np.zeros(16, np.int32)
        self._dearest_nanousd = np.zeros(16, np.int64)
        self._unsent = np.zeros(16, np.bool_)
        self._any_unsent = False
        self._live = np.zeros(16, np.bool_)
        self.born = np.zeros(16, np.int64)

    @property
    def totals(self) -> NarrowSums:
        """Running sums by id, all measures."""
        self.settle()
        return self._totals

    @property
    def maxima(self) -> Sums:
        """Largest values by id, int64[capacity, len(MAXIMA)]."""
        self.settle()
        return self._maxima

    @property
    def last_s(self) -> npt.NDArray[np.int64]:
        """Pane of each scope's newest call, by id."""
        self.settle()
        return self._last_s

    def newest_ms(self, scope: int, at_ms: int) -> int:
        """When a scope's newest pane began, at most at_ms: what its calls broke began then, whatever others' say of the time."""
        return min(int(self.last_s[scope]) * 1000, at_ms)

    @property
    def cells(self) -> list[str | None]:
        """Cell of each scope's dearest call of its newest hour."""
        self.settle()
        return self._cells

    @property
    def examples(self) -> list[str | None]:
        """Event id of that call."""
        self.settle()
        return self._examples

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, names left out."""
        arrays = sum(getattr(self, name).nbytes for name in (*_ARRAYS, "_live", "born"))
        return self._totals.nbytes + int(arrays)

    def __len__(self) -> int:
        """Scopes in use."""
        return len(self._ids)

    def id_of(self, value: str) -> int | None:
        """Id of a known scope value."""
        return self._ids.get(value)

    def live(self) -> Ids:
        """Every id in use, ascending."""
        return np.flatnonzero(self._live).astype(np.int32)

    def changed_since(self, version: int) -> npt.NDArray[np.int64]:
        """Ids that were given or became free after a version, ascending; of an earlier one than any, all."""
        return np.flatnonzero(self.born[: len(self.values)] > version)

    def ids_for(self, rows: Rows) -> Ids:
        """Ids of a block's values, new ones created as of their own first pane."""
        ids = list(map(self._ids.get, rows.values))
        if None in ids:
            new = [row for row, known in enumerate(ids) if known is None]
            first_s = np.full(len(ids), rows.pane_s.max(initial=0))
            np.minimum.at(first_s, rows.scope, rows.pane_s)
            created = self._create_all([rows.values[row] for row in new], first_s[new])
            for row, id_ in zip(new, created, strict=True):
                ids[row] = id_
        return np.array(ids, np.int32)

    def add(self, merged: Merged) -> None:
        """Add rows to the running sums, in the order of the log."""
        order = np.argsort(merged.ids, kind="stable")
        ids, firsts = reduce_runs(merged.ids[order])
        if len(ids) == len(order):
            sums, maxima, newest = merged.sums[order], merged.maxima[order], merged.times_s[order]
        else:
            sums = np.add.reduceat(merged.sums[order], firsts, axis=0)
            maxima = np.maximum.reduceat(merged.maxima[order], firsts, axis=0)
            newest = np.maximum.reduceat(merged.times_s[order], firsts)
        self._totals.add(ids, sums)
        self._maxima[ids] = np.maximum(self._maxima[ids], maxima)
        self._last_s[ids] = np.maximum(self._last_s[ids], newest)
        self._unsent[ids] = self._any_unsent = True
        self._mark(ids)
        self._keep_dearest(merged)

    def _mark(self, ids: Ids) -> None:
        self.changed_chunks.update((np.flatnonzero(np.bincount(ids >> CHUNK_BITS))).tolist())

    def evict_idle(self, before_s: int) -> Ids:
        """Forget scopes whose newest call is older than before_s; their ids are free again."""
        if before_s <= self.evicted_s:
            return np.empty(0, np.int32)
        self.evicted_s = before_s
        live = self.live()
        ids: Ids = live[self._last_s[live] < before_s]
        if len(ids):
            self._evict(ids)
        return ids

    def _evict(self, ids: Ids) -> None:
        for i in ids.tolist():
            value = self.values[i]
            if value is not None:
                del self._ids[value]
            self.values[i] = self._cells[i] = self._examples[i] = None
            heapq.heappush(self._free, i)
        for name in _ARRAYS:
            getattr(self, name)[ids] = 0
        self._totals.set_zero(ids)
        self._live[ids] = False
        self.version += 1
        self.born[ids] = self.version
        self._mark(ids)

    def has_unsent(self) -> bool:
        """Whether `take_unsent` would take any."""
        return self._any_unsent

    def take_unsent(self, most: int = 2**62) -> Ids:
        """Scopes whose totals changed since the last call, at most so many, ascending."""
        if not self._any_unsent:
            return np.empty(0, np.int32)
        unsent = np.flatnonzero(self._unsent)
        self._any_unsent = len(unsent) > most
        ids: Ids = unsent[:most].astype(np.int32)
        self._unsent[ids] = False
        self._mark(ids)  # a checkpoint must say that they were sent
        return ids

    def chunk(self, number: int) -> dict[str, Any]:
        """One chunk of ids as plain data, for its checkpoint row."""
        self.settle()
        first, end = number * CHUNK, min((number + 1) * CHUNK, len(self.values))
        self.changed_chunks.discard(number)
        return {
            "values": self.values[first:end],
            "cells": self._cells[first:end],
            "examples": self._examples[first:end],
            "totals": self._totals.gather(np.arange(first, end)),
            **{name.removeprefix("_"): getattr(self, name)[first:end] for name in _ARRAYS},
        }

    def restore(self, chunks: dict[int, dict[str, Any]]) -> None:
        """Inverse of `chunk` for all chunks, into empty scopes; then `restored` once."""
        numbers = sorted(chunks)
        end = max((number * CHUNK + len(chunks[number]["values"]) for number in numbers), default=0)
        self._reserve(end)
        totals: Sums = np.zeros((end, WIDTH), np.int64)
        columns = {"values": self.values, "cells": self._cells, "examples": self._examples}
        for column in columns.values():
            column.extend([None] * end)
        for number in numbers:
            data, base = chunks[number], number * CHUNK
            size = len(data["values"])
            for name, column in columns.items():
                column[base : base + size] = data[name]
            for name in _ARRAYS:
                array = getattr(self, name)
                part = data[name.removeprefix("_")]
                array[base : base + size] = part if part.ndim == 1 else widened(part, array.shape[1])
            totals[base : base + size] = widened(data["totals"], WIDTH)
        self._totals.replace(totals)
        self._cells = [cell and sys.intern(cell) for cell in self._cells]

    def restored(self, evicted_s: int) -> None:
        """Rebuild what is derived, as it stood after `evict_idle` at evicted_s."""
        self.evicted_s = evicted_s
        self._ids = {value: i for i, value in enumerate(self.values) if value is not None}
        self._any_unsent = bool(self._unsent.any())
        self._live[: len(self.values)] = True
        if len(self._ids) < len(self.values):
            self._free = [i for i, value in enumerate(self.values) if value is None]
            self._live[self._free] = False

    def _create_all(self, values: list[str], first_s: npt.NDArray[np.int64]) -> list[int]:
        """The same as `_create` of one after the other; for so many as there is room for it costs much less."""
        count = len(values)
        has_room = len(self._ids) + count <= self._max
        if count < AT_ONCE_MIN or not has_room or len(set(values)) < count:
            return [self._create(value, first) for value, first in zip(values, first_s.tolist(), strict=True)]
        reused = [heapq.heappop(self._free) for _ in range(min(count, len(self._free)))]
        end = len(self.values) + count - len(reused)
        ids = [*reused, *range(len(self.values), end)]
        self._reserve(end)
        for id_, value in zip(reused, values, strict=False):
            self.values[id_] = value
        self.values.extend(values[len(reused) :])
        for column in (self._cells, self._examples):
            column.extend([None] * (count - len(reused)))
        self._ids.update(zip(values, ids, strict=True))
        self.created.extend(ids)
        places = np.array(ids)
        self._live[places] = True
        self.born[places] = np.arange(self.version + 1, self.version + count + 1)
        self.version += count
        self.first_s[places] = self._last_s[places] = np.maximum(first_s, self.evicted_s)
        return ids

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
            for column in (self.values, self._cells, self._examples):
                column.append(None)
        self.values[new] = value
        self._ids[value] = new
        self.version += 1
        self._live[new] = True
        self.created.append(new)
        self.born[new] = self.version
        self.first_s[new] = self._last_s[new] = max(first_s, self.evicted_s)
        return new

    def _reserve(self, size: int) -> None:
        self._totals.reserve(size)
        have = len(self.first_s)
        if size <= have:
            return
        more = max(have + have // 4, size) - have
        for name in (*_ARRAYS, "_live", "born"):
            array = getattr(self, name)
            setattr(self, name, np.concatenate([array, np.zeros((more, *array.shape[1:]), array.dtype)]))

    def _keep_dearest(self, merged: Merged) -> None:
        """Per scope the dearest call of its newest hour, of equal ones the first: however blocks were put together."""
        ids, hours, costs = merged.ids, merged.times_s // 3600, merged.dearest_nanousd
        order = np.lexsort((-np.arange(len(ids)), costs, hours, ids))
        best = order[np.flatnonzero(np.concatenate([ids[order][1:] != ids[order][:-1], [True]]))]
        scope, hour, cost = ids[best], hours[best], costs[best]
        had = self._dearest_hour[scope]
        wins = (hour > had) | ((hour == had) & (cost > self._dearest_nanousd[scope]))
        for i, (example, cell) in zip(scope[wins].tolist(), merged.dearest(best[wins]), strict=True):
            self._examples[i] = example
            if cell is not None:
                self._cells[i] = sys.intern(cell)  # thousands of users work in one cell
        self._dearest_hour[scope[wins]] = hour[wins]
        self._dearest_nanousd[scope[wins]] = cost[wins]


_ARRAYS: Final = ("_maxima", "first_s", "_last_s", "_dearest_hour", "_dearest_nanousd", "_unsent")

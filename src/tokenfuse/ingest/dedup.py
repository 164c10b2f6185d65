"""The ids of one source partition within the de-duplication horizon: which were counted, where, at what cost.

An id belongs to a generation, the minute of the record clock at which it was counted. It is visible to a record
whose own minute is at most the horizon later, so the answer depends on the records before it alone, not on how
they were sliced, and a slice cut again after a crash gets the same answers.

60 M ids take about 2.6 GB: 40 bytes an id in arrays, and 2 to 4 bytes of filter, since nearly all look-ups are of ids
never seen. Both halves of a hash are compared, 128 bits: among 60 M known ids, the probability that one of a million new
events a second for a year is taken for a duplicate is below 1e-17.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tokenfuse.contracts.ids import GENERATION_MS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenfuse.ingest.columns import Ints

_HASH: Final = np.dtype([("high", "<u8"), ("low", "<u8")])
_FILTER_BITS: Final = 16
"""At least 16 slots an id: at most one look-up in 16 of an unseen id goes on to the search."""

Hashes = NDArray[np.void]


def hash_ids(ids: Iterable[str]) -> Hashes:
    """128-bit hashes of ids, as pairs of 64 bits."""
    return hashes_of(b"".join([blake2b(event_id.encode(), digest_size=16).digest() for event_id in ids]))


def hashes_of(data: bytes) -> Hashes:
    """Hashes from their bytes, 16 each."""
    return np.frombuffer(data, _HASH)


class Entries(NamedTuple):
    """n counted ids.

    Attributes:
        hashes: n pairs of 64 bits.
        offset: int64[n], where in the source the id was counted.
        revision: int32[n].
        cost: int64[n], nano-dollars that were counted; ~cost where the call was unpriced.
    """

    hashes: Hashes
    offset: Ints
    revision: NDArray[np.int32]
    cost: Ints

    def take(self, index: Ints | slice) -> Entries:
        """These ids only, in this order."""
        return Entries(self.hashes[index], self.offset[index], self.revision[index], self.cost[index])


class Found(NamedTuple):
    """What the index knows of n ids: the highest visible revision of each; offset and revision -1 where unknown."""

    offset: Ints
    revision: Ints
    cost: Ints


class Run(NamedTuple):
    """Ids of one generation, found by the high half of their hash.

    Attributes:
        high: uint64[n], sorted.
        order: uint32[n], which of the ids each of `high` belongs to.
        filter: bits, 2^m of them; bit `high >> (64 - m)` of each id is set.
        low, offset, revision, cost: of the ids as they were counted, as in `Entries`.
    """

    high: NDArray[np.uint64]
    order: NDArray[np.uint32]
    filter: NDArray[np.uint8]
    low: NDArray[np.uint64]
    offset: Ints
    revision: NDArray[np.int32]
    cost: Ints

    @classmethod
    def of(cls, *parts: Entries) -> Run:
        """A run of these ids, sorted once however many parts they come in. No part has to be sorted itself."""
        hashes, *known = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        order = np.argsort(hashes["high"]).astype(np.uint32)
        return cls._of(hashes["high"][order], order, np.ascontiguousarray(hashes["low"]), *known)

    @classmethod
    def merged(cls, *runs: Run) -> Run:
        """One run of several: what is sorted already is only merged, by numpy's stable sort."""
        high, _, _, *known = (np.concatenate(columns) for columns in zip(*runs, strict=True))
        starts = np.cumsum([0, *(len(run.high) for run in runs[:-1])]).astype(np.uint32)
        order = np.concatenate([run.order + start for run, start in zip(runs, starts, strict=True)])
        place = np.argsort(high, kind="stable")
        return cls._of(high[place], order[place], *known)

    @classmethod
    def _of(cls, high: NDArray[np.uint64], order: NDArray[np.uint32], *known: Any) -> Run:
        bits = max((_FILTER_BITS * len(high) - 1).bit_length(), 3)
        slots = np.zeros(1 << bits, bool)
        slots[(high >> np.uint64(64 - bits)).view(np.int64)] = True  # rising: memory is written as it lies
        return cls(high, order, np.packbits(slots), *known)

    def candidates(self, high: NDArray[np.uint64]) -> Ints:
        """Which of these hashes may be here; quickest where they are sorted."""
        slot = high >> np.uint64(64 - (8 * len(self.filter) - 1).bit_length())
        bit = np.uint8(128) >> (slot & np.uint64(7)).astype(np.uint8)
        return np.flatnonzero(self.filter[slot >> np.uint64(3)] & bit)

    def search(self, hashes: Hashes, at: Ints, found: Found) -> None:
        """Writes what is known of `hashes[at]` into `found[at]`, where it is a higher revision."""
        wanted = hashes[at]
        position = np.searchsorted(self.high, wanted["high"])
        while len(at):
            inside = position < len(self.high)
            at, wanted, position = at[inside], wanted[inside], position[inside]
            same = self.high[position] == wanted["high"]
            at, wanted, position = at[same], wanted[same], position[same]
            known = self.order[position]
            newer = (self.low[known] == wanted["low"]) & (self.revision[known] > found.revision[at])
            known, new = known[newer], at[newer]
            found.offset[new], found.revision[new] = self.offset[known], self.revision[known]
            found.cost[new] = self.cost[known]
            position = position + 1


class IdIndex:
    """Every id that was counted within the horizon.

    Args:
        horizon_ms: how long an id is remembered, rounded up to whole generations.
    """

    def __init__(self, horizon_ms: int) -> None:
        self._generations: dict[int, list[Run]] = {}
        self._oldest: dict[int, int] = {}
        self._horizon = -(-horizon_ms // GENERATION_MS)

    def __len__(self) -> int:
        return sum(len(run.high) for runs in self._generations.values() for run in runs)

    def visible(self, counted: int, now: int) -> bool:
        """Whether an id counted in one generation is still known in another."""
        return counted >= now - self._horizon

    def lookup(self, hashes: Hashes, generation: Ints) -> Found:
        """What is known of each id.

        Args:
            hashes: n pairs of 64 bits.
            generation: int64[n], of the record that carries the id; rising.
        """
        count = len(hashes)
        found = Found(np.full(count, -1), np.full(count, -1), np.zeros(count, np.int64))
        order = np.argsort(hashes["high"])
        high = hashes["high"][order]
        for counted, runs in self._generations.items():
            end = int(np.searchsorted(generation, counted + self._horizon, side="right"))
            for run in runs:
                maybe = order[run.candidates(high)]
                if len(maybe := maybe[maybe < end]):
                    run.search(hashes, maybe, found)
        return found

    def add(self, generation: int, *parts: Entries) -> None:
        """Remembers ids counted in this generation; generations come in rising order."""
        parts = tuple(entries for entries in parts if len(entries.hashes))
        if not parts:
            return
        if generation not in self._generations:
            self._seal()
            self._oldest[generation] = min(int(entries.offset.min()) for entries in parts)
        runs = self._generations.setdefault(generation, [])
        runs.append(Run.of(*parts))
        # Sizes at least halve from run to run, so there are few, and each id is merged a few times only.
        while len(runs) > 1 and len(runs[-2].high) <= 2 * len(runs[-1].high):
            runs[-2:] = [Run.merged(runs[-2], runs[-1])]

    def forget(self, now: int) -> None:
        """Drops the generations that no record from this generation on can see."""
        for generation in [g for g in self._generations if not self.visible(g, now)]:
            del self._generations[generation], self._oldest[generation]

    def oldest_offset(self) -> int | None:
        """Lowest source offset that a correction can still ask for; None: no id is known."""
        return min(self._oldest.values(), default=None)

    def _seal(self) -> None:
        for runs in self._generations.values():
            if len(runs) > 1:
                runs[:] = [Run.merged(*runs)]

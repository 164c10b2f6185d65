"""Finds events that were counted in two source partitions: their producer does not key by tenant.

Ids are de-duplicated within a source partition only. Here all partitions' ids are compared on a sample by hash, the
same for every partition, so that an id is in all of the sample or in none.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from tokenfuse.contracts.ids import GENERATION_MS
from tokenfuse.ingest.dedup import hashes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenfuse.contracts.ids import SliceIds

ONE_IN: Final = 64
"""The sample to begin with. At 10,000 events a second it is 100 ids a second."""

ENTRIES_MAX: Final = 100_000
"""Ids remembered, about 30 MB. The sample is halved where the horizon holds more."""


class WrongKey(StrEnum):
    """What was found: metric label and log field."""

    COUNTED_TWICE = "counted_twice"
    """The same id at the same cost: the same event, and its money is counted once in each partition."""
    ID_REUSED = "id_reused"
    """The same id at another cost: two events, or a correction that went astray."""


class Place(NamedTuple):
    """Where an id was counted. cost is as in `tokenfuse.ids`."""

    source: int
    offset: int
    minute: int
    cost: int


class Repeat(NamedTuple):
    """One id in two partitions."""

    reason: WrongKey
    first: Place
    second: Place


class IdSample:
    """Sampled ids of the horizon by hash, over all source partitions.

    Args:
        horizon_ms: how long an id is remembered, by the record clocks.

    Attributes:
        one_in: share of ids that is looked at; a power of two.
    """

    def __init__(self, horizon_ms: int, entries_max: int = ENTRIES_MAX) -> None:
        self.one_in = ONE_IN
        self._minutes = -(-horizon_ms // GENERATION_MS)
        self._entries_max = entries_max
        self._newest = 0
        self._seen: dict[int, Place] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def note(self, ids: SliceIds) -> list[Repeat]:
        """What the ids of one slice repeat of other partitions; a slice that comes again changes nothing."""
        repeats = []
        for key, place in self._sampled(ids):
            first = self._seen.setdefault(key, place)
            if first.source != place.source and abs(place.minute - first.minute) <= self._minutes:
                reason = WrongKey.COUNTED_TWICE if first.cost == place.cost else WrongKey.ID_REUSED
                repeats.append(Repeat(reason, first, place))
                self._seen[key] = place
        self._forget(max((minute for minute, _ in ids.generations), default=0))
        self._thin()
        return repeats

    def _sampled(self, ids: SliceIds) -> Iterator[tuple[int, Place]]:
        hashes = hashes_of(ids.hashes)
        chosen = np.flatnonzero(hashes["low"] & np.uint64(self.one_in - 1) == 0)
        if not len(chosen):
            return
        minutes, counts = zip(*ids.generations, strict=True)
        minute = np.repeat(np.array(minutes, np.int64), np.array(counts, np.int64))[chosen].tolist()
        offset = (np.frombuffer(ids.offsets, "<u4")[chosen].astype(np.int64) + ids.a).tolist()
        cost = np.frombuffer(ids.costs, "<i8")[chosen].tolist()
        for row, key in enumerate(hashes["low"][chosen].tolist()):
            yield key, Place(ids.source, offset[row], minute[row], cost[row])

    def _forget(self, newest: int) -> None:
        if newest <= self._newest:
            return
        self._newest = newest
        oldest = newest - self._minutes
        self._seen = {key: place for key, place in self._seen.items() if place.minute >= oldest}

    def _thin(self) -> None:
        while len(self._seen) > self._entries_max:
            self.one_in *= 2
            self._seen = {key: place for key, place in self._seen.items() if key % self.one_in == 0}

"""One source partition in hand: what was fetched and not yet cut, and how much of it the next slice takes."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from operator import attrgetter, lt
from typing import TYPE_CHECKING, Final

from tokenfuse.ingest.slices import homogeneous
from tokenfuse.runtime.ingest.errors import OffsetBackwardsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenfuse.ingest.record import Record
    from tokenfuse.ingest.slices import SliceCutter
    from tokenfuse.runtime.ingest.fence import Fence

SLICE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Source bytes in a slice: with calls of 100 bytes and more, its ids fit into one message."""

HELD_SLICES_MAX: Final = 2
"""A partition that holds this many full slices is not fetched from until one is out."""


_offset, _value = attrgetter("offset"), attrgetter("value")


class Holding:
    """Records of one source partition from the cutter's position on.

    Args:
        cutter: at the start of the next slice.
        unfinished: the fence of a slice that must be cut again; None: the next slice is free.
        slice_records_max: of a free slice.
        first: the first record to take, where those before it are left out of the slice.
    """

    def __init__(
        self, cutter: SliceCutter, unfinished: Fence | None, slice_records_max: int, first: int = -1
    ) -> None:
        self.cutter = cutter
        self.first = first
        self.next = max(cutter.position, first)
        self.released = unfinished is None
        self._records: list[Record] = []
        self._bytes = 0
        self._gap_seen_at = -1
        self._unfinished_end = None if unfinished is None else unfinished.b
        self._records_max = slice_records_max

    @property
    def source(self) -> int:
        """The source partition."""
        return self.cutter.source

    @property
    def full(self) -> bool:
        """Whether a slice need not wait for more records."""
        return len(self._records) >= self._records_max or self._bytes >= SLICE_BYTES_MAX

    @property
    def has_room(self) -> bool:
        """Whether to fetch more. A slice that must be cut again is taken whole, however large it is."""
        if self._unfinished_end is not None and self.next < self._unfinished_end:
            return True
        records_max, bytes_max = HELD_SLICES_MAX * self._records_max, HELD_SLICES_MAX * SLICE_BYTES_MAX
        return len(self._records) < records_max and self._bytes < bytes_max

    @property
    def empty(self) -> bool:
        """Whether everything fetched is out."""
        return not self._records

    def skipped(self, offset: int) -> bool:
        """Whether the next record to take may have been lost on the way: then fetch from `next` once more.

        Offsets have gaps of their own, where a transaction ended; those are still there the second time.
        """
        if offset <= self.next or self._gap_seen_at == self.next:
            return False
        self._gap_seen_at = self.next
        return True

    def take(self, records: Sequence[Record]) -> None:
        """Holds records that were fetched.

        Raises:
            OffsetBackwardsError: they overlap what is held already.
        """
        offsets = list(map(_offset, records))
        before = [self.next - 1, *offsets[:-1]]
        if not all(map(lt, before, offsets)):
            offset = next(offset for last, offset in zip(before, offsets, strict=True) if offset <= last)
            raise OffsetBackwardsError(
                f"source {self.source}: got offset {offset}, wanted {self.next} or later: please report it"
            )
        self.next = offsets[-1] + 1
        self._bytes += _size(records)
        self._records.extend(records)

    def next_slice(self) -> list[Record]:
        """The records of the next slice; none while it is not complete."""
        if self._unfinished_end is not None:
            if self.next < self._unfinished_end:
                return []
            end = self._unfinished_end
            return self._records[: next((i for i, r in enumerate(self._records) if r.offset >= end), None)]
        return self._records[: self._free_slice()] if self._records else []

    @property
    def is_fixed(self) -> bool:
        """Whether the next slice must have the end that it was given before."""
        return self._unfinished_end is not None

    def done(self, records: Sequence[Record]) -> None:
        """These records, the first ones held, are out."""
        del self._records[: len(records)]
        self._bytes = self._bytes - _size(records) if self._records else 0
        self._unfinished_end = None
        self.first = -1
        self.released = False

    def _free_slice(self) -> int:
        records = self._records[: self._records_max]
        if self._bytes > SLICE_BYTES_MAX:
            ends = list(accumulate(len(record.value or b"") for record in records))
            records = records[: max(bisect_right(ends, SLICE_BYTES_MAX), 1)]
        return homogeneous(records)


def _size(records: Sequence[Record]) -> int:
    return sum(map(len, filter(None, map(_value, records))))

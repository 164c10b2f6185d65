"""Which version of each row of one partition is durable under our incarnation, and what the next checkpoint writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tokenfuse.runtime.statelog.rows import (
    FORMAT,
    SLOTS,
    Head,
    add_digests,
    encode_head,
    encode_row,
    head_key,
    row_digest,
    row_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenfuse.runtime.statelog.core import PartitionCore


@dataclass(frozen=True, slots=True)
class Cut:
    """One checkpoint of one partition, taken at one offset: write `rows`, then `head`, then delete `obsolete`."""

    offset: int
    rows: tuple[tuple[bytes, bytes], ...]
    head: tuple[bytes, bytes]
    obsolete: tuple[bytes, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of all values."""
        return sum(len(value) for _, value in self.rows) + len(self.head[1])


@dataclass(slots=True)
class Ledger:
    """Versions of the rows of one partition under one incarnation.

    Attributes:
        restored: rows that recovery found. The first checkpoint writes them all: a head vouches only for rows of its
            own incarnation, so whatever a former owner still writes or deletes cannot take a row from under it.
        foreign: keys of other incarnations that recovery saw, obsolete as soon as our first head is durable.
    """

    partition: int
    incarnation: str
    restored: set[str] = field(default_factory=set)
    foreign: tuple[bytes, ...] = ()
    _versions: dict[str, tuple[int, int]] = field(default_factory=dict)
    _digest: int = 0

    def cut(self, offset: int, core: PartitionCore) -> Cut:
        """Take everything that changed, at once: no message may be applied in between."""
        dirty = core.dirty_rows()
        dropped = [name for name in core.dropped_rows() if name not in set(dirty)]
        self.restored.difference_update(dropped)
        names = dict.fromkeys((*sorted(self.restored), *dirty))
        self.restored.clear()
        rows = tuple(
            (self._next_key(name, offset), encode_row(offset, core.snapshot(name))) for name in names
        )
        obsolete = (*self.foreign, *self._drop(dropped))
        self.foreign = ()
        return Cut(offset, rows, self._head(offset, dropped, core.head()), obsolete)

    def _next_key(self, name: str, offset: int) -> bytes:
        """Use the slot that the last durable head does not vouch for: a checkpoint that is never finished harms nothing."""
        slot = 0
        if name in self._versions:
            old_slot, old_offset = self._versions[name]
            slot = 1 - old_slot
            self._digest = add_digests(self._digest, -row_digest(name, old_offset))
        self._versions[name] = (slot, offset)
        self._digest = add_digests(self._digest, row_digest(name, offset))
        return row_key(self.partition, self.incarnation, slot, name)

    def _drop(self, names: Iterable[str]) -> list[bytes]:
        keys = []
        for name in names:
            if name in self._versions:
                _, offset = self._versions.pop(name)
                self._digest = add_digests(self._digest, -row_digest(name, offset))
                keys += [row_key(self.partition, self.incarnation, slot, name) for slot in SLOTS]
        return keys

    def _head(self, offset: int, dropped: list[str], core: bytes) -> tuple[bytes, bytes]:
        head = Head(FORMAT, offset, len(self._versions), self._digest, tuple(dropped), core)
        return head_key(self.partition, self.incarnation), encode_head(head)

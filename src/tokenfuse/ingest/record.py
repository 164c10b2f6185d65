"""A source record as the pure core sees it, and what is said of one that cannot be counted: no Kafka type here."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

MODE_HEADER: Final = "tokenfuse-mode"
HISTORY: Final = b"history"
"""Value of `MODE_HEADER` on records that teach baselines and raise no alert (`publish --history`)."""

BATCH_REFUSED_HEADER: Final = "tokenfuse-batch-refused"
"""On a record that stands for a batch that cannot be read: `<reason>: <detail>`."""


class Record(Struct, frozen=True, gc=False):
    """One message of the source topic, or one line of a file.

    Attributes:
        timestamp_ms: when the broker appended it; -1 where nobody said (a file), then event time is the clock.
        value: None is a tombstone, which the source topic must not hold: it is dead-lettered as empty.
    """

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def history(self) -> bool:
        """Whether the record was published as history."""
        return bool(self.headers) and (MODE_HEADER, HISTORY) in self.headers

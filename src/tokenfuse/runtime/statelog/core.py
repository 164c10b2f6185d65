"""What a pure core offers so that this package can keep it exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Output:
    """One message that follows from the input.

    Every message carries a number from the input log (an offset) that its readers compare, because it is sent again
    when a worker that died is replaced.

    Attributes:
        topic: full name, prefix included.
        partition: None: by the hash of the key.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class PartitionCore(Protocol):
    """State and verdicts of one input partition. Synchronous, reads no clock, does no I/O.

    State is kept as named rows, so that a checkpoint writes only what changed.
    """

    def apply(self, offset: int, value: bytes) -> Sequence[Output]:
        """Take one message; offsets come without a hole.

        Raises:
            UnknownFormatError: written by a release that this one cannot read.
            InputGapError: what the message says does not follow from the one before it.
            Exception: any other, like these two, ends the process.
        """
        ...

    def dirty_rows(self) -> Sequence[str]:
        """Existing rows that changed since their last `snapshot`."""
        ...

    def dropped_rows(self) -> Sequence[str]:
        """Rows that ceased to exist since this was last asked."""
        ...

    def snapshot(self, row: str) -> bytes:
        """Bytes of one existing row, dirty or not; clears its dirty mark."""
        ...

    def head(self) -> bytes:
        """Small state beside the rows (watermark, positions): written at every checkpoint."""
        ...


class CoreFactory(Protocol):
    """Makes the cores of a worker."""

    def empty(self, partition: int) -> PartitionCore:
        """The state before offset 0."""
        ...

    def restore(self, partition: int, head: bytes, rows: Mapping[str, bytes]) -> PartitionCore:
        """The state that `head` and all rows of one checkpoint describe; nothing is dirty.

        Raises:
            UnknownFormatError: written by a release that this one cannot read.
            Exception: any other, like this one, ends the process.
        """
        ...


class InputGapError(RuntimeError):
    """A message that leaves a hole behind the last one, by its content: what is missing must be recovered, not guessed."""

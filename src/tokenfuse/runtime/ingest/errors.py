"""Why ingest refuses to go on. Each ends the process; the message says what the operator should do.

IngestError
├── LostRecordsError          records expired before they were counted
├── SourceRecreatedError      the source topic is shorter than what was counted
├── FenceLostError            what was counted is on the deltas, but no offset of the group says so
├── CountedBeforeError        an operator's offset would count records again
├── UnfinishedSliceError      a slice begun by another release or with other settings
├── UnreadableFenceError      a slice begun by a release that this one cannot read
├── UnreadableIdsError        ids written by such a release
├── OffsetBackwardsError      a record behind what is held: a fault of this program
├── PartitionCountError       a topic has not the partitions that settings say
├── CodecMissingError         the source topic is compressed by a codec whose library is not installed
└── BrokerSilentError         a read of known records got none of them in time
"""

from __future__ import annotations


class IngestError(RuntimeError):
    """Ingest cannot go on without losing money or counting it twice."""


class LostRecordsError(IngestError):
    """The source topic no longer has the next records."""

    def __init__(self, topic: str, partition: int, wanted: int, beginning: int) -> None:
        super().__init__(
            f"{topic}-{partition}: records [{wanted}, {beginning}) expired before they were counted, about "
            f"{beginning - wanted} of them. Their money is in no total. Raise retention.ms of the topic; then accept "
            f"the loss by setting the offset of this partition to {beginning} (kafka-consumer-groups --reset-offsets)"
        )


class SourceRecreatedError(IngestError):
    """The committed offset lies beyond the end of the source."""

    def __init__(self, topic: str, partition: int, wanted: int, end: int) -> None:
        super().__init__(
            f"{topic}-{partition} ends at {end}, but records up to {wanted} were counted: was the topic created "
            f"again? Restore it, or start with a new TOKENFUSE_TOPIC_PREFIX, whose totals begin at zero"
        )


class FenceLostError(IngestError):
    """No offset is committed, though records were counted: the group was deleted, expired, or was not restored."""

    def __init__(self, topic: str, partition: int, last: int) -> None:
        super().__init__(
            f"{topic}-{partition}: no offset is committed for the group, but records up to {last} were counted. If the "
            f"topic is as it was then, set the offset of this partition to {last} (kafka-consumer-groups "
            f"--reset-offsets); if it was restored with other offsets, see 'Backup and restore' in docs/operations.md"
        )


class CountedBeforeError(IngestError):
    """An offset without a fence lies before what was counted."""

    def __init__(self, topic: str, partition: int, wanted: int, last: int) -> None:
        super().__init__(
            f"{topic}-{partition}: the offset {wanted} was set by hand, but records up to {last} were counted, and the "
            f"agents would drop them. Set it to {last}, or further to leave records out"
        )


class UnfinishedSliceError(IngestError):
    """A slice must be cut again as it was begun, and this process would cut it otherwise."""

    def __init__(self, partition: int, a: int, b: int, begun: str, mine: str) -> None:
        super().__init__(
            f"source partition {partition}: slice [{a}, {b}) was begun with '{begun}', this process has '{mine}'. "
            f"Start it once as it was before (release and settings), let it stop in order, and start this one again"
        )


class UnreadableFenceError(IngestError):
    """Where the last slice ends is said in words of another release."""

    def __init__(self, partition: int, why: str) -> None:
        super().__init__(
            f"source partition {partition}: the metadata of the group's offset says where a slice ends, but not to "
            f"this release: {why}"
        )


class UnreadableIdsError(IngestError):
    """The de-duplication index cannot be rebuilt: going on without it would count duplicates twice."""

    def __init__(self, partition: int, why: str) -> None:
        super().__init__(f"source partition {partition}: {why}")


class OffsetBackwardsError(IngestError):
    """A record came that is behind what is held."""


class PartitionCountError(IngestError):
    """A topic has not as many partitions as settings say."""


class BrokerSilentError(IngestError):
    """The broker does not deliver records that it says it has."""


class CodecMissingError(IngestError):
    """A batch is compressed by a codec whose library is not installed."""

    def __init__(self, codec: str) -> None:
        super().__init__(
            f"the source topic has batches compressed with {codec}, and the package `cramjam` is not installed here: "
            f"install it, or let producers use gzip or zstd. Nothing is lost: ingest goes on where it stood"
        )

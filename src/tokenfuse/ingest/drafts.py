"""A slice's records, decoded and looked up in the de-duplication index: what `SliceCutter` cuts from."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tokenfuse.contracts.deadletter import DeadLetter, Reason
from tokenfuse.contracts.ids import GENERATION_MS
from tokenfuse.ingest.corrections import suspects
from tokenfuse.ingest.dedup import Found, Hashes, IdIndex, hash_ids
from tokenfuse.ingest.fault import DeadLetterFault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenfuse.ingest.columns import Ints
    from tokenfuse.ingest.decode import DecodedMany, Decoder
    from tokenfuse.ingest.record import Record

_value, _headers = attrgetter("value"), attrgetter("headers")
_offset, _stamp = attrgetter("offset"), attrgetter("timestamp_ms")


class Draft(NamedTuple):
    """Records decoded and looked up.

    Attributes:
        clock: int64, the record clock at each record.
        offset: int64[n], source offset of each call.
        generation: int64[n], minute of the record clock of each call.
        found: what the index knows of each call's id.
        suspicious: places of the calls that may be duplicates or revisions.
        wanted: source offsets whose records the cut needs, to take their value out again.
    """

    records: Sequence[Record]
    decoded: DecodedMany
    clock: Ints
    offset: Ints
    generation: Ints
    hashes: Hashes
    found: Found
    suspicious: list[int]
    wanted: frozenset[int]


def letter_of(source: int, record: Record, reason: Reason, path: str, detail: str) -> DeadLetter:
    """The dead letter of a record."""
    return DeadLetter(
        original=record.value or b"",
        reason=reason,
        path=path,
        detail=detail,
        source=source,
        offset=record.offset,
    )


def decode(records: Sequence[Record], decoder: Decoder) -> DecodedMany:
    """Every record's calls, or its fault."""
    return decoder.decode_many(
        list(map(_value, records)), list(map(_headers, records)), list(map(_stamp, records))
    )


def refused(decoded: DecodedMany, detail: str) -> DecodedMany:
    """One record that is too large for a slice of its own."""
    return decoded.part(0, 0)._replace(faults={0: DeadLetterFault(Reason.TOO_LARGE, "", detail)})


def said_ms(record: Record) -> int | None:
    """When the record was appended, where somebody said so."""
    return None if record.timestamp_ms < 0 else record.timestamp_ms


def look_up(records: Sequence[Record], decoded: DecodedMany, index: IdIndex, record_ms: int) -> Draft:
    """What is known of the calls' ids.

    Args:
        records: of the slice.
        decoded: their calls.
        index: of the source partition, as it stands before the slice.
        record_ms: the record clock before the slice.
    """
    calls, of_call = decoded.calls, decoded.of_call
    clock = _clock(records, decoded, record_ms)
    generation = clock[of_call] // GENERATION_MS
    hashes = hash_ids(calls.ids.tolist())
    found = index.lookup(hashes, generation)
    revision = calls.number("revision")
    suspicious = suspects(revision, hashes, found)
    wanted = frozenset(int(found.offset[i]) for i in suspicious if 0 <= found.revision[i] < revision[i])
    offset = np.fromiter(map(_offset, records), np.int64, len(records))[of_call]
    return Draft(records, decoded, clock, offset, generation, hashes, found, suspicious, wanted)


def _clock(records: Sequence[Record], decoded: DecodedMany, record_ms: int) -> Ints:
    """Running maximum of the append times, or of event time where nobody said when a record was appended."""
    stamps = np.fromiter(map(_stamp, records), np.int64, len(records))
    if len(decoded.of_call) and stamps.min() < 0:
        unknown = np.flatnonzero(stamps[decoded.of_call] < 0)
        times = decoded.calls.number("time_ms")
        np.maximum.at(stamps, decoded.of_call[unknown], times[unknown])
    return np.maximum.accumulate(np.maximum(stamps, record_ms))

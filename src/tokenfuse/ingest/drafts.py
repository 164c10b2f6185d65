"""A slice's records, decoded and looked up in the de-duplication index: what `SliceCutter` cuts from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tokenfuse.contracts.deadletter import DeadLetter, Reason
from tokenfuse.contracts.ids import GENERATION_MS
from tokenfuse.ingest.corrections import suspects
from tokenfuse.ingest.dedup import Found, Hashes, IdIndex, hash_ids
from tokenfuse.ingest.fault import DeadLetterFault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenfuse.ingest.call import Call
    from tokenfuse.ingest.columns import Ints
    from tokenfuse.ingest.decode import Decoder
    from tokenfuse.ingest.record import Record


class Decoded(NamedTuple):
    """What the decoder made of a slice's records.

    Attributes:
        of_call: int64[n], number of the record that holds each call.
        not_billed: how many records hold no call.
    """

    calls: list[Call]
    of_call: Ints
    letters: list[DeadLetter]
    not_billed: int


class Draft(NamedTuple):
    """Records decoded and looked up.

    Attributes:
        clock: int64, the record clock at each record.
        offset: int64[n], source offset of each call.
        generation: int64[n], minute of the record clock of each call.
        found: what the index knows of each call's id.
        suspicious: indices of the calls that may be duplicates or revisions.
        wanted: source offsets whose records the cut needs, to take their value out again.
    """

    records: Sequence[Record]
    decoded: Decoded
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


def decode(source: int, records: Sequence[Record], decoder: Decoder) -> Decoded:
    """Every record's calls, or its dead letter."""
    calls: list[Call] = []
    of_call: list[int] = []
    letters: list[DeadLetter] = []
    not_billed = 0
    for number, result in enumerate(decode_records(records, decoder)):
        if isinstance(result, DeadLetterFault):
            letters.append(letter_of(source, records[number], result.reason, result.path, result.detail))
            continue
        calls.extend(result)
        of_call.extend([number] * len(result))
        not_billed += not result
    return Decoded(calls, np.array(of_call, np.int64), letters, not_billed)


def decode_records(
    records: Sequence[Record], decoder: Decoder
) -> Sequence[tuple[Call, ...] | DeadLetterFault]:
    """What the decoder says of each record."""
    return decoder.decode_many(
        [record.value for record in records],
        [record.headers for record in records],
        [None if record.timestamp_ms < 0 else record.timestamp_ms for record in records],
    )


def refused(source: int, record: Record, detail: str) -> Decoded:
    """One record that is too large for a slice of its own."""
    letter = letter_of(source, record, Reason.TOO_LARGE, "", detail)
    return Decoded([], np.zeros(0, np.int64), [letter], 0)


def look_up(records: Sequence[Record], decoded: Decoded, index: IdIndex, record_ms: int) -> Draft:
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
    hashes = hash_ids(call.id for call in calls)
    found = index.lookup(hashes, generation)
    suspicious = suspects(calls, hashes, found)
    wanted = frozenset(int(found.offset[i]) for i in suspicious if 0 <= found.revision[i] < calls[i].revision)
    offset = np.fromiter((record.offset for record in records), np.int64, len(records))[of_call]
    return Draft(records, decoded, clock, offset, generation, hashes, found, suspicious, wanted)


def _clock(records: Sequence[Record], decoded: Decoded, record_ms: int) -> Ints:
    """Running maximum of the append times, or of event time where nobody said when a record was appended."""
    stamps = np.fromiter((record.timestamp_ms for record in records), np.int64, len(records))
    if decoded.calls and stamps.min() < 0:
        unknown = np.flatnonzero(stamps[decoded.of_call] < 0)
        times = np.fromiter((call.time_ms for call in decoded.calls), np.int64, len(decoded.calls))
        np.maximum.at(stamps, decoded.of_call[unknown], times[unknown])
    return np.maximum.accumulate(np.maximum(stamps, record_ms))

"""A slice [a, b) of one source partition becomes one delta block per output partition: a pure function of the log.

`draft` decodes and looks up, `cut` makes the bytes, `advance` remembers what was counted. The shell fences and
produces between the last two; `replay` calls them one after the other.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from tokenfuse.contracts.block import FORMAT, DeltaBlock, encode_block
from tokenfuse.contracts.deadletter import Reason
from tokenfuse.contracts.ids import GENERATION_MS, IDS_FORMAT, SliceIds, encode_ids
from tokenfuse.contracts.topics import BLOCK_BYTES_MAX
from tokenfuse.ingest.columns import run_starts
from tokenfuse.ingest.corrections import Outcome, Resolver
from tokenfuse.ingest.dedup import Entries, IdIndex, hashes_of
from tokenfuse.ingest.drafts import decode, letter_of, look_up, refused, said_ms
from tokenfuse.ingest.table import CallTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tokenfuse.contracts.deadletter import DeadLetter
    from tokenfuse.ingest.aggregate import Aggregator
    from tokenfuse.ingest.call import Call
    from tokenfuse.ingest.columns import Ints
    from tokenfuse.ingest.corrections import Resolution
    from tokenfuse.ingest.decode import DecodedMany, Decoder
    from tokenfuse.ingest.drafts import Draft
    from tokenfuse.ingest.record import Record

MESSAGE_BYTES_MAX: Final = BLOCK_BYTES_MAX - 64 * 1024
"""Largest block or ids message; the rest is for Kafka's own framing."""

_headers = attrgetter("headers")


class SliceTooLargeError(ValueError):
    """A block of the slice would be larger than a message may be: cut fewer records."""


class SliceResult(NamedTuple):
    """What one slice produces.

    Attributes:
        blocks: one encoded delta block per output partition.
        letters: dead letters, by offset.
        ids: the message for `tokenfuse.ids`.
        counts: calls by outcome; a refused record and one that bills nothing count as one.
        unpriced: counted calls whose model has no known price.
        record_ms, event_ms: the clocks at b.
        counted: ids by generation, for `advance`.
    """

    a: int
    b: int
    record_ms: int
    event_ms: int
    blocks: list[bytes]
    letters: list[DeadLetter]
    ids: bytes
    counts: Counter[Outcome]
    unpriced: int
    counted: list[tuple[int, Entries]]


def homogeneous(records: Sequence[Record]) -> int:
    """How many records from the first on agree whether they are history: a slice holds no more."""
    if not any(map(_headers, records)):
        return len(records)
    history = records[0].history
    return next((i for i, record in enumerate(records) if record.history != history), len(records))


class SliceCutter:
    """Cuts one source partition, slice after slice, without a gap.

    Args:
        source: number of the source partition.
        decoder: bytes to priced calls.
        price_version: of the decoder's price book.
        aggregator: calls to rows; the partitions of one worker may share it.
        horizon_seconds: how long an id is remembered.
        position: where the next slice starts.
        record_ms, event_ms: the clocks at `position`; -1 at the beginning of the partition.
    """

    def __init__(
        self,
        source: int,
        decoder: Decoder,
        price_version: str,
        aggregator: Aggregator,
        horizon_seconds: int,
        position: int = 0,
        record_ms: int = -1,
        event_ms: int = -1,
    ) -> None:
        self.source, self.position, self.record_ms, self.event_ms = source, position, record_ms, event_ms
        self.index = IdIndex(horizon_seconds * 1000)
        self._decoder, self._price_version, self._aggregator = decoder, price_version, aggregator

    def draft(self, records: Sequence[Record], decoded: DecodedMany | None = None) -> Draft:
        """Decodes the records of a slice and looks their ids up. Changes nothing.

        Args:
            records: at least one; rising offsets from `position` on; all history or none (`homogeneous`).
            decoded: what the decoder makes of them, where it was asked before.

        Raises:
            ValueError: the records are behind the position, or mixed.
        """
        if records[0].offset < self.position or homogeneous(records) < len(records):
            msg = f"source {self.source}: offset {records[0].offset} starts no slice at {self.position}"
            raise ValueError(msg)
        if decoded is None:
            decoded = decode(records, self._decoder)
        return look_up(records, decoded, self.index, self.record_ms)

    def cut(self, draft: Draft, originals: Mapping[int, Record]) -> SliceResult:
        """Makes the bytes of a slice. Changes nothing: the same draft gives the same bytes.

        Args:
            draft: of the records of this slice.
            originals: the records at `draft.wanted`, read back. A correction whose original is missing takes out what
                it says that it replaces, or becomes a dead letter.

        Raises:
            SliceTooLargeError: cut fewer records. One record alone never raises it: it is dead-lettered.
        """
        result = self._cut(draft, originals)
        if max(map(len, (*result.blocks, result.ids))) <= MESSAGE_BYTES_MAX:
            return result
        if len(draft.records) > 1:
            msg = f"source {self.source}: a block of [{result.a}, {result.b}) would be too large"
            raise SliceTooLargeError(msg)
        detail = f"{len(draft.decoded.of_call)} calls in one record: send fewer"
        decoded = refused(draft.decoded, detail)
        return self._cut(look_up(draft.records, decoded, self.index, self.record_ms), {})

    def advance(self, result: SliceResult) -> None:
        """The slice is out: the next one starts at its end.

        Raises:
            ValueError: not the slice at `position`.
        """
        if result.a != self.position:
            msg = f"source {self.source}: slice starts at {result.a}, not at {self.position}"
            raise ValueError(msg)
        self.position, self.record_ms, self.event_ms = result.b, result.record_ms, result.event_ms
        for generation, entries in result.counted:
            self.index.add(generation, entries)
        self.index.forget(self.record_ms // GENERATION_MS)

    def remember(self, records: Sequence[Record]) -> None:
        """Advances over records of earlier slices for their ids alone, where `tokenfuse.ids` no longer has them.

        Args:
            records: as for `draft`.
        """
        draft = self.draft(records)
        # A revision that was counted must be known as counted; the value that it took out is of no interest here.
        resolution = Resolver(
            draft.decoded.calls, draft, self.index.visible, lambda *_: draft.decoded.calls.call(0)
        ).resolve()
        for generation, entries in _counted(draft, resolution.latest):
            self.index.add(generation, entries)
        self.position, self.record_ms = records[-1].offset + 1, int(draft.clock[-1])
        self.index.forget(self.record_ms // GENERATION_MS)

    def restore(self, chain: Iterable[SliceIds]) -> None:
        """Remembers the ids of earlier slices, read back from `tokenfuse.ids`, in source order.

        Args:
            chain: taken one by one, so that what yields them may let go of them; those of a generation are sorted once.
        """
        counted = (part for ids in chain for part in _entries_of(ids))
        for generation, parts in groupby(counted, itemgetter(0)):
            self.index.add(generation, *(entries for _, entries in parts))

    def _cut(self, draft: Draft, originals: Mapping[int, Record]) -> SliceResult:
        calls = draft.decoded.calls
        original = self._original_among(originals)
        resolution = Resolver(calls, draft, self.index.visible, original).resolve()
        put_in = calls.take(resolution.put_in)
        rows = self._aggregator.table_rows(put_in, CallTable.of(resolution.taken_out, calls.names))
        a, b, record_ms = self.position, draft.records[-1].offset + 1, int(draft.clock[-1])
        event_ms = int(put_in.number("time_ms").max(initial=self.event_ms))
        history, version = draft.records[0].history, self._price_version
        counted = _counted(draft, resolution.latest)
        return SliceResult(
            a, b, record_ms, event_ms,
            [encode_block(DeltaBlock(FORMAT, self.source, a, b, record_ms, event_ms, history, version, part)) for part in rows],
            self._letters(draft, resolution),
            encode_ids(_slice_ids(self.source, a, b, record_ms, event_ms, counted)),
            _counts(draft, resolution),
            int(put_in.number("unpriced").sum()),
            counted,
        )  # fmt: skip

    def _original_among(self, originals: Mapping[int, Record]) -> Callable[[int, str, int], Call | None]:
        """Finds the call that was counted at an offset for an id and revision."""
        calls = {}
        for offset, record in originals.items():
            result = self._decoder.decode(record.value, record.headers, said_ms(record))
            for call in result if isinstance(result, tuple) else ():
                calls[offset, call.id, call.revision] = call
        return lambda offset, id, revision: calls.get((offset, id, revision))  # noqa: A006

    def _letters(self, draft: Draft, resolution: Resolution) -> list[DeadLetter]:
        """What the decoder refused, and revisions of unknown originals: one a record."""
        letters = {
            number: letter_of(self.source, draft.records[number], fault.reason, fault.path, fault.detail)
            for number, fault in draft.decoded.faults.items()
        }
        for i in resolution.unknown:
            call, number = draft.decoded.calls.call(i), int(draft.decoded.of_call[i])
            detail = (
                f"revision {call.revision} of {call.id}: no earlier one within the horizon, and no `replaces`"
            )
            letters[number] = letter_of(
                self.source, draft.records[number], Reason.ORIGINAL_UNKNOWN, "revision", detail
            )
        return [letters[number] for number in sorted(letters)]


def _counts(draft: Draft, resolution: Resolution) -> Counter[Outcome]:
    decoded = draft.decoded
    counts = Counter(resolution.outcomes.values())
    counts[Outcome.COUNTED] += len(decoded.of_call) - len(resolution.outcomes)
    counts[Outcome.DEAD_LETTER] += len(decoded.faults)
    billed = len(run_starts(decoded.of_call)) if len(decoded.of_call) else 0
    counts[Outcome.NOT_BILLED] += len(draft.records) - billed - len(decoded.faults)
    return +counts


def _counted(draft: Draft, latest: Ints) -> list[tuple[int, Entries]]:
    """The ids that the slice adds to the index, by generation."""
    if not len(latest):
        return []
    calls = draft.decoded.calls
    cost = calls.number("cost_nanousd")
    cost = np.where(calls.number("unpriced") > 0, ~cost, cost)
    revision = calls.number("revision").astype(np.int32)
    entries = Entries(draft.hashes, draft.offset, revision, cost).take(latest)
    generation = draft.generation[latest]
    starts = run_starts(generation).tolist()
    ends = [*starts[1:], len(latest)]
    return [(int(generation[s]), entries.take(slice(s, e))) for s, e in zip(starts, ends, strict=True)]


def _entries_of(ids: SliceIds) -> Iterator[tuple[int, Entries]]:
    """Inverse of `_slice_ids`: the ids of a slice by generation."""
    entries = Entries(
        hashes_of(ids.hashes),
        np.frombuffer(ids.offsets, "<u4").astype(np.int64) + ids.a,
        np.frombuffer(ids.revisions, "<i4").astype(np.int32),
        np.frombuffer(ids.costs, "<i8").astype(np.int64),
    )
    start = 0
    for generation, count in ids.generations:
        yield generation, entries.take(slice(start, start + count))
        start += count


def _slice_ids(
    source: int, a: int, b: int, record_ms: int, event_ms: int, counted: list[tuple[int, Entries]]
) -> SliceIds:
    parts = [entries for _, entries in counted]
    return SliceIds(
        IDS_FORMAT, source, a, b, record_ms, event_ms,
        generations=tuple((generation, len(entries.hashes)) for generation, entries in counted),
        hashes=b"".join(part.hashes.tobytes() for part in parts),
        offsets=b"".join((part.offset - a).astype("<u4").tobytes() for part in parts),
        revisions=b"".join(part.revision.astype("<i4").tobytes() for part in parts),
        costs=b"".join(part.cost.astype("<i8").tobytes() for part in parts),
    )  # fmt: skip

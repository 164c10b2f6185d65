"""Record batches of the source topic as they are, not as aiokafka wants them: nothing that a producer can write stops us.

aiokafka raises on a header name that is not UTF-8, and unfolds a compressed batch whatever its size. `install` puts
this module's reader in the place of its own, for this process. What it reads well goes through it as before.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

import structlog
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecord, DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint

from tokenfuse.contracts.deadletter import Reason
from tokenfuse.ingest.record import BATCH_REFUSED_HEADER
from tokenfuse.runtime import metrics
from tokenfuse.runtime.ingest.unfold import UNFOLDED_BYTES_MAX, UnfoldError, UnfoldsTooLargeError, unfold

# https://kafka.apache.org/documentation/#recordbatch
_LENGTH: Final = struct.Struct(">8xi")
_ATTRIBUTES: Final = struct.Struct(">h")
_ATTRIBUTES_AT: Final = 21
_COUNT: Final = struct.Struct(">57xi")
_HEADER_BYTES: Final = 61
_LOG_APPEND_TIME: Final = 1
_CODEC_MASK: Final = 7
_MAGIC_AT: Final = 16
_MAGIC: Final = 2

log = structlog.get_logger(__name__)


def install() -> None:
    """From now on every consumer of this process reads through this module."""
    fetcher.MemoryRecords = SourceRecords


class SourceRecords:
    """The batches of one fetch, in place of aiokafka's `MemoryRecords`."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        self._records = MemoryRecords(data)

    def size_in_bytes(self) -> int:
        """Of the fetch."""
        return len(self._data)

    def has_next(self) -> bool:
        """Whether there is another whole batch."""
        return bool(self._records.has_next())

    def next_batch(self) -> Any:
        """The next one; those of before Kafka 0.11 have no headers, and are aiokafka's own."""
        batch = self._records.next_batch()
        start = self._at
        self._at += _LENGTH.size + _LENGTH.unpack_from(self._data, start)[0]
        if self._data[start + _MAGIC_AT] < _MAGIC:
            return batch
        return SourceBatch(batch, self._data, start, self._at)


class SourceBatch:
    """One batch: an iterator of records like aiokafka's, which does not raise.

    What cannot be read becomes one record at the batch's last offset, with the batch as its value and the reason in the
    header BATCH_REFUSED_HEADER, so that it is dead-lettered. It is the same whatever offset the fetch began at.
    """

    def __init__(self, batch: Any, data: bytes, start: int, end: int) -> None:
        self._batch, self._data, self._start, self._end = batch, data, start, end

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        """The only record of a control batch."""
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        """Its records.

        Raises:
            CodecMissingError: it cannot be unfolded here, and could be elsewhere: nothing is refused for that.
        """
        try:
            batch, raw = self._unfolded()
        except UnfoldsTooLargeError:
            yield self._refused(Reason.BATCH_TOO_LARGE, f"unfolds to more than {UNFOLDED_BYTES_MAX:,} bytes")
            return
        except UnfoldError as error:
            yield self._refused(Reason.BATCH_UNREADABLE, str(error))
            return
        following = batch.base_offset
        try:
            for record in batch:
                yield record
                following = record.offset + 1
        except (UnicodeDecodeError, CorruptRecordException):
            yield from self._again(raw or self._raw(), following)

    def _unfolded(self) -> tuple[Any, bytes]:
        """Aiokafka's batch without compression, and its bytes; none where it never was compressed."""
        if not (codec := self._batch.compression_type):
            return self._batch, b""
        start = self._start
        payload = unfold(codec, self._data[start + _HEADER_BYTES : self._end])
        header = bytearray(self._data[start : start + _HEADER_BYTES])
        _ATTRIBUTES.pack_into(header, _ATTRIBUTES_AT, self._batch.attributes & ~_CODEC_MASK)
        raw = bytes(header) + payload
        return DefaultRecordBatch(raw), raw

    def _again(self, raw: bytes, following: int) -> Iterator[Any]:
        """The records from an offset on, by our own reader; a name that is not UTF-8 is escaped."""
        try:
            for record, is_mended in _records(raw, self._batch):
                if record.offset >= following:
                    if is_mended:
                        _say_mended(record)
                    yield record
                    following = record.offset + 1
        except (CorruptRecordException, IndexError, ValueError) as error:
            if following < self._batch.next_offset:
                yield self._refused(Reason.BATCH_UNREADABLE, f"from offset {following} on: {error}")

    def _refused(self, reason: Reason, detail: str) -> Any:
        raw, batch = self._raw(), self._batch
        first, last = batch.base_offset, batch.next_offset - 1
        (count,) = _COUNT.unpack_from(raw)
        text = f"{reason.value}: batch of {count:,} records, offsets {first} to {last}: {detail}"
        headers = [(BATCH_REFUSED_HEADER, text.encode())]
        return DefaultRecord(last, batch.max_timestamp, batch.timestamp_type, None, raw, headers)

    def _raw(self) -> bytes:
        return self._data[self._start : self._end]


def _records(raw: bytes, batch: Any) -> Iterator[tuple[Any, bool]]:
    """Every record of an unfolded batch, and whether one of its header names was mended.

    Raises:
        CorruptRecordException: what is there is no record.
        IndexError, ValueError: the same.
    """
    data = bytearray(raw)
    (count,) = _COUNT.unpack_from(data)
    at = _HEADER_BYTES
    for _ in range(count):
        length, at = decode_varint(data, at)
        end = at + length
        if length < 0 or end > len(data):
            raise CorruptRecordException(f"a record of {length} bytes in a batch of {len(data)}")
        at += 1  # attributes, which have no meaning yet
        later_ms, at = decode_varint(data, at)
        offset, at = decode_varint(data, at)
        key, at = _bytes(data, at, end)
        value, at = _bytes(data, at, end)
        headers, mended, at = _headers(data, at, end)
        if at != end:
            raise CorruptRecordException(f"a record of {length} bytes ends at {at}, not {end}")
        appended = batch.timestamp_type == _LOG_APPEND_TIME
        timestamp = batch.max_timestamp if appended else batch.first_timestamp + later_ms
        record = DefaultRecord(
            batch.base_offset + offset, timestamp, batch.timestamp_type, key, value, headers
        )
        yield record, mended


def _headers(data: bytearray, at: int, end: int) -> tuple[list[tuple[str, bytes | None]], bool, int]:
    count, at = decode_varint(data, at)
    headers: list[tuple[str, bytes | None]] = []
    mended = False
    for _ in range(count):
        name, at = _bytes(data, at, end)
        value, at = _bytes(data, at, end)
        text = (name or b"").decode("utf-8", "backslashreplace")
        mended = mended or text.encode() != (name or b"")
        headers.append((text, value))
    return headers, mended, at


def _bytes(data: bytearray, at: int, end: int) -> tuple[bytes | None, int]:
    length, at = decode_varint(data, at)
    if length < 0:
        return None, at
    if at + length > end:
        raise CorruptRecordException(f"a field of {length} bytes does not fit into its record")
    return bytes(data[at : at + length]), at + length


def _say_mended(record: Any) -> None:
    metrics.HEADER_NAMES_MENDED_TOTAL.inc()
    log.info("a header name is not UTF-8: the event is taken, the name escaped", offset=record.offset)

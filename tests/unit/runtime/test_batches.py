"""What a producer can write into a record batch, each trap once, read as aiokafka's fetcher reads it."""

from __future__ import annotations

import gzip
import struct
import tracemalloc

import pytest
import zstandard
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.record.memory_records import MemoryRecords
from tests.support.raw_batches import RawName, batch_of, compressed, sealed

from tokenfuse.contracts.deadletter import Reason
from tokenfuse.ingest.decode import Decoder
from tokenfuse.pricing.book import PriceBook
from tokenfuse.runtime.ingest.batches import SourceRecords
from tokenfuse.runtime.ingest.errors import CodecMissingError
from tokenfuse.runtime.ingest.source import record_of
from tokenfuse.runtime.ingest.unfold import (
    UNFOLDED_BYTES_MAX,
    UnfoldsTooLargeError,
    lz4_size_max,
    snappy_size,
    unfold,
)

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
PLAIN = [(b"k", b"one", []), (b"k", b"two", [("a", b"1"), ("b", None)]), (None, None, [])]
ODD_NAME = [(b"k", b"one", []), (b"k", b"two", [(RawName(b"na\xefve"), b"1")]), (b"k", b"three", [])]


def read(data: bytes, offset: int = 0, records: type = SourceRecords) -> list:
    unpacked = PartitionRecords(
        TopicPartition("t", 0), records(data), [], offset, None, None, True, READ_COMMITTED
    )
    return list(unpacked)


def reason_of(message) -> Reason:
    record = record_of(message)
    return Decoder((), 60, 60, PriceBook()).decode(record.value, record.headers, None).reason


@pytest.mark.parametrize("codec", [0, GZIP])
def test_a_good_batch_is_read_as_aiokafka_reads_it(codec):
    batch = compressed(batch_of(PLAIN), codec) if codec else batch_of(PLAIN)
    assert read(batch + batch) == read(batch + batch, records=MemoryRecords)
    assert [r.value for r in read(batch)] == [b"one", b"two", None]


def test_zstd_is_read_without_a_further_library():
    plain = batch_of(PLAIN)
    assert read(compressed(plain, ZSTD, zstandard.compress(plain[61:]))) == read(plain)


@pytest.mark.parametrize("codec", [0, GZIP])
def test_a_header_name_that_is_not_utf8_is_escaped_and_the_records_around_it_are_as_they_were(codec):
    batch = compressed(batch_of(ODD_NAME), codec) if codec else batch_of(ODD_NAME)
    with pytest.raises(UnicodeDecodeError):
        read(batch, records=MemoryRecords)
    found = read(batch)
    assert [(r.offset, r.timestamp, r.value) for r in found] == [
        (n, 1_764_000_000_000 + n, value) for n, value in enumerate((b"one", b"two", b"three"))
    ]
    assert found[1].headers == (("na\\xefve", b"1"),)


def test_a_fetch_that_begins_inside_a_batch_gives_the_rest_of_it():
    assert [r.value for r in read(batch_of(ODD_NAME), offset=2)] == [b"three"]
    assert [r.offset for r in read(compressed(batch_of(PLAIN), GZIP, b"?"), offset=1)] == [2]


@pytest.mark.parametrize("codec", [GZIP, ZSTD])
def test_a_batch_that_unfolds_beyond_the_bound_becomes_one_dead_letter_in_bounded_memory(codec):
    zeros = bytes(4 * UNFOLDED_BYTES_MAX)
    payload = gzip.compress(zeros, 1) if codec == GZIP else zstandard.compress(zeros)
    batch = compressed(batch_of([(b"k", b"v", [])]), codec, payload)
    del zeros
    tracemalloc.start()
    (message,) = read(batch)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reason_of(message) is Reason.BATCH_TOO_LARGE
    assert (message.offset, message.value) == (0, batch)
    assert peak < 2.5 * UNFOLDED_BYTES_MAX


def test_what_no_codec_wrote_and_a_record_cut_off_are_dead_letters_and_the_next_batch_is_read():
    good, plain = batch_of(PLAIN), batch_of(PLAIN)
    cut = sealed(plain[:-4])
    for bad, whole in ((compressed(plain, GZIP, b"no gzip"), 0), (cut, 2)):
        found = read(bad + good.replace(plain[:8], (3).to_bytes(8, "big"), 1))
        assert [r.offset for r in found] == [*range(whole), 2, 3, 4, 5]
        assert reason_of(found[whole]) is Reason.BATCH_UNREADABLE


def test_a_codec_whose_library_is_missing_stops_instead_of_refusing_what_another_machine_could_read():
    batch = compressed(batch_of(PLAIN), SNAPPY, bytes([3, 8]) + b"abc")
    with pytest.raises(CodecMissingError, match="cramjam"):
        read(batch)


def test_snappy_and_lz4_are_refused_by_their_own_sizes_before_they_are_unfolded():
    java = b"\x82SNAPPY\0" + bytes(8) + 2 * (struct.pack(">i", 3) + bytes([0x80, 0x80, 0x20]))
    assert snappy_size(bytes([0x80, 0x80, 0x20]) + b"...") == 512 * 1024
    assert snappy_size(java) == 1024 * 1024
    block = struct.pack("<I", 100_000) + bytes(100_000)
    frame = b"\x04\x22\x4d\x18" + bytes([0x60, 0x70, 0]) + 40 * block + bytes(4)
    assert lz4_size_max(frame) == 40 * 4 * 1024 * 1024
    with pytest.raises(UnfoldsTooLargeError):
        unfold(LZ4, frame)

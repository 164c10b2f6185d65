"""`getmany` of the source consumer gives what aiokafka's own would, as our records and in whole batches."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, FetchResult, PartitionRecords
from aiokafka.consumer.subscription_state import Assignment
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from tests.support.raw_batches import NOW_MS, compressed, sealed

from tokenfuse.runtime.ingest import source
from tokenfuse.runtime.ingest.batches import SourceRecords
from tokenfuse.runtime.ingest.source import _Fetched, record_of

TP = TopicPartition("t", 0)
TRANSACTIONAL, CONTROL = 0x10, 0x20
ABORT = b"\0\0\0\0"


def batch(first: int, count: int, producer: int = -1, attributes: int = 0, key: bytes = b"k") -> bytes:
    """Records [first, first + count) of one producer."""
    builder = _DefaultRecordBatchBuilderPy(2, 0, 0, producer, 0, 0, 2**31 - 1)
    for number in range(count):
        headers = [("a", b"1"), ("b", None)] if number % 2 else []
        assert builder.append(number, NOW_MS + first + number, key, b"%d" % (first + number), headers)
    made = bytearray(builder.build())
    made[:8] = first.to_bytes(8, "big")
    made[21:23] = attributes.to_bytes(2, "big")
    return sealed(bytes(made))


LOG = (
    batch(0, 3)
    + batch(3, 2, producer=7, attributes=TRANSACTIONAL)
    + batch(5, 2, producer=8, attributes=TRANSACTIONAL)
    + batch(7, 1, producer=7, attributes=TRANSACTIONAL | CONTROL, key=ABORT)
    + batch(8, 2, producer=7, attributes=TRANSACTIONAL)
    + compressed(batch(10, 4), 1)
    + batch(20, 3)  # a gap, as compaction leaves it
)


def fetched(data: bytes, offset: int, isolation: int) -> PartitionRecords:
    return PartitionRecords(TP, SourceRecords(data), [(7, 3)], offset, None, None, True, isolation)


async def result_of(data: bytes, offset: int, isolation: int) -> FetchResult:
    """A fetch as it lies in the source consumer's buffer."""
    assignment = Assignment([TP])
    assignment.state_value(TP).reset_to(offset)
    buffer = _Fetched()
    records = fetched(data, offset, isolation)
    buffer[TP] = FetchResult(TP, assignment=assignment, partition_records=records, backoff=0)
    return buffer[TP]


def position(result: FetchResult) -> int:
    return result._assignment.state_value(TP).position


@pytest.mark.parametrize("isolation", [READ_COMMITTED, READ_UNCOMMITTED])
@pytest.mark.parametrize("offset", [0, 1, 2])
async def test_the_same_records_come_as_by_aiokafka_itself(offset, isolation):
    theirs = fetched(LOG, offset, isolation)
    expected = [record_of(message) for message in theirs]
    result = await result_of(LOG, offset, isolation)

    assert result.getall() == expected
    assert position(result) == theirs.next_fetch_offset == 23
    assert not result.has_more()
    aborted = {3, 4} if isolation == READ_COMMITTED else set()
    assert {record.offset for record in expected} == {
        *range(7),
        8,
        9,
        *range(10, 14),
        20,
        21,
        22,
    } - aborted - {*range(offset)}


async def test_a_long_fetch_comes_in_parts_without_a_record_twice(monkeypatch):
    monkeypatch.setattr(source, "FETCH_RECORDS_MAX", 4)
    result, parts = await result_of(LOG, 0, READ_COMMITTED), []
    while result.has_more():
        parts.append([record.offset for record in result.getall()])
        assert position(result) > parts[-1][-1]
    assert parts == [[0, 1, 2, 5, 6], [8, 9, 10, 11, 12, 13], [20, 21, 22]]


async def test_what_was_fetched_before_a_seek_is_not_given():
    result = await result_of(LOG, 0, READ_COMMITTED)
    result._assignment.state_value(TP).seek(2)
    assert result.getall() == []
    assert not result.has_more()


async def test_a_wrong_checksum_is_an_error_and_moves_nothing():
    damaged = bytearray(LOG)
    damaged[-1] ^= 1
    result = await result_of(bytes(damaged), 0, READ_COMMITTED)
    with pytest.raises(CorruptRecordException):
        result.getall()
    assert position(result) == 0
    assert result.getall() == [], "fetched again from where it was"

"""The source consumer's records, made in one step: without aiokafka's own record objects a fetch costs a third.

`read_records` changes what `getmany` of one consumer gives. Batches are walked as aiokafka 0.14 walks them in
`PartitionRecords._unpack_records`; a test compares both on transactions, markers and
compression.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult
from aiokafka.errors import CorruptRecordException

from tokenfuse.ingest.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiokafka import AIOKafkaConsumer

FETCH_RECORDS_MAX: Final = 20_000
"""Records of one partition that `getmany` gives at a time, and those of the batch that is begun."""


def read_records(consumer: AIOKafkaConsumer) -> None:
    """From now on `getmany` of this started consumer gives lists of `Record`. Call it without `max_records`."""
    consumer._fetcher._records = _Fetched()  # noqa: SLF001 - aiokafka has no other way in


def record_of(message: Any) -> Record:
    """A record of a batch, or one of aiokafka's, without Kafka. A header without a value is an empty one."""
    headers = message.headers
    if headers:
        headers = tuple((name, value or b"") for name, value in headers)
    return Record(message.offset, message.timestamp, message.key, message.value, headers or ())


class _Fetched(dict[Any, Any]):
    """What the fetcher keeps until it is asked for, by partition."""

    def __setitem__(self, tp: Any, result: Any) -> None:
        if type(result) is FetchResult:
            result.getall = partial(_taken, result)
        super().__setitem__(tp, result)


def _taken(result: Any, _max_records: int | None = None) -> list[Record]:
    """In place of `FetchResult.getall`."""
    if not result.check_assignment(result._topic_partition) or not result.has_more():  # noqa: SLF001
        return []
    fetched = result._partition_records  # noqa: SLF001
    found: list[Record] = []
    while len(found) < FETCH_RECORDS_MAX and fetched._records.has_next():  # noqa: SLF001
        found += _next_batch(fetched)
    result._update_position()  # noqa: SLF001
    if not fetched._records.has_next():  # noqa: SLF001
        result._partition_records = None  # noqa: SLF001
    return found


def _next_batch(fetched: Any) -> Sequence[Record]:
    """The records of the next batch; none where it is a marker, or its transaction was aborted.

    Raises:
        CorruptRecordException: its checksum is wrong.
    """
    batch = fetched._records.next_batch()  # noqa: SLF001
    if fetched._check_crcs and not batch.validate_crc():  # noqa: SLF001
        raise CorruptRecordException(f"Invalid CRC - {fetched._tp}")  # noqa: SLF001
    following = batch.next_offset
    if _is_hidden(fetched, batch) or batch.is_control_batch:
        fetched.next_fetch_offset = following
        return ()
    first = fetched.next_fetch_offset
    records = list(map(record_of, batch))
    if records and records[0].offset < first:  # a fetch begins with a whole batch
        records = [record for record in records if record.offset >= first]
    fetched.next_fetch_offset = following
    return records


def _is_hidden(fetched: Any, batch: Any) -> bool:
    """Whether the batch belongs to a transaction that was aborted; keeps the list of those that are open."""
    if fetched._isolation_level != READ_COMMITTED or batch.producer_id is None:  # noqa: SLF001
        return False
    fetched._consume_aborted_up_to(batch.base_offset)  # noqa: SLF001
    aborted: set[int] = fetched._aborted_producers  # noqa: SLF001
    if batch.is_control_batch and fetched._contains_abort_marker(batch):  # noqa: SLF001
        aborted.discard(batch.producer_id)
    return bool(batch.is_transactional) and batch.producer_id in aborted

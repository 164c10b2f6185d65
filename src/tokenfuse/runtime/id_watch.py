"""Follows `tokenfuse.ids` of all source partitions, beside the decider, and says when an id is counted in two of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from tokenfuse.contracts.formats import UnknownFormatError
from tokenfuse.contracts.ids import decode_ids
from tokenfuse.contracts.topics import EVENTS, IDS
from tokenfuse.ingest.decode import to_events
from tokenfuse.ingest.fault import RefusedError
from tokenfuse.ingest.wrong_keys import IdSample
from tokenfuse.runtime import kafka, metrics
from tokenfuse.runtime.broker import end_offsets
from tokenfuse.runtime.command_forwarder import wait
from tokenfuse.runtime.ingest.errors import BrokerSilentError
from tokenfuse.runtime.ingest.reader import LogReader

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from aiokafka import AIOKafkaConsumer

    from tokenfuse.contracts.ids import SliceIds
    from tokenfuse.ingest.record import Record
    from tokenfuse.ingest.wrong_keys import Place, Repeat
    from tokenfuse.runtime.settings import Settings

POLL_MS: Final = 2000
RETRY_SECONDS: Final = 30.0
SAY_SECONDS: Final = 60.0
ADVICE: Final = (
    "an event is in two source partitions and its money in the totals of both: key the producer by tenant, "
    "or publish each event to one partition"
)

log = structlog.get_logger(__name__)


class IdWatch:
    """Reads from the end of the topic on: what a start misses, a producer that keys wrongly repeats.

    Args:
        deciding: whether it is this process that speaks; one that stands by only remembers.
    """

    def __init__(self, settings: Settings, deciding: Callable[[], bool]) -> None:
        self._settings = settings
        self._deciding = deciding
        self._sample = IdSample(settings.dedup_horizon_seconds * 1000)
        self._said_at = float("-inf")
        self.watched: frozenset[int] = frozenset()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; a broker that is away, or that does not let us read the topic, is tried again."""
        while not stop.is_set():
            try:
                await self._run(stop)
            except KafkaError as error:
                log.warning("ids of several partitions are not compared now", error=repr(error))
                await wait(stop, RETRY_SECONDS)

    async def _run(self, stop: asyncio.Event) -> None:
        topic = self._settings.topic(IDS)
        consumer = kafka.consumer(self._settings, fetch_max_wait_ms=POLL_MS, auto_offset_reset="latest")
        async with kafka.started(consumer):
            partitions = sorted(await consumer._client._wait_on_metadata(topic) or ())  # noqa: SLF001 - see roles
            tps = [TopicPartition(topic, number) for number in partitions]
            consumer.assign(tps)
            for tp, end in (await end_offsets(consumer, tps)).items():
                consumer.seek(tp, end)
            self.watched = frozenset(partitions)
            while not stop.is_set() and consumer.partitions_for_topic(topic) in (None, set(partitions)):
                await self._turn(consumer)

    async def _turn(self, consumer: AIOKafkaConsumer) -> None:
        for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
            for record in records:
                repeats = [] if (ids := _ids(record.value)) is None else self._sample.note(ids)
                if repeats and self._deciding():
                    await self._say(repeats)
        metrics.ID_SAMPLE_ONE_IN.set(self._sample.one_in)

    async def _say(self, repeats: list[Repeat]) -> None:
        for repeat in repeats:
            metrics.CROSS_PARTITION_DUPLICATES_TOTAL.labels(reason=repeat.reason.value).inc()
        if time.monotonic() - self._said_at < SAY_SECONDS:
            return
        self._said_at = time.monotonic()
        repeat = repeats[0]
        first, second = await self._records(repeat)
        log.error(
            ADVICE,
            reason=repeat.reason.value,
            id=_id_of(second) or _id_of(first),
            key=None if second is None else str(second.key),
            places=[f"partition {at.source}, offset {at.offset}" for at in (repeat.first, repeat.second)],
            one_in=self._sample.one_in,
        )

    async def _records(self, repeat: Repeat) -> tuple[Record | None, Record | None]:
        """The two events, as far as they are still there and we may read them."""
        try:
            async with kafka.started(kafka.consumer(self._settings)) as consumer:
                reader = LogReader(consumer)
                return await self._at(reader, repeat.first), await self._at(reader, repeat.second)
        except (KafkaError, BrokerSilentError):
            return None, None

    async def _at(self, reader: LogReader, place: Place) -> Record | None:
        tp = TopicPartition(self._settings.topic(EVENTS), place.source)
        return (await reader.at(tp, [place.offset])).get(place.offset)


def _ids(value: bytes | None) -> SliceIds | None:
    try:
        return decode_ids(value or b"")
    except (UnknownFormatError, msgspec.DecodeError) as error:
        log.warning("ids that this release cannot read are not compared", error=str(error))
        return None


def _id_of(record: Record | None) -> str | None:
    """Of a message of several events the first one's id: it is an example for a person."""
    if record is None:
        return None
    try:
        return next(iter(event.id for event in to_events(record.value, record.headers)), None)
    except RefusedError:
        return None

"""The ingest worker: fetch, cut, fence, produce, advance; and give everything up the moment the lease is lost."""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError

from tokenfuse.contracts import topics
from tokenfuse.gateway.reader import stop_client
from tokenfuse.ingest.slices import SliceTooLargeError
from tokenfuse.runtime import kafka, metrics
from tokenfuse.runtime.broker.quirks import probe_traits
from tokenfuse.runtime.ingest import batches, memory
from tokenfuse.runtime.ingest.backlog import Backlog
from tokenfuse.runtime.ingest.errors import LostRecordsError, PartitionCountError
from tokenfuse.runtime.ingest.fence import Fence, FenceStore, OffsetFence, TopicFence
from tokenfuse.runtime.ingest.outbox import Outbox, observe
from tokenfuse.runtime.ingest.reader import FETCH_WAIT_MS_MAX, LogReader
from tokenfuse.runtime.ingest.recipe import Recipe
from tokenfuse.runtime.ingest.recovery import Recovery
from tokenfuse.runtime.ingest.refusals import Refusals
from tokenfuse.runtime.ingest.slice_pace import SlicePace
from tokenfuse.runtime.ingest.source import read_records
from tokenfuse.runtime.ingest.tick_pace import TickPace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    from tokenfuse.ingest.record import Record
    from tokenfuse.ingest.slices import SliceResult
    from tokenfuse.runtime.broker.quirks import BrokerTraits
    from tokenfuse.runtime.ingest.holding import Holding
    from tokenfuse.runtime.settings import Settings

log = structlog.get_logger(__name__)

GROUP: Final = "tokenfuse.ingest"
TURN_SECONDS: Final = 1.0
"""So often are idle partitions released and the lag noted."""
RANGE_RETRY_SECONDS: Final = 0.1
STOP_SECONDS: Final = 5.0
RECOVERY_MS_MAX: Final = 30 * 60_000
"""Without a fetch for this long a worker leaves its group; decoding a horizon of events again takes minutes."""


async def run_ingest(settings: Settings, stop: asyncio.Event, ready: Callable[[bool], None]) -> None:
    """Runs one ingest worker until `stop` is set; the slice in hand is finished first.

    Args:
        settings: see `Settings`.
        stop: set by SIGTERM.
        ready: told True while partitions are held and False while they are not.

    Raises:
        IngestError: going on would lose money or count it twice; the message says what to do.
        KafkaError: the broker could not be reached, or did not take what was sent.
    """
    batches.install()
    memory.settle()
    traits = await probe_traits(kafka.bootstrap_servers(settings), **kafka.security(settings))
    async with AsyncExitStack() as stack:
        producer = kafka.producer(settings, enable_idempotence=traits.idempotent_producer)
        await _started(stack, producer)
        consumer = _source_consumer(settings, traits)
        reader = await _reader(stack, settings, traits)
        await _check_topics(producer, settings)
        fences: FenceStore = OffsetFence(consumer, settings.topic(topics.EVENTS))
        if not traits.commit_metadata:
            log.warning(
                "the broker keeps no commit metadata: fences go to a topic, run one ingest worker only"
            )
            fences = TopicFence(
                producer, await _reader(stack, settings, traits), settings.topic(topics.FENCES)
            )
        worker = Worker(settings, consumer, reader, fences, Outbox(producer, settings), ready)
        consumer.subscribe([settings.topic(topics.EVENTS)], listener=worker.listener)
        await _started(stack, consumer)
        read_records(consumer)
        await worker.run(stop)


class Worker:
    """The loop, and the two callbacks that give it partitions and take them away.

    Everything that touches the holdings runs under one lock. `getmany` must not: it waits without a limit during a
    rebalance, and the rebalance waits for the callbacks. So what it fetched across a change of `epoch` is forgotten.
    """

    def __init__(
        self,
        settings: Settings,
        consumer: AIOKafkaConsumer,
        reader: LogReader,
        fences: FenceStore,
        outbox: Outbox,
        ready: Callable[[bool], None],
    ) -> None:
        self._settings, self._consumer, self._reader = settings, consumer, reader
        self._fences, self._outbox, self._ready = fences, outbox, ready
        self._events = settings.topic(topics.EVENTS)
        self._recipe = Recipe(settings)
        self._refusals = Refusals()
        self._backlog = Backlog()
        self._recovery = Recovery(reader, self._recipe, settings)
        self._lock = asyncio.Lock()
        self._epoch = 0
        self._holdings: dict[int, Holding] = {}
        self._claims: dict[int, Fence | None] | None = None
        self._failure: BaseException | None = None
        self._turn_at = time.monotonic()
        self._slices = SlicePace(settings.slice_ms / 1000, time.monotonic())
        self._pace = TickPace(time.monotonic())
        self.listener = _Listener(self)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set or something fails."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                if self._claims is not None:
                    await self._recover(self._claims)
                epoch, fetched = self._epoch, await self._fetch(stopping)
                async with self._lock:
                    if self._failure:
                        raise self._failure
                    self._absorb(fetched, epoch)
                    await self._cut_when_due()
                    await self._tick_when_due()
                await asyncio.sleep(self._slices.rest_seconds(sum(map(len, fetched.values()))))
            async with self._lock, asyncio.timeout(STOP_SECONDS):
                await self._release(self._holdings.values())
        finally:
            stopping.cancel()
            self._ready(False)  # noqa: FBT003 - the shape of the callback is its caller's

    # Partitions come and go.

    async def assigned(self, partitions: Iterable[int]) -> None:
        """Takes the lease. The index is rebuilt by the loop: no heartbeat goes out while a callback runs."""
        async with self._lock:
            self._drop()
            try:
                fences = await self._fences.take_lease(partitions)
            except Exception as error:
                self._failure = error  # aiokafka logs what a callback raises, and goes on
                return
            self._claims = {partition: fences.get(partition) for partition in partitions}

    async def revoked(self) -> None:
        """Forgets everything, after the slice in hand is out and said to be: whoever is next may be another release."""
        async with self._lock:
            if self._fences.leased():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(STOP_SECONDS):
                        await self._release(self._holdings.values())
            self._drop()

    def _drop(self) -> None:
        self._epoch += 1
        self._holdings, self._claims = {}, None
        self._backlog.given_up()
        self._ready(False)  # noqa: FBT003

    async def _recover(self, claims: Mapping[int, Fence | None]) -> None:
        epoch = self._epoch
        holdings = await self._recovery.holdings(claims)
        async with self._lock:
            if epoch != self._epoch:
                return
            self._holdings, self._claims = holdings, None
            self._seek_to_held()
            self._ready(True)  # noqa: FBT003

    # Records come in.

    async def _fetch(self, stopping: asyncio.Task[Any]) -> Mapping[TopicPartition, list[Record]]:
        """What the source has, in the time until the next slice is due; nothing where every holding is full."""
        wait_seconds = max(self._slices.wait_seconds(time.monotonic()), 0.001)
        room = [self._tp(source) for source, holding in self._holdings.items() if holding.has_room]
        if self._holdings and not room:
            return {}
        fetch = asyncio.ensure_future(self._consumer.getmany(*room, timeout_ms=int(wait_seconds * 1000)))
        await asyncio.wait({fetch, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not fetch.done():
            fetch.cancel()
            return {}
        return await self._fetched(fetch)

    async def _fetched(self, fetch: asyncio.Future[Any]) -> Mapping[TopicPartition, list[Record]]:
        try:
            return fetch.result()  # type: ignore[no-any-return]
        except NoOffsetForPartitionError:
            return {}  # the fetcher looked before `_recover` said where the first start begins
        except OffsetOutOfRangeError:
            for source, holding in self._holdings.items():
                beginning = await self._reader.beginning(self._tp(source))
                if holding.next < beginning:
                    raise LostRecordsError(self._events, source, holding.next, beginning) from None
            # A position from before `_recover`, which finds out itself.
            await asyncio.sleep(RANGE_RETRY_SECONDS)
            return {}

    def _absorb(self, fetched: Mapping[TopicPartition, list[Record]], epoch: int) -> None:
        if epoch != self._epoch:
            self._seek_to_held()
            return
        for tp, messages in fetched.items():
            holding = self._holdings.get(tp.partition)
            if holding is None or not messages:
                continue
            if holding.skipped(messages[0].offset):
                self._consumer.seek(tp, holding.next)
                continue
            holding.take(messages)

    def _seek_to_held(self) -> None:
        assigned = self._consumer.assignment()
        for source, holding in self._holdings.items():
            if (tp := self._tp(source)) in assigned:
                self._consumer.seek(tp, holding.next)

    # Slices go out.

    async def _cut_when_due(self) -> None:
        now = time.monotonic()
        full = any(holding.full for holding in self._holdings.values())
        if not full and self._slices.wait_seconds(now) > 0:
            return
        slices = {}
        for source, holding in self._holdings.items():
            if records := holding.next_slice():
                slices[source] = await self._cut(holding, records)
                await asyncio.sleep(0)  # the heartbeat's turn
        self._slices.cut(max((len(records) for records, _ in slices.values()), default=0), now)
        if slices:
            with metrics.SLICE_SECONDS.time():
                await self._send(slices)

    async def _cut(self, holding: Holding, records: list[Record]) -> tuple[list[Record], SliceResult]:
        """The slice of these records, or of fewer where its blocks would be too large."""
        cutter = holding.cutter
        while True:
            draft = cutter.draft(records)
            originals = await self._reader.at(self._tp(holding.source), draft.wanted)
            try:
                return records, cutter.cut(draft, originals)
            except SliceTooLargeError:
                if holding.is_fixed:
                    raise
                records = records[: len(records) // 2]

    async def _send(self, slices: Mapping[int, tuple[list[Record], SliceResult]]) -> None:
        """Fence, then produce, then advance: in this order a crash at any point cuts the same slices again."""
        fences = {source: self._fence(source, result.b) for source, (_, result) in slices.items()}
        if not await self._commit(fences):
            return
        await self._outbox.send_slices(slices)
        self._pace.slice_sent(time.monotonic())
        for source, (records, result) in slices.items():
            self._holdings[source].cutter.advance(result)
            self._holdings[source].done(records)
            observe(result)
            self._refusals.note(result.letters, len(records), time.monotonic())

    async def _tick_when_due(self) -> None:
        now = time.monotonic()
        if now < self._turn_at + TURN_SECONDS or not self._holdings:
            return
        self._turn_at = now
        self._backlog.note(self._stands(), time.time_ns() // 1_000_000)
        await self._release(holding for holding in self._holdings.values() if holding.empty)
        if self._holdings and self._fences.leased() and self._pace.due(now):
            positions = {source: holding.cutter.position for source, holding in self._holdings.items()}
            await self._outbox.send_ticks(positions, time.time_ns() // 1_000_000)

    def _stands(self) -> dict[int, tuple[int, int]]:
        """How many records of each partition are not yet cut, and its record clock."""
        assigned = self._consumer.assignment()
        stands = {}
        for source, holding in self._holdings.items():
            cutter, tp = holding.cutter, self._tp(source)
            high_water = self._consumer.highwater(tp) if tp in assigned else None
            stands[source] = (high_water or holding.next) - cutter.position, cutter.record_ms
        return stands

    async def _release(self, holdings: Iterable[Holding]) -> None:
        """Says of idle partitions that no slice is begun, so that another release or other settings may go on."""
        idle = [holding for holding in holdings if not (holding.released or holding.is_fixed)]
        fences = {holding.source: self._fence(holding.source, holding.cutter.position) for holding in idle}
        if fences and await self._commit(fences):
            for holding in idle:
                holding.released = True

    async def _commit(self, fences: Mapping[int, Fence]) -> bool:
        if await self._fences.commit(fences):
            return True
        metrics.FENCED_TOTAL.inc()
        self._drop()
        return False

    def _fence(self, source: int, end: int) -> Fence:
        holding = self._holdings[source]
        cutter = holding.cutter
        return Fence(
            cutter.position, end, cutter.record_ms, cutter.event_ms, str(self._recipe), first=holding.first
        )

    def _tp(self, source: int) -> TopicPartition:
        return TopicPartition(self._events, source)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Hands the callbacks on to the worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002
        await self._worker.revoked()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        await self._worker.assigned([tp.partition for tp in assigned])


def _source_consumer(settings: Settings, traits: BrokerTraits) -> AIOKafkaConsumer:
    static = {"group_instance_id": f"{settings.instance_id}-ingest"} if traits.static_membership else {}
    return kafka.consumer(
        settings,
        group_id=settings.topic(GROUP),
        session_timeout_ms=traits.session_timeout_ms,
        heartbeat_interval_ms=traits.session_timeout_ms // 3,
        isolation_level=_isolation(traits),
        fetch_max_wait_ms=kafka.CALM_FETCH_WAIT_MS,
        max_poll_interval_ms=RECOVERY_MS_MAX,
        **static,
    )


def _isolation(traits: BrokerTraits) -> str:
    """An event in an aborted transaction was not published."""
    return "read_committed" if traits.transactions else "read_uncommitted"


async def _reader(stack: AsyncExitStack, settings: Settings, traits: BrokerTraits) -> LogReader:
    consumer = kafka.consumer(
        settings, isolation_level=_isolation(traits), fetch_max_wait_ms=FETCH_WAIT_MS_MAX
    )
    await _started(stack, consumer)
    return LogReader(consumer)


async def _started(stack: AsyncExitStack, client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    stack.push_async_callback(stop_client, client)
    await client.start()


async def _check_topics(producer: AIOKafkaProducer, settings: Settings) -> None:
    """A scope's owner is its hash modulo the deltas partitions: another number would split its state."""
    sources = len(await producer.partitions_for(settings.topic(topics.EVENTS)))
    for name, wanted in ((topics.DELTAS, settings.deltas_partitions), (topics.IDS, sources)):
        found = len(await producer.partitions_for(settings.topic(name)))
        if found != wanted:
            raise PartitionCountError(
                f"{settings.topic(name)} has {found} partitions, {wanted} are needed: see `tokenfuse topics check`"
            )

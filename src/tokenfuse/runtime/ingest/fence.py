"""Fences: the end of a slice, durable before its blocks are produced, so that it is cut again alike after a crash.

A fence is committed under the lease of the assignment. A worker that lost its partitions cannot commit one, so it
cannot begin a slice; what it had begun already is byte for byte what its successor sends.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
import structlog
from aiokafka import TopicPartition, errors
from aiokafka.protocol.commit import OffsetCommitRequest

from tokenfuse.contracts.formats import Readable, UnknownFormatError
from tokenfuse.runtime.ingest.errors import UnreadableFenceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    from tokenfuse.runtime.ingest.reader import LogReader

log = structlog.get_logger(__name__)

RETRY_SECONDS: Final = 0.1
_LEASE_LOST: Final = (
    errors.UnknownMemberIdError,
    errors.IllegalGenerationError,
    errors.RebalanceInProgressError,
)
_COORDINATOR_MOVED: Final = (errors.GroupCoordinatorNotAvailableError, errors.NotCoordinatorForGroupError)


FORMAT: Final = 1
_readable: Final = Readable("fence", 1, FORMAT)


class Fence(msgspec.Struct, frozen=True):
    """The slice [a, b) may be partly out; everything before a is out.

    Attributes:
        a, b: source offsets, half open; a == b: nothing is begun.
        record_ms, event_ms: the clocks at a; -1 where nothing came before.
        recipe: by what the slice is cut: price book, formats, settings.
        first: records before it are left out of the slice, since an operator accepted their loss; -1: none.
    """

    a: int
    b: int
    record_ms: int = -1
    event_ms: int = -1
    recipe: str = ""
    format: int = FORMAT
    first: int = -1


class FenceStore(Protocol):
    """Where fences are kept."""

    async def take_lease(self, partitions: Iterable[int]) -> dict[int, Fence]:
        """Called in the assignment callback: takes the lease, returns the fences of partitions that have one.

        Raises:
            UnreadableFenceError: one was written by a release that this one cannot read.
        """

    def leased(self) -> bool:
        """Whether this worker still holds the lease as far as it knows. Does not block."""

    async def commit(self, fences: Mapping[int, Fence]) -> bool:
        """Makes fences durable. False: the lease is lost, drop every slice and produce nothing.

        Raises:
            KafkaError: neither committed nor fenced, e.g. not authorised.
        """


class OffsetFence:
    """Fences in the metadata of the group's offsets; the lease is the (generation, member id) of the assignment.

    aiokafka's own `commit()` uses the coordinator's current pair, which is (-1, '') after a reset, and a broker takes
    that for an empty group: a zombie would move the fence back. So the request is ours.
    """

    def __init__(self, consumer: AIOKafkaConsumer, topic: str) -> None:
        self._consumer, self._topic = consumer, topic
        self._lease: tuple[int, str] | None = None

    async def take_lease(self, partitions: Iterable[int]) -> dict[int, Fence]:
        """See `FenceStore`."""
        coordinator = self._consumer._coordinator  # noqa: SLF001 - the lease is not public in aiokafka
        self._lease = (coordinator.generation, coordinator.member_id)
        wanted = [TopicPartition(self._topic, partition) for partition in partitions]
        committed = await coordinator.fetch_committed_offsets(wanted)
        return {
            tp.partition: _from_offset(offset, tp.partition)
            for tp, offset in committed.items()
            if offset.offset >= 0
        }

    def leased(self) -> bool:
        """See `FenceStore`."""
        coordinator = self._consumer._coordinator  # noqa: SLF001
        return self._lease == (coordinator.generation, coordinator.member_id)

    async def commit(self, fences: Mapping[int, Fence]) -> bool:
        """See `FenceStore`."""
        coordinator = self._consumer._coordinator  # noqa: SLF001
        if self._lease is None:
            return False
        generation, member = self._lease
        offsets = [(partition, fence.a, _metadata(fence)) for partition, fence in fences.items()]
        request = OffsetCommitRequest(coordinator.group_id, generation, member, -1, [(self._topic, offsets)])
        while True:
            await coordinator.ensure_coordinator_known()
            try:
                response = await coordinator._send_req(request)  # noqa: SLF001
            except errors.KafkaError as error:
                if not error.retriable:
                    raise
                await asyncio.sleep(RETRY_SECONDS)
                continue
            codes = {code for _, partitions in response.topics for _, code in partitions}
            failed = {errors.for_code(code) for code in codes} - {errors.NoError}
            if not failed:
                return True
            if failed & set(_LEASE_LOST):
                self._rejoin(coordinator, failed)
                return False
            self._retriable(coordinator, failed)
            await asyncio.sleep(RETRY_SECONDS)

    def _rejoin(self, coordinator: Any, failed: set[type[errors.KafkaError]]) -> None:
        log.warning("fenced: another worker has the partitions", errors=sorted(e.__name__ for e in failed))
        if self.leased():
            # The coordinator does not know yet what the broker just told us.
            rebalancing = errors.RebalanceInProgressError in failed
            coordinator.request_rejoin() if rebalancing else coordinator.reset_generation()
        self._lease = None

    @staticmethod
    def _retriable(coordinator: Any, failed: set[type[errors.KafkaError]]) -> None:
        if failed & set(_COORDINATOR_MOVED):
            coordinator.coordinator_dead()
        for error in failed:
            if not error.retriable:
                raise error(f"fence not committed: group {coordinator.group_id}")


class TopicFence:
    """Fences as records of `tokenfuse.fences`, for the embedded broker, which drops commit metadata.

    There is no lease, so this is exact for one worker only.
    """

    def __init__(self, producer: AIOKafkaProducer, reader: LogReader, topic: str) -> None:
        self._producer, self._reader, self._topic = producer, reader, topic

    async def take_lease(self, partitions: Iterable[int]) -> dict[int, Fence]:
        """See `FenceStore`."""
        fences = {}
        for partition in partitions:
            tp = TopicPartition(self._topic, partition)
            end = await self._reader.end(tp)
            async for records in self._reader.scan(tp, max(0, end - 1), end):
                fences[partition] = _decode(records[-1].value or b"", partition)
        return fences

    def leased(self) -> bool:
        """See `FenceStore`: the only worker always does."""
        return True

    async def commit(self, fences: Mapping[int, Fence]) -> bool:
        """See `FenceStore`."""
        acks = [
            await self._producer.send(
                self._topic, msgspec.json.encode(fence), key=b"%d" % partition, partition=partition
            )
            for partition, fence in fences.items()
        ]
        await asyncio.gather(*acks)
        return True


def _metadata(fence: Fence) -> str:
    return msgspec.json.encode(fence).decode()


def _from_offset(committed: Any, partition: int) -> Fence:
    """The fence of a committed offset. An offset that an operator set has no metadata: nothing is begun there."""
    if committed.metadata:
        fence = _decode(committed.metadata, partition)
        if fence.a == committed.offset:
            return fence
    return Fence(committed.offset, committed.offset)


def _decode(data: bytes | str, partition: int) -> Fence:
    """A fence that is taken for none would cut a slice otherwise than it was begun.

    Raises:
        UnreadableFenceError: written by a release that this one cannot read, or by something else.
    """
    try:
        fence = msgspec.json.decode(data, type=Fence)
        _readable.check(fence.format)
    except (msgspec.DecodeError, UnknownFormatError) as error:
        raise UnreadableFenceError(partition, str(error)) from error
    return fence

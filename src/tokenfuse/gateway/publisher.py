"""Publisher: one cost event per model call to `llm.cost.events`, without ever making the call wait.

    async with Publisher("kafka:9092") as publisher:
        publisher.publish({"tenant": "acme", "feature": "chat", "model": "gpt-4o", "input_tokens": 812, ...})

Events wait in a bounded queue. While it is full, the NEWEST is dropped: `publish` answers False to the caller whose event
it is, and no event that was taken is given up for another. What may have been written is sent again; ids make that safe.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError, UnknownError
from msgspec import Struct

from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.contracts.cloudevents import EVENT_TYPE, to_binary
from tokenfuse.contracts.event import CostEvent, InvariantError, encode_event
from tokenfuse.contracts.topics import EVENT_BYTES_MAX, EVENTS
from tokenfuse.gateway.reader import partitions_of

QUEUE_EVENTS_MAX: Final = 10_000
BATCH_EVENTS_MAX: Final = 1_000
LINGER_MS: Final = 5
REQUEST_TIMEOUT_MS: Final = 10_000
BACKOFF_SECONDS_MAX: Final = 10.0
LOG_EVERY_SECONDS: Final = 60.0
CLOSE_SECONDS: Final = 5.0
GOODBYE_SECONDS: Final = 0.5

log = logging.getLogger(__name__)


class InvalidEventError(ValueError):
    """What was to be published is no cost event; the message names the field."""


class DropReason(StrEnum):
    """Why an event was given up."""

    QUEUE_FULL = "queue_full"
    """The broker is away or slow for longer than the queue lasts."""

    TOO_LARGE = "too_large"
    CLOSED = "closed"
    """Still unsent when the publisher's time to close was over, or published after that."""


class Message(Struct, frozen=True, gc=False):
    """One event on its way."""

    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class Publisher:
    """Sends events in the background.

    Args:
        bootstrap_servers, topic_prefix, security: as for `Gateway`.
        queue_events_max: bound of the events not acknowledged yet.
        cloudevents_source: makes every message a CloudEvent in binary mode with this `source`, e.g. `/gateways/eu-1`.
        on_drop: called with the reason and the event's bytes, in the thread that noticed; must not block.

    Attributes:
        dropped: events by reason. sent: events that the broker has acknowledged.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        topic_prefix: str = "",
        security: Mapping[str, Any] | None = None,
        queue_events_max: int = QUEUE_EVENTS_MAX,
        cloudevents_source: str | None = None,
        on_drop: Callable[[DropReason, bytes], None] | None = None,
    ) -> None:
        self.dropped: Counter[DropReason] = Counter()
        self.sent = 0
        self._topic = topic_prefix + EVENTS
        self._options = {"bootstrap_servers": bootstrap_servers, **(security or {})}
        self._queue_events_max = queue_events_max
        self._source = cloudevents_source
        self._on_drop = on_drop
        self._queue: deque[Message] = deque()
        self._in_flight = 0
        self._open = True
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._logged_at = float("-inf")

    async def start(self) -> None:
        """Begin to send. Returns at once, whether or not a broker is there."""
        if self._task is None:
            self._loop = asyncio.get_running_loop()
            self._task = asyncio.create_task(self._send_for_ever(), name="tokenfuse-publisher")

    async def close(self, timeout_seconds: float = CLOSE_SECONDS) -> None:
        """Send what is queued, for so long; what is left then is dropped and counted."""
        self._open = False
        if self._task is not None:
            self._wake.set()
            await asyncio.wait({self._task}, timeout=timeout_seconds)
            # The first cancellation ends the sending, the second a client that waits for a broker to say goodbye to.
            for _ in range(2):
                self._task.cancel()
                await asyncio.wait({self._task}, timeout=GOODBYE_SECONDS)
            self._task = None
        while self._queue:
            self._drop(DropReason.CLOSED, self._queue.popleft().value)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def queued(self) -> int:
        """Events that are not acknowledged yet."""
        return len(self._queue) + self._in_flight

    def publish(self, event: CostEvent | Mapping[str, Any]) -> bool:
        """Queue one event; from any thread. False: it was dropped, and counted.

        Args:
            event: fields as in CostEvent. A mapping may leave out `id` (a random one) and `time` (now).

        Raises:
            InvalidEventError: it is no cost event: nothing was queued.
        """
        message = self._message(as_event(event))
        if len(message.value) > EVENT_BYTES_MAX:
            return self._drop(DropReason.TOO_LARGE, message.value)
        if not self._open:
            return self._drop(DropReason.CLOSED, message.value)
        if self.queued >= self._queue_events_max:
            return self._drop(DropReason.QUEUE_FULL, message.value)
        self._queue.append(message)
        if self._loop is not None and not self._wake.is_set():
            with contextlib.suppress(RuntimeError):  # the loop has ended: `close` counts what is left
                self._loop.call_soon_threadsafe(self._wake.set)
        return True

    def _message(self, event: CostEvent) -> Message:
        value = encode_event(event)
        headers: list[tuple[str, bytes]] = []
        if self._source is not None:
            attributes = {"id": event.id, "source": self._source, "type": EVENT_TYPE, "subject": event.tenant}
            headers, value = to_binary(value, attributes)
        return Message(event.tenant.encode(), value, tuple(headers))

    def _drop(self, reason: DropReason, value: bytes) -> bool:
        self.dropped[reason] += 1
        if time.monotonic() - self._logged_at >= LOG_EVERY_SECONDS:
            self._logged_at = time.monotonic()
            counts = ", ".join(f"{each.value} {count}" for each, count in self.dropped.items())
            log.error("cost events dropped since the start: %s. Their spend is not counted", counts)
        if self._on_drop is not None:
            self._on_drop(reason, value)
        return False

    async def _send_for_ever(self) -> None:
        tries = 0
        while self._open or self._queue:
            try:
                async with contextlib.AsyncExitStack() as stack:
                    producer = await self._connect(stack)
                    while self._open or self._queue:
                        await self._send_queued(producer)
                        tries = 0
            except Exception as error:
                # Events that were taken are not given up, whatever it is: a full queue says so by itself.
                if tries == 0:
                    log.warning("cost events wait, retrying for ever: %s", error or repr(error))
                await asyncio.sleep(min(BACKOFF_SECONDS_MAX, 0.25 * 2**tries))
                tries = min(tries + 1, 10)

    async def _connect(self, stack: contextlib.AsyncExitStack) -> AIOKafkaProducer:
        await partitions_of(self._topic, self._options)
        try:
            return await _started(self._options, stack, idempotent=True)
        except UnknownError:
            # The embedded broker has no producer ids. Duplicates are dropped by id anyway, so only order is lost.
            return await _started(self._options, stack, idempotent=False)

    async def _send_queued(self, producer: AIOKafkaProducer) -> None:
        """Send a batch and await its acknowledgement; what fails in a way that may heal is queued again.

        Raises:
            KafkaError: some of it failed.
        """
        self._wake.clear()
        if not self._queue:
            if self._open:
                await self._wake.wait()
            return
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_EVENTS_MAX))]
        self._in_flight = len(batch)
        cut_off: BaseException = asyncio.CancelledError()
        failed = dict.fromkeys(range(len(batch)), cut_off)
        try:
            sends = (self._send(producer, each) for each in batch)
            results = await asyncio.gather(*sends, return_exceptions=True)
            failed = {
                n: error for n, error in enumerate(results) if error and self._is_unsent(batch[n], error)
            }
            self.sent += results.count(None)
        finally:
            self._queue.extendleft(batch[n] for n in sorted(failed, reverse=True))
            self._in_flight = 0
        for error in failed.values():
            raise error

    async def _send(self, producer: AIOKafkaProducer, message: Message) -> None:
        await producer.send_and_wait(
            self._topic, message.value, key=message.key, headers=list(message.headers)
        )

    def _is_unsent(self, message: Message, error: BaseException) -> bool:
        """Whether it is worth another try."""
        if not isinstance(error, MessageSizeTooLargeError):
            return True
        self._drop(DropReason.TOO_LARGE, message.value)
        return False


async def _started(
    options: Mapping[str, Any], stack: contextlib.AsyncExitStack, *, idempotent: bool
) -> AIOKafkaProducer:
    producer = AIOKafkaProducer(
        **options,
        acks="all",
        enable_idempotence=idempotent,
        linger_ms=LINGER_MS,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        max_request_size=2 * EVENT_BYTES_MAX,
    )
    stack.push_async_callback(producer.stop)
    await producer.start()
    return producer


def as_event(event: CostEvent | Mapping[str, Any]) -> CostEvent:
    """The event that a mapping describes; `id` and `time` are filled in where they are missing.

    Raises:
        InvalidEventError: a field is missing, of the wrong type, out of bounds, or unknown.
    """
    if isinstance(event, CostEvent):
        return event
    unknown = event.keys() - _FIELDS
    if unknown:
        raise InvalidEventError(
            f"not fields of a cost event: {', '.join(sorted(unknown))}. Put your own into `labels`"
        )
    filled = {"id": uuid.uuid4().hex, "time": to_rfc3339(time.time_ns() // 1_000_000), **event}
    if isinstance(filled["time"], datetime):
        filled["time"] = filled["time"].isoformat()
    try:
        return msgspec.convert(filled, CostEvent)
    except (msgspec.ValidationError, InvariantError) as error:
        raise InvalidEventError(f"not a cost event: {error}") from None


_FIELDS: Final = frozenset(CostEvent.__struct_fields__)

"""The notify role: a consumer group per integration, so that one that hangs holds up nobody else.

Every life reads the alerts topic from its beginning (it is compacted): up to the group's offset to remember what was
told, from there on to tell it. An offset is committed when everything before it was delivered or given up on loudly.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from typing import TYPE_CHECKING, Final

import structlog
from aiokafka import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaConnectionError, KafkaError
from rich.console import Console

from tokenfuse.contracts.topics import ALERTS
from tokenfuse.gateway.reader import stop_client
from tokenfuse.notify.contract import Reason
from tokenfuse.notify.courier import Courier
from tokenfuse.notify.lane import PENDING_MAX, Lane
from tokenfuse.notify.outbox import Outbox
from tokenfuse.notify.pagerduty import PagerDutyNotifier
from tokenfuse.notify.retry import RetryPolicy
from tokenfuse.notify.slack import SlackNotifier
from tokenfuse.notify.terminal import WIDTH_MAX, TerminalNotifier
from tokenfuse.runtime.broker import probe_traits
from tokenfuse.runtime.kafka import CALM_FETCH_WAIT_MS, bootstrap_servers, consumer, security
from tokenfuse.runtime.metrics import (
    NOTIFICATIONS_FAILED_TOTAL,
    NOTIFICATIONS_PENDING,
    NOTIFICATIONS_TOTAL,
    NOTIFICATIONS_WAIT_SECONDS,
)
from tokenfuse.runtime.seldom import Seldom

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiokafka import AIOKafkaConsumer, TopicPartition

    from tokenfuse.notify.contract import Notifier
    from tokenfuse.runtime.settings import Settings

POLL_MS: Final = 200
CALM_POLL_MS: Final = 1000
"""While nothing is on its way; a record ends the wait at once."""

RECONNECT_SECONDS: Final = 2.0
GOODBYE_SECONDS: Final = 10.0
"""A call that is under way at the stop may finish: else its message is looked up again at the next start."""

REVOKED_SECONDS: Final = 1.0
"""The same in a rebalance, which the whole group waits for."""

WAIT_SECONDS_MAX: Final = 60.0
"""A message that waits longer is said in the log."""

log = structlog.get_logger(__name__)


async def run_notify(
    settings: Settings, stop: asyncio.Event, ready: Callable[[bool], None], console: Console | None = None
) -> None:
    """Tell alerts to every configured integration until `stop`.

    Args:
        ready: called with True when every integration has joined its group.
        console: for the terminal integration; standard error by default, since logs go to standard output.
    """
    notifiers = configured(settings, console or stderr_console())
    waiting = {notifier.name for notifier in notifiers}

    def joined(name: str) -> None:
        waiting.discard(name)
        ready(not waiting)

    try:
        async with asyncio.TaskGroup() as group:
            for notifier in notifiers:
                group.create_task(
                    Outlet(settings, notifier, stop, joined).run(), name=f"notify-{notifier.name}"
                )
    finally:
        for notifier in notifiers:
            await notifier.close()


def stderr_console() -> Console:
    """Standard error; as wide as the message wants to be where nobody says how wide it is."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH_MAX)


def configured(settings: Settings, console: Console) -> list[Notifier]:
    """The integrations that settings name; without a Slack token the message goes to the terminal.

    Raises:
        ValueError: a URL that a secret must not be sent to.
    """
    slack: Notifier = TerminalNotifier(console)
    if settings.slack_bot_token is not None and settings.slack_channel is not None:
        token = settings.slack_bot_token.get_secret_value()
        slack = SlackNotifier(token, settings.slack_channel, settings.slack_base_url, time.time)
    if settings.pagerduty_routing_key is None:
        return [slack]
    key = settings.pagerduty_routing_key.get_secret_value()
    return [slack, PagerDutyNotifier(key, settings.pagerduty_base_url)]


class _Metrics:
    """Counts outcomes."""

    def delivered(self, integration: str) -> None:
        NOTIFICATIONS_TOTAL.labels(integration=integration).inc()

    def given_up(self, integration: str, reason: Reason) -> None:
        NOTIFICATIONS_FAILED_TOTAL.labels(integration=integration, reason=reason.value).inc()


class _Sender:
    """A lane and the task that sends what is due in it."""

    def __init__(self, lane: Lane, courier: Courier) -> None:
        self.lane = lane
        self._courier = courier
        self._wake = asyncio.Event()
        self._stopping = False
        self._task = asyncio.create_task(self._run())

    def wake(self) -> None:
        """Something may be due earlier than thought. Raises what the task died of, if it did."""
        if self._task.done():
            self._task.result()
        self._wake.set()

    async def stop(self, seconds: float) -> None:
        """Let the call that is under way finish, for so long."""
        self._stopping = True
        self._wake.set()
        await asyncio.wait({self._task}, timeout=seconds)
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            if await self._courier.step():
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._courier.wait_seconds())


class Outlet(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka ships no types
    """One integration's consumer group."""

    def __init__(
        self, settings: Settings, notifier: Notifier, stop: asyncio.Event, joined: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._notifier = notifier
        self._stop = stop
        self._joined = joined
        self._senders: dict[TopicPartition, _Sender] = {}
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._client: AIOKafkaConsumer | None = None
        self._seldom = Seldom()
        self._epoch = 0
        self._opened_epoch = 0

    async def run(self) -> None:
        """Read, send and commit until the stop."""
        client = self._client = await self._connect()
        if client is None:
            return
        try:
            while not self._stop.is_set():
                await self._turn(client)
            await self._close_senders(GOODBYE_SECONDS)
            await self._commit(client)
        finally:
            await self._close_senders(0)
            await stop_client(client)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002
        """Another process may take over: what was told is committed, what is on its way is read again there."""
        self._epoch += 1
        await self._close_senders(REVOKED_SECONDS)
        if self._client is not None:
            await self._commit(self._client)
        self._senders = {}

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Lanes are opened in the next turn: in this callback the consumer must not be asked for anything."""
        self._assigned = frozenset(assigned)
        self._epoch += 1
        self._joined(self._notifier.name)

    async def _connect(self) -> AIOKafkaConsumer | None:
        while not self._stop.is_set():
            try:
                return await self._join()
            except KafkaConnectionError as error:
                log.warning("broker_unreachable", integration=self._notifier.name, error=str(error))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), RECONNECT_SECONDS)
        return None

    async def _join(self) -> AIOKafkaConsumer:
        """A started member of the integration's group; with static membership where the broker has it."""
        traits = await probe_traits(bootstrap_servers(self._settings), **security(self._settings))
        name = f"notify-{self._notifier.name}"
        client = consumer(
            self._settings,
            group_id=self._settings.topic(name),
            group_instance_id=f"{self._settings.instance_id}-{name}" if traits.static_membership else None,
            session_timeout_ms=traits.session_timeout_ms,
            heartbeat_interval_ms=traits.session_timeout_ms // 3,
            fetch_max_wait_ms=CALM_FETCH_WAIT_MS,
            auto_offset_reset="earliest",  # of no effect: every lane seeks
        )
        client.subscribe([self._settings.topic(ALERTS)], listener=self)
        try:
            await client.start()
        except BaseException:
            await stop_client(client)
            raise
        return client

    async def _turn(self, client: AIOKafkaConsumer) -> None:
        """One poll: even when an outbox is full, so that the group keeps its member."""
        if self._opened_epoch != self._epoch:
            await self._open(client)
        self._throttle(client)
        epoch = self._epoch
        is_calm = bool(self._senders) and all(sender.lane.is_calm for sender in self._senders.values())
        wait_ms = CALM_POLL_MS if is_calm else POLL_MS
        batches = await client.getmany(timeout_ms=wait_ms, max_records=PENDING_MAX)
        if epoch != self._epoch:
            return  # a rebalance in between: the lanes are opened afresh, and read from the beginning
        for partition, sender in self._senders.items():
            self._take(sender, batches.get(partition, ()))
        self._observe()
        await self._commit(client)

    def _observe(self) -> None:
        """What waits, as metrics, and as a log line while it waits for long."""
        name, outboxes = self._notifier.name, [sender.lane.outbox for sender in self._senders.values()]
        pending = sum(map(len, outboxes))
        seconds = max((outbox.waited_seconds(time.monotonic()) for outbox in outboxes), default=0.0)
        NOTIFICATIONS_PENDING.labels(integration=name).set(pending)
        NOTIFICATIONS_WAIT_SECONDS.labels(integration=name).set(seconds)
        if seconds > WAIT_SECONDS_MAX and self._seldom.due():
            log.warning(
                "alerts wait for a receiver that is slow or away; none is lost, other receivers are not held up",
                integration=name,
                pending=pending,
                oldest_seconds=round(seconds),
            )

    async def _open(self, client: AIOKafkaConsumer) -> None:
        """Make a lane per partition and read it from its beginning."""
        epoch = self._epoch
        await self._close_senders(0)
        self._senders = {}
        try:
            for partition in self._assigned:
                committed = await client.committed(partition)
                start = (await client.beginning_offsets([partition]))[partition]
                if epoch != self._epoch:
                    return  # a rebalance in between: the next turn opens what is assigned then
                client.seek(partition, start)
                self._senders[partition] = self._sender(committed, start)
        except (IllegalStateError, KafkaError) as error:
            # The partition went away again, or the broker did: the next turn tries again.
            log.warning("partition_not_opened", integration=self._notifier.name, error=repr(error))
            await asyncio.sleep(POLL_MS / 1000)
            return
        self._opened_epoch = epoch

    def _sender(self, committed: int | None, start: int) -> _Sender:
        outbox = Outbox(self._notifier, start)
        lane = Lane(outbox, committed, time.time_ns() // 1_000_000, self._unreadable)
        courier = Courier(self._notifier, outbox, RetryPolicy(), _Metrics(), time.monotonic, random.Random())
        return _Sender(lane, courier)

    def _take(self, sender: _Sender, records: Iterable[object]) -> None:
        now = time.monotonic()
        count = 0
        for count, record in enumerate(records, 1):  # noqa: B007 - counted to see an empty poll
            sender.lane.take(record.offset, record.key, record.value, record.timestamp, now)  # type: ignore[attr-defined]
        if count == 0:
            sender.lane.caught_up(now)
        sender.wake()

    def _throttle(self, client: AIOKafkaConsumer) -> None:
        for partition, sender in self._senders.items():
            if sender.lane.is_full:
                client.pause(partition)
            elif partition in client.paused():
                client.resume(partition)

    async def _commit(self, client: AIOKafkaConsumer) -> None:
        for partition, sender in list(self._senders.items()):
            offset = sender.lane.committable()
            if offset is None:
                continue
            try:
                await client.commit({partition: offset})
                sender.lane.commit(offset)
            except (CommitFailedError, IllegalStateError):
                return  # no longer ours: the rebalance that follows drops the lane
            except KafkaError as error:
                log.warning("offset_not_committed", integration=self._notifier.name, error=repr(error))
                return

    async def _close_senders(self, seconds: float) -> None:
        await asyncio.gather(*(sender.stop(seconds) for sender in self._senders.values()))

    def _unreadable(self, offset: int, error: str) -> None:
        NOTIFICATIONS_FAILED_TOTAL.labels(
            integration=self._notifier.name, reason=Reason.UNREADABLE.value
        ).inc()
        log.error("alert_unreadable", integration=self._notifier.name, offset=offset, error=error)

"""Everything that relies on how Faust works inside, pinned to the version it was read from.

Each function names the place it depends on; tests/unit/runtime/test_statelog_faust_internals.py fails when it moves.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import faust
from faust.tables import TableManager
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Producer, Transport
from faust.types import TP

from tokenfuse.runtime import kafka

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from tokenfuse.runtime.statelog.watchdog import Pulse

VERSIONS: Final = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.", "aiokafka": "0.14."}
"""Distribution and the version, or its beginning, that this module was checked against."""


class WrongVersionError(RuntimeError):
    """Another version of Faust, mode or aiokafka is installed than the one whose inner workings are relied on."""


def require_pinned_versions() -> None:
    """Refuse to run on other versions: their differences would show as lost events.

    Raises:
        WrongVersionError: see there.
    """
    from importlib.metadata import version

    found = {name: version(name) for name in VERSIONS}
    wrong = [
        f"{name} {found[name]}" for name, wanted in VERSIONS.items() if not found[name].startswith(wanted)
    ]
    if wrong:
        msg = f"{', '.join(wrong)} installed, checked against {VERSIONS}: install tokenfuse[service] as released"
        raise WrongVersionError(msg)


def watch_membership(coordinator: Any, lost: Callable[[], None]) -> None:
    """Call `lost` when the group no longer knows this static member (aiokafka/consumer/group_coordinator.py).

    aiokafka calls `reset_generation` when a heartbeat, commit, join or sync is refused, and joins again. A static
    member that does so evicts the process that took its place, which then evicts us, and so on for ever.
    """
    reset = coordinator.reset_generation

    def reset_generation() -> None:
        was_member = coordinator.generation > 0 and not coordinator._closing.done()  # noqa: SLF001
        reset()
        if was_member and coordinator._group_instance_id is not None:  # noqa: SLF001
            lost()

    coordinator.reset_generation = reset_generation


def watch_heartbeats(coordinator: Any, renewed: Callable[[float], None]) -> None:
    """Tell of every heartbeat that the group accepted, when it was asked (group_coordinator.py `_heartbeat_routine`)."""
    beat = coordinator._do_heartbeat  # noqa: SLF001

    async def do_heartbeat() -> bool:
        asked_at = time.monotonic()
        accepted: bool = await beat()
        if accepted:
            renewed(asked_at)
        return accepted

    coordinator._do_heartbeat = do_heartbeat  # noqa: SLF001


def guard_requests(client: Any, check: Callable[[], None]) -> None:
    """Call `check` right before each request of a client goes to its socket (aiokafka/client.py `send`).

    What was handed to the producer may wait in its batches while the process stands still. `send` awaits `ready`, and
    writes without another await.
    """
    ready = client.ready

    async def checked(*args: Any, **kwargs: Any) -> bool:
        is_ready: bool = await ready(*args, **kwargs)
        check()
        return is_ready

    client.ready = checked


class GuardedProducer(Producer):  # type: ignore[misc] # Faust is untyped
    """Sends nothing any more when this process may have lost its place."""

    def _new_producer(self, transactional_id: str | None = None) -> Any:
        producer = super()._new_producer(transactional_id)
        guard_requests(producer.client, self.transport.pulse.check)
        return producer


class ExactConsumerThread(AIOKafkaConsumerThread):  # type: ignore[misc] # Faust is untyped
    """Ends the process when the group no longer knows this member."""

    async def on_start(self) -> None:
        """Watch the coordinator as soon as there is one."""
        await super().on_start()
        consumer = self._ensure_consumer()
        # Faust gives aiokafka's default of 0.2 s for how often its fetcher looks around although nothing has happened.
        consumer._fetcher._fetcher_timeout = kafka.FETCHER_WAIT_MS / 1000  # noqa: SLF001
        coordinator = consumer._coordinator  # noqa: SLF001
        watch_membership(coordinator, self.transport.membership_lost)
        watch_heartbeats(coordinator, self.transport.pulse.renewed)


class ExactConsumer(Consumer):  # type: ignore[misc] # Faust is untyped
    """Starts each input partition where its state ends, not where the group's commits end."""

    def _new_consumer_thread(self) -> ExactConsumerThread:
        return ExactConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def verify_all_partitions_active(self) -> None:
        """Nothing (transport/consumer.py `_commit_livelock_detector` calls it).

        Faust's own only logs that a partition stands still, for which `watchdog` ends the process. It wakes up once a
        partition for that, which was a tenth of what an idle worker used.
        """

    async def perform_seek(self) -> None:
        """Seek the owned input partitions to their state's next offset.

        Faust calls this at the end of recovery (tables/recovery.py `on_recovery_completed`) and when records arrived
        while the flow was stopped (transport/consumer.py `getmany`). Its own version seeks to the committed offsets,
        and skips partitions without a commit, which then stay wherever they were.
        """
        wanted = {
            TP(self.transport.input_topic, partition): offset
            for partition, offset in self.transport.positions().items()
        }
        owned = {tp: offset for tp, offset in wanted.items() if tp in self.assignment()}
        if owned:
            # In the consumer's own thread; sets `_read_offset` too, below which messages are dropped.
            await self.seek_wait(owned)
        for tp, offset in owned.items():
            # Else nothing is ever committed past a jump forward (`_new_offset`: "gap in the head").
            self._committed_offset[tp] = offset or None


class ExactTransport(Transport):  # type: ignore[misc] # Faust is untyped
    """Makes `ExactConsumer`s and `GuardedProducer`s.

    Attributes:
        positions: next offset by input partition owned.
        membership_lost: called in the consumer's thread.
        pulse: asked before every request of the producer, told of every heartbeat.
    """

    Consumer = ExactConsumer
    Producer = GuardedProducer

    def __init__(
        self,
        app: Any,
        input_topic: str,
        positions: Callable[[], Mapping[int, int]],
        membership_lost: Callable[[], None],
        pulse: Pulse,
    ) -> None:
        super().__init__(app.conf.broker_consumer, app)
        self.pulse = pulse
        self.input_topic = input_topic
        self.positions = positions
        self.membership_lost = membership_lost


class PromptTableManager(TableManager):  # type: ignore[misc] # Faust is untyped
    """Starts at once. Faust's own sleeps a second first, for tables that register late: ours is there before the app starts."""

    async def on_start(self) -> None:
        """As tables/manager.py `on_start`, without its sleep."""
        await self._update_channels()
        await self.recovery.start()


def stop_flow(app: Any) -> None:
    """First thing in `on_recover`: nothing may reach the agent's queue until it is over.

    recovery.py `on_recovery_completed` resumes fetching before it seeks, and `flow_control.resume()` after it clears
    every queue (mode/utils/queues.py): what was fetched in between is lost, without a trace.
    """
    app.consumer.stop_flow()
    app.flow_control.suspend()


def generation(app: Any) -> int:
    """Generation of the consumer group as of the last assignment; messages carry the one they were fetched under."""
    return int(app.consumer_generation_id)


def recovered_generation(app: Any) -> int:
    """Generation that the recovery which is ending was begun under."""
    return int(app.tables.recovery._generation_id)  # noqa: SLF001


def assigned_partitions(app: Any, topic: str) -> set[int]:
    """Partitions of a topic that this worker is active for."""
    return {tp.partition for tp in app.assignor.assigned_actives() if tp.topic == topic}


def changelog(table: Any) -> list[tuple[bytes, bytes | None]]:
    """What recovery read: last value per key. The memory store is used: RocksDB's counts own sends as read."""
    return list(table.data.data.items())


def forget_values(table: Any) -> None:
    """Free what recovery read: the state lives in the cores now."""
    table.data.data.clear()
    table.data._key_partition.clear()  # noqa: SLF001


def forget_changelog(app: Any, table: Any) -> None:
    """Read the changelog from its beginning at the next recovery, for kept partitions too (their values were freed)."""
    recovery = app.tables.recovery
    for tp in list(recovery.active_offsets):
        recovery.revoke(tp)
    forget_values(table)


def drop_stale_changelog(app: Any, is_assigned: Callable[[], bool]) -> None:
    """Let recovery see only rows that were fetched for the assignment it works on.

    tables/recovery.py `_slurp_changelogs` asks no generation, and takes a row's offset for all that was read. A row that was
    on its way when a rebalance cleared the queues would make it skip every row before that one.
    """
    queue = app.tables.changelog_queue
    get = queue.get

    async def get_current() -> Any:
        while True:
            event = await get()
            if is_assigned() and event.message.generation_id == generation(app):
                return event

    queue.get = get_current


def recovery_progress(app: Any) -> Hashable:
    """Something that changes while recovery reads."""
    offsets = app.tables.recovery.active_offsets
    return (generation(app), sum(offset or 0 for offset in offsets.values()))


def ack(app: Any, message: Any) -> None:
    """Mark a message as safe to commit (`Stream.ack` without its event, which would keep the value in memory)."""
    message.ack(app.consumer)


async def end_offsets(app: Any, topic: str, partitions: set[int]) -> dict[int, int]:
    """Where an input topic ends, asked of the broker."""
    tps = {TP(topic, partition) for partition in partitions}
    return {tp.partition: end or 0 for tp, end in (await app.consumer.highwaters(*tps)).items()}


async def send(app: Any, output: Any) -> Any:
    """Give a message to the producer; the result is done when the broker has it.

    The producer directly: `Topic.send` would attach the message to the event being processed, and `send_soon` hides
    a refused message (transport/producer.py `_handle_pending` crashes, the future stays pending).
    """
    return await app.producer.send(
        output.topic, output.key, output.value, output.partition, None, list(output.headers) or None
    )


def group_error(app: Any) -> BaseException | None:
    """What the group's coordinator refused for good, e.g. a missing permission.

    aiokafka keeps such an error until a fetch of its user raises it, and stops taking part in the group meanwhile.
    Faust fetches past that place (transport/drivers/aiokafka.py `_fetch_records`), so it would wait for ever.
    """
    if app.consumer._thread is None or app.consumer._thread._consumer is None:  # noqa: SLF001
        return None
    error: BaseException | None = app.consumer._thread._consumer._coordinator._pending_exception  # noqa: SLF001
    return error


def crash_reason(app: Any) -> BaseException | None:
    """Why Faust gave up, if it did."""
    return app.crash_reason if app.crashed else None


async def crashed(app: Any) -> None:
    """Returns when Faust gives up."""
    await app._crashed.wait()  # noqa: SLF001


def agent(app: Any, topic: Any, name: str, process: Callable[[Any], Any]) -> None:
    """Register the one agent. Concurrency 1: more would apply the messages of a partition side by side.

    As app/base.py `agent`, but for its note to venusian, which finds agents for an autodiscovery that is off here: it looks
    up the file of every module that is loaded, a tenth of a second.
    """
    made = app.conf.Agent(
        process,
        name=name,
        app=app,
        channel=topic,
        concurrency=1,
        on_error=app._on_agent_error,  # noqa: SLF001
    )
    app.agents[made.name] = made
    app.topics.beacon.add(made)


def checkpoint_table(app: Any, topic: str, partitions: int, on_recover: Callable[[], Any]) -> Any:
    """The one table, over a changelog topic that exists and keeps its own name.

    The arguments of the topic are those of faust/tables/base.py `_new_changelog_topic`.
    """
    changelog_topic = app.topic(
        topic,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        partitions=partitions,
        compacting=True,
        acks=False,
        internal=True,
        allow_empty=True,
        maxsize=131_072,
    )
    return app.Table(
        "checkpoint",
        partitions=partitions,
        key_type=bytes,
        value_type=bytes,
        changelog_topic=changelog_topic,
        on_recover=on_recover,
    )


def new_app(group: str, **options: Any) -> Any:
    """A Faust app that nobody else's worker, signals or logging touch."""
    return faust.App(group, autodiscover=False, **options)

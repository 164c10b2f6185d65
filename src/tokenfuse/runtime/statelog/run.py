"""One worker from start to stop: a Faust app as a service in somebody's event loop."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiokafka.errors import KafkaError

from tokenfuse.runtime import kafka
from tokenfuse.runtime.broker.quirks import probe_traits
from tokenfuse.runtime.statelog import faust_internals as internals
from tokenfuse.runtime.statelog.app import build_app, input_topic
from tokenfuse.runtime.statelog.checkpoint import Checkpointer
from tokenfuse.runtime.statelog.exits import ExitReason, die
from tokenfuse.runtime.statelog.owner import Owner, StateLogSpec
from tokenfuse.runtime.statelog.watchdog import Pulse, Watchdog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tokenfuse.runtime.broker.quirks import BrokerTraits
    from tokenfuse.runtime.settings import Settings
    from tokenfuse.runtime.statelog.core import Output

log = structlog.get_logger(__name__)

STOP_SECONDS: Final = 20.0


class TopicsNotReadyError(RuntimeError):
    """A topic is missing or has the wrong number of partitions: what to run."""


async def prepare(settings: Settings, spec: StateLogSpec, ready: Callable[[bool], None]) -> Worker:
    """A worker for this broker, with everything checked that can be before it joins its group.

    Args:
        ready: called with True when the partitions are recovered, with False while they are being moved.

    Raises:
        KafkaError: the broker cannot be reached.
        TopicsNotReadyError: see there.
        WrongVersionError: another Faust than the one this was checked against.
    """
    internals.require_pinned_versions()
    traits = await probe_traits(kafka.bootstrap_servers(settings), **kafka.security(settings))
    await _check_topics(settings, spec)
    return Worker(settings, spec, traits, ready)


async def _check_topics(settings: Settings, spec: StateLogSpec) -> None:
    """Faust co-partitions topics by their partition counts: with different ones state and input go separate ways."""
    admin = kafka.admin(settings)
    await admin.start()
    try:
        described = await admin.describe_topics([spec.input_topic, spec.checkpoint_topic])
    finally:
        await admin.close()
    found = {topic["topic"]: len(topic["partitions"]) for topic in described if not topic["error_code"]}
    for name in (spec.input_topic, spec.checkpoint_topic):
        if found.get(name) != spec.partitions:
            have = f"has {found[name]} partitions" if name in found else "is missing"
            msg = f"topic {name} {have}, {spec.partitions} wanted: run `tokenfuse topics create`, or `topics check`"
            raise TopicsNotReadyError(msg)


class Worker:
    """Ties an owner, its checkpoints and its watchdog to a Faust app.

    Works beside other workers and roles in one event loop. Where its state could be wrong it ends the whole process
    with an exit code of `ExitReason`.
    """

    def __init__(
        self, settings: Settings, spec: StateLogSpec, traits: BrokerTraits, ready: Callable[[bool], None]
    ) -> None:
        self._spec = spec
        self._pulse = Pulse(traits.session_timeout_ms / 1000)
        self.owner = Owner(spec, self._send, self._ack, self._pulse, ready)
        interval = settings.checkpoint_seconds
        self._checkpointer = Checkpointer(self.owner, self._send, self._ack, self._pulse, interval)
        self._app = build_app(
            settings, spec, traits, self.owner.positions, self._membership_lost, self._pulse
        )
        self._table = internals.checkpoint_table(
            self._app, spec.checkpoint_topic, spec.partitions, self._on_recover
        )
        internals.drop_stale_changelog(self._app, lambda: self.owner.is_assigned)
        self._app.on_partitions_revoked.connect(self._on_revoked)
        self._app.on_partitions_assigned.connect(self._on_assigned)
        internals.agent(self._app, input_topic(self._app, spec), spec.role, self._process)
        self._watchdog = Watchdog(
            self.owner,
            lambda: internals.group_error(self._app),
            lambda: internals.recovery_progress(self._app),
            self._end_offsets,
            interval,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; a last checkpoint is written before this returns."""
        async with asyncio.TaskGroup() as group:
            waits = [group.create_task(stop.wait()), group.create_task(internals.crashed(self._app))]
            loops = [
                group.create_task(service())
                for service in (self._pulse.run, self._checkpointer.run, self._watchdog.run, self._start)
            ]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            self._die_if_crashed()
            # The last checkpoint makes the next start quick; exactness does not need it.
            await self._checkpointer.finish()
            for task in (*waits, *loops):
                task.cancel()
        await self._stop()

    async def _start(self) -> None:
        try:
            await self._app.start()
        except Exception as error:
            log.exception("Faust did not start", role=self._spec.role)
            die(ExitReason.FAUST_CRASHED, role=self._spec.role, error=repr(error))

    async def _stop(self) -> None:
        self.owner.revoked()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._app.stop()

    def _die_if_crashed(self) -> None:
        if reason := internals.crash_reason(self._app):
            die(ExitReason.FAUST_CRASHED, role=self._spec.role, error=repr(reason))

    async def _process(self, stream: Any) -> None:
        """The agent: `noack`, since a message is done when its checkpoint is; no `take`, which acks by itself."""
        async for event in stream.noack().events():
            await self.owner.take(event.message)

    async def _on_revoked(self, *_: Any, **__: Any) -> None:
        self.owner.revoked()
        internals.forget_changelog(self._app, self._table)

    async def _on_assigned(self, *_: Any, **__: Any) -> None:
        """Before the recovery of this assignment: its task has been woken, but not run."""
        self.owner.assigned()

    async def _on_recover(self) -> None:
        try:
            internals.stop_flow(self._app)
            if internals.recovered_generation(self._app) != internals.generation(self._app):
                return
            taken = self.owner.recovered(
                internals.generation(self._app),
                internals.assigned_partitions(self._app, self._spec.input_topic),
                internals.changelog(self._table),
            )
            if taken:
                internals.forget_values(self._table)
        except Exception as error:
            # Faust waits for its callbacks with asyncio.wait, which swallows what they raise, and goes on.
            log.exception("recovery failed", role=self._spec.role)
            die(ExitReason.RECOVERY_FAILED, role=self._spec.role, error=repr(error))

    def _membership_lost(self) -> None:
        die(ExitReason.MEMBERSHIP_LOST, role=self._spec.role)

    def _ack(self, message: Any) -> None:
        internals.ack(self._app, message)

    def _send(self, output: Output) -> Awaitable[asyncio.Future[Any]]:
        return internals.send(self._app, output)

    async def _end_offsets(self) -> dict[int, int]:
        try:
            return await internals.end_offsets(self._app, self._spec.input_topic, set(self.owner.partitions))
        except KafkaError as error:
            # A broker that is away for a while ends no worker here; a producer that gives up does.
            log.warning("end offsets unknown", role=self._spec.role, error=repr(error))
            return {}

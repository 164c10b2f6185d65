"""DECIDER: `tokenfuse.signals` in; alerts, kill switches and control blocks out. The decisions are in `decide.decider`.

Beside it run the command forwarder, the rules poller, the switch repair and the id watch, each until `stop`.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Final

import structlog

from tokenfuse.contracts.alert import Alert, encode_alert
from tokenfuse.contracts.block import Control, encode_block
from tokenfuse.contracts.cloudevents import to_binary
from tokenfuse.contracts.expectation import encode_expectation
from tokenfuse.contracts.killswitch import GENERATION_HEADER, Switch, encode_switch
from tokenfuse.contracts.scope import scope_key
from tokenfuse.contracts.signal import decode_signal
from tokenfuse.contracts.topics import ALERTS, DECIDER_CHECKPOINT, DELTAS, EXPECTATIONS, KILLSWITCH, SIGNALS
from tokenfuse.decide.decider import DeciderCore, ExpectationChange, Outputs, Reason, SwitchChange
from tokenfuse.runtime import metrics
from tokenfuse.runtime.command_forwarder import CommandForwarder
from tokenfuse.runtime.id_watch import IdWatch
from tokenfuse.runtime.rules_poller import RulesPoller
from tokenfuse.runtime.statelog.core import Output
from tokenfuse.runtime.statelog.owner import Owner, StateLogSpec
from tokenfuse.runtime.statelog.run import prepare
from tokenfuse.runtime.switch_repair import SwitchRepair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tokenfuse.runtime.settings import Settings

GROUP: Final = "tokenfuse.decider"
SOURCE: Final = "tokenfuse/decider"

log = structlog.get_logger(__name__)


async def run_decider(settings: Settings, stop: asyncio.Event, ready: Callable[[bool], None]) -> None:
    """Decide until `stop` is set. A second decider stands by: the input has one partition.

    Args:
        ready: told True while this process has joined and what it was given is recovered.

    Raises:
        KafkaError: the broker cannot be reached.
        TopicsNotReadyError: a topic is missing or has the wrong number of partitions.
    """
    worker = await prepare(settings, decider_spec(settings), ready)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run(stop), name="decider")
        group.create_task(CommandForwarder(settings).run(stop), name="command-forwarder")
        group.create_task(
            RulesPoller(settings, lambda: deciding(worker.owner)).run(stop), name="rules-poller"
        )
        group.create_task(SwitchRepair(settings, worker.owner).run(stop), name="switch-repair")
        watch = IdWatch(settings, lambda: deciding(worker.owner) is not None)
        group.create_task(watch.run(stop), name="id-watch")


def deciding(owner: Owner) -> DeciderCore | None:
    """The decider, if it is this process that decides now."""
    partition = owner.core(0)
    return partition.core if isinstance(partition, DeciderPartition) else None


def decider_spec(settings: Settings) -> StateLogSpec:
    """The state log of the decider."""
    return StateLogSpec(
        role="decider",
        group=settings.topic(GROUP),
        input_topic=settings.topic(SIGNALS),
        checkpoint_topic=settings.topic(DECIDER_CHECKPOINT),
        partitions=1,
        factory=DeciderFactory(settings),
    )


class DeciderFactory:
    """Makes `DeciderPartition`s."""

    def __init__(self, settings: Settings) -> None:
        self._deltas_partitions = settings.deltas_partitions
        self._topics = Topics(settings)

    def empty(self, partition: int) -> DeciderPartition:  # noqa: ARG002 - there is one
        """The decider from the beginning of the signals on."""
        return DeciderPartition(DeciderCore(self._deltas_partitions), self._topics)

    def restore(self, partition: int, head: bytes, rows: Mapping[str, bytes]) -> DeciderPartition:  # noqa: ARG002
        """The decider from a checkpoint on."""
        core = DeciderCore.restore(rows, self._deltas_partitions)
        return DeciderPartition(core, self._topics, rows)


class Topics:
    """Where the decider's messages go, and how they are written."""

    def __init__(self, settings: Settings) -> None:
        self._alerts = settings.topic(ALERTS)
        self._killswitch = settings.topic(KILLSWITCH)
        self._expectations = settings.topic(EXPECTATIONS)
        self._deltas = settings.topic(DELTAS)
        self._deltas_partitions = settings.deltas_partitions

    def alert(self, alert: Alert) -> Output:
        """One transition of one alert, as a CloudEvent in binary mode."""
        headers, value = to_binary(
            encode_alert(alert),
            {
                "id": f"{alert.fingerprint}-{alert.seq}",
                "source": SOURCE,
                "type": "io.tokenfuse.alert.v1",
                "time": alert.at,
                "subject": scope_key(alert.scope) or "everything",
            },
        )
        return Output(self._alerts, alert.fingerprint.encode(), value, 0, tuple(headers))

    def switch(self, change: SwitchChange) -> Output:
        """A switch, its tombstone, or the heartbeat; a switch is a CloudEvent in binary mode."""
        value = None if change.value is None else encode_switch(change.value)
        headers = [(GENERATION_HEADER, str(change.generation).encode())]
        if isinstance(change.value, Switch):
            attributes = {
                "id": f"{change.key}-{change.generation}",
                "source": SOURCE,
                "type": "io.tokenfuse.killswitch.v1",
                "time": change.value.engaged_at,
                "subject": change.key,
                "expirytime": change.value.expires_at,
            }
            headers += to_binary(b"", attributes)[0]
        return Output(self._killswitch, change.key.encode(), value, 0, tuple(headers))

    def expectation(self, change: ExpectationChange) -> Output:
        """A planned change or what feedback taught, or the tombstone of one that is over."""
        value = None if change.value is None else encode_expectation(change.value)
        headers = ((GENERATION_HEADER, str(change.generation).encode()),)
        return Output(self._expectations, change.key.encode(), value, 0, headers)

    def control(self, control: Control) -> Iterator[Output]:
        """One control block, into every partition: it is in force at one point of each log."""
        block = encode_block(control)
        for partition in range(self._deltas_partitions):
            yield Output(self._deltas, str(partition).encode(), block, partition)


class DeciderPartition:
    """`DeciderCore` between bytes and bytes.

    Which rows changed is told by their bytes: no change of an alert can be forgotten. 50,000 alerts cost 0.1 s a time.
    """

    def __init__(self, core: DeciderCore, topics: Topics, rows: Mapping[str, bytes] | None = None) -> None:
        self.core = core
        self.topics = topics
        self._rows: dict[str, bytes] | None = None
        self._written = {name: _digest(row) for name, row in (rows or {}).items()}
        self._dropped: list[str] = []

    def apply(self, offset: int, value: bytes) -> Sequence[Output]:
        """One signal."""
        out = self.core.apply(offset, decode_signal(value))
        self._rows = None
        self._note(out)
        return [
            # Switches first: they stop the spending, the rest explains it.
            *map(self.topics.switch, out.switches),
            *map(self.topics.alert, out.alerts),
            *map(self.topics.expectation, out.expectations),
            *(output for control in out.controls for output in self.topics.control(control)),
        ]

    def _note(self, out: Outputs) -> None:
        for refusal in out.refused:
            metrics.REFUSED_TOTAL.labels(refusal.reason.value).inc()
            if refusal.reason is not Reason.REPLAYED:
                log.warning("refused", reason=refusal.reason.value, detail=refusal.detail)
        metrics.KILLSWITCH_ACTIVE.set(len(self.core.engaged()))
        if out.alerts:
            for state, count in self.core.alert_counts().items():
                metrics.ALERTS.labels(state).set(count)
            for reason, held in self.core.held_counts().items():
                metrics.ALERTS_HELD.labels(reason).set(held)

    def dirty_rows(self) -> Sequence[str]:
        """Rows whose bytes are others than when they were last taken."""
        rows = self._encoded()
        gone = self._written.keys() - rows.keys()
        self._dropped += sorted(gone)
        for name in gone:
            del self._written[name]
        return [name for name, row in rows.items() if self._written.get(name) != _digest(row)]

    def dropped_rows(self) -> Sequence[str]:
        """Groups of alerts of which none is left."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def snapshot(self, row: str) -> bytes:
        """One row."""
        data = self._encoded()[row]
        self._written[row] = _digest(data)
        return data

    def head(self) -> bytes:
        """Nothing beside the rows; the last thing that a checkpoint asks for."""
        self._rows = None
        return b""

    def _encoded(self) -> dict[str, bytes]:
        if self._rows is None:
            self._rows = self.core.snapshot()
        return self._rows


def _digest(row: bytes) -> bytes:
    return hashlib.blake2b(row, digest_size=16).digest()

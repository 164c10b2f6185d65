"""What this process owns: partitions come with a recovery, go with a revocation, and take messages in between."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from tokenfuse.contracts.formats import UnknownFormatError
from tokenfuse.runtime import metrics
from tokenfuse.runtime.statelog.core import InputGapError
from tokenfuse.runtime.statelog.exits import ExitReason, die
from tokenfuse.runtime.statelog.ledger import Ledger
from tokenfuse.runtime.statelog.partition import Partition
from tokenfuse.runtime.statelog.recovery import (
    Checkpoint,
    IncompleteCheckpointError,
    by_partition,
    newest_checkpoint,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tokenfuse.runtime.statelog.core import CoreFactory, Output, PartitionCore
    from tokenfuse.runtime.statelog.partition import Send
    from tokenfuse.runtime.statelog.watchdog import Pulse

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StateLogSpec:
    """One kind of worker.

    Attributes:
        role: name in logs and metrics, e.g. `agents`.
        group: consumer group, full name.
        input_topic, checkpoint_topic: full names, with the same number of partitions.
    """

    role: str
    group: str
    input_topic: str
    checkpoint_topic: str
    partitions: int
    factory: CoreFactory


class Owner:
    """The partitions of one worker under one generation of its consumer group.

    Attributes:
        epoch: grows with every change of ownership; what was begun under an older one must not ack or delete.
    """

    def __init__(
        self,
        spec: StateLogSpec,
        send: Send,
        ack: Callable[[Any], None],
        pulse: Pulse,
        ready: Callable[[bool], None],
    ) -> None:
        self.spec = spec
        self.epoch = 0
        self.partitions: dict[int, Partition] = {}
        self.waiting_since: float | None = time.monotonic()
        self._generation: int | None = None
        self._assigned = False
        self._send = send
        self._ack = ack
        self._pulse = pulse
        self._ready = ready

    def core(self, partition: int) -> PartitionCore | None:
        """The core of a partition, if this process owns it now."""
        owned = self.partitions.get(partition)
        return owned.core if owned else None

    async def say(self, partition: int, outputs: Callable[[PartitionCore], Iterable[Output]]) -> None:
        """Send what follows from a core's state as it stands, in one order with what follows from its messages."""
        if owned := self.partitions.get(partition):
            await owned.say(outputs, self._guarded_send)

    def positions(self) -> dict[int, int]:
        """Next offset by input partition."""
        return {index: partition.next_offset for index, partition in self.partitions.items()}

    @property
    def is_assigned(self) -> bool:
        """Whether the group has given us partitions and not taken them back."""
        return self._assigned

    def assigned(self) -> None:
        """The group gave us partitions; their recovery begins."""
        self._assigned = True
        self._pulse.renewed(time.monotonic())

    def revoked(self) -> None:
        """Drop everything: another process may own it in a moment, and what we keep would be a guess."""
        self.epoch += 1
        self.partitions = {}
        self._assigned = False
        self._generation = None
        self._pulse.released()
        self.waiting_since = time.monotonic()
        self._ready(False)  # noqa: FBT003 - the caller's callback

    def recovered(
        self, generation: int, partitions: Iterable[int], changelog: Iterable[tuple[bytes, bytes | None]]
    ) -> bool:
        """Take over partitions from their checkpoints. False: this recovery is of an assignment that is over.

        A recovery may end when its partitions are being taken away already; its rows say nothing of the new ones.
        """
        if not self._assigned:
            return False
        began = time.monotonic()
        values = by_partition(changelog)
        self.epoch += 1
        self._generation = generation
        self.partitions = {
            index: self._read_back(index, values.get(index, {})) for index in sorted(partitions)
        }
        self.waiting_since = None
        metrics.RECOVERY_SECONDS.labels(self.spec.role).set(time.monotonic() - began)
        log.info("recovered", role=self.spec.role, generation=generation, positions=self.positions())
        self._ready(True)  # noqa: FBT003 - the caller's callback
        return True

    def _read_back(self, index: int, values: dict[bytes, bytes]) -> Partition:
        try:
            return self._restore(index, values)
        except UnknownFormatError as error:
            # Before anything of ours is written: the checkpoint stays as it is for the release that reads it.
            die(ExitReason.UNKNOWN_FORMAT, role=self.spec.role, partition=index, error=str(error))

    def _restore(self, index: int, values: dict[bytes, bytes]) -> Partition:
        checkpoint = self._newest(index, values)
        factory = self.spec.factory
        if checkpoint.offset < 0:
            core = factory.empty(index)
        else:
            core = factory.restore(index, checkpoint.head, checkpoint.rows)
        # A fresh incarnation for every take-over, of our own earlier ones too: its keys have no other writer.
        ledger = Ledger(index, secrets.token_hex(8), set(checkpoint.rows), checkpoint.keys)
        return Partition(index, core, ledger, checkpoint.offset + 1, settled_at=time.monotonic())

    def _newest(self, index: int, values: dict[bytes, bytes]) -> Checkpoint:
        try:
            return newest_checkpoint(values)
        except IncompleteCheckpointError as error:
            die(ExitReason.CHECKPOINT_INCOMPLETE, role=self.spec.role, partition=index, error=str(error))

    async def take(self, message: Any) -> None:
        """Apply one message of the input topic, exactly once and in order."""
        self._pulse.check()
        partition = self.partitions.get(message.partition)
        if partition is None or message.generation_id != self._generation:
            return  # fetched for an earlier assignment: neither ours to apply nor to ack
        if message.offset < partition.next_offset:
            self._ack(message)  # in the checkpoint already
        elif message.offset > partition.next_offset:
            # Faust lost something on the way, or it expired. Seeking back from here is ignored by Faust's fetcher,
            # so recovery in a new process does it.
            self._die(ExitReason.INPUT_GAP, message, wanted=partition.next_offset)
        else:
            await self._apply(partition, message)

    async def _apply(self, partition: Partition, message: Any) -> None:
        try:
            await partition.apply(message, time.monotonic(), self._guarded_send)
        except UnknownFormatError as error:
            self._die(ExitReason.UNKNOWN_FORMAT, message, error=str(error))
        except InputGapError as error:
            self._die(ExitReason.INPUT_GAP, message, error=str(error))
        except Exception as error:
            # Faust would ack the message and go on without it.
            log.exception("core failed", role=self.spec.role)
            self._die(ExitReason.CORE_FAILED, message, error=repr(error))

    async def _guarded_send(self, output: Output) -> Any:
        try:
            return await self._send(output)
        except Exception as error:
            die(ExitReason.OUTPUT_FAILED, role=self.spec.role, topic=output.topic, error=repr(error))

    def _die(self, reason: ExitReason, message: Any, **context: Any) -> None:
        die(reason, role=self.spec.role, partition=message.partition, offset=message.offset, **context)

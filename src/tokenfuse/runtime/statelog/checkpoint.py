"""The checkpoint: outputs, then rows, then the head, then acks, then deletions; each step durable before the next."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import structlog

from tokenfuse.runtime import metrics
from tokenfuse.runtime.statelog.core import Output
from tokenfuse.runtime.statelog.exits import ExitReason, die
from tokenfuse.runtime.statelog.rows import ROW_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tokenfuse.runtime.statelog.ledger import Cut
    from tokenfuse.runtime.statelog.owner import Owner
    from tokenfuse.runtime.statelog.partition import Partition, Send
    from tokenfuse.runtime.statelog.watchdog import Pulse

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 0.25
CALM_POLL_SECONDS: Final = 1.0
"""While nothing is unsettled: what comes then is settled so much later at most."""

TIMEOUT_SECONDS: Final = 60.0
"""A broker may stall this long; after that a restart is the better bet."""

BATCH_BYTES_MAX: Final = 32 * 1024 * 1024
"""Bytes of rows in the producer at a time; one partition's checkpoint is never split."""

REST_SECONDS_MAX: Final = 1.0
"""Nothing is applied while a partition is cut, most of a second for 60,000 new scopes: messages then have a turn as long,
in hundredths of a second, and after a short cut one turn of the loop."""

CUT_SHARE_MAX: Final = 0.1
"""Of a worker's time: where cuts take more, checkpoints come less often than settings ask for, and a restart repeats more."""

PACE_SECONDS_MAX: Final = 60.0
"""With 15 a worker whose state takes longer spent a quarter of its time on cuts, and fell behind (ADR 11)."""

Taken = tuple["Partition", "Cut", "list[asyncio.Future[Any]]"]


class Checkpointer:
    """Writes the checkpoints of what an `Owner` holds, beside the stream: messages go on being applied meanwhile."""

    def __init__(
        self, owner: Owner, send: Send, ack: Callable[[Any], None], pulse: Pulse, interval_seconds: float
    ) -> None:
        self._owner = owner
        self._send = send
        self._ack = ack
        self._pulse = pulse
        self._interval_seconds = interval_seconds
        self._turn = asyncio.Lock()
        self._finished = False

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            unsettled = any(partition.unsettled for partition in self._owner.partitions.values())
            await asyncio.sleep(POLL_SECONDS if unsettled else CALM_POLL_SECONDS)
            now, partitions = time.monotonic(), self._owner.partitions.values()
            await self.write([p for p in partitions if p.unsettled and now - p.settled_at >= self.pace(p)])

    def pace(self, partition: Partition) -> float:
        """Seconds between two checkpoints of a partition, so that those of all together keep to their share."""
        fair = partition.cut_seconds * len(self._owner.partitions) / CUT_SHARE_MAX
        return max(self._interval_seconds, min(fair, PACE_SECONDS_MAX))

    async def finish(self) -> None:
        """One last checkpoint of everything, before a graceful stop; `run` writes none after it.

        Let it end before `run` is cancelled: what a cancelled checkpoint took would be missing from the next one.
        """
        await self.write([p for p in self._owner.partitions.values() if p.unsettled])
        self._finished = True

    async def write(self, partitions: Iterable[Partition]) -> None:
        """Checkpoint these partitions, those that waited longest first.

        A failure ends the process: the rows that were taken are no longer marked dirty, so that a later head in this
        process would vouch for rows that were never written.
        """
        epoch = self._owner.epoch
        try:
            async with self._turn:
                waiting = sorted(partitions, key=lambda p: p.settled_at, reverse=True)
                while waiting and self._owner.epoch == epoch and not self._finished:
                    async with asyncio.timeout(TIMEOUT_SECONDS):
                        await self._batch(await self._take(waiting), epoch)
        except Exception as error:
            log.exception("checkpoint failed", role=self._owner.spec.role)
            die(ExitReason.CHECKPOINT_FAILED, role=self._owner.spec.role, error=repr(error))

    async def _take(self, waiting: list[Partition]) -> list[Taken]:
        taken: list[Taken] = []
        size = 0
        while waiting and size < BATCH_BYTES_MAX:
            partition = waiting.pop()
            cut, outputs = await partition.cut()
            taken.append((partition, cut, outputs))
            size += cut.size_bytes
            await asyncio.sleep(round(min(partition.cut_seconds, REST_SECONDS_MAX), 2))
        return taken

    async def _batch(self, taken: list[Taken], epoch: int) -> None:
        role = self._owner.spec.role
        with metrics.CHECKPOINT_SECONDS.labels(role).time():
            await self._durable(taken)
        if self._owner.epoch != epoch:
            # Whole and right, but no longer ours: the new owner's rows and positions are left alone.
            metrics.CHECKPOINTS_TOTAL.labels(role, "late").inc(len(taken))
            return
        now = time.monotonic()
        for partition, cut, _ in taken:
            partition.settle(cut.offset, now, self._ack)
        metrics.CHECKPOINTS_TOTAL.labels(role, "written").inc(len(taken))
        # Before the next cut of these partitions: its head no longer names the rows that were dropped with this one.
        await self._send_rows((p.index, key, None) for p, cut, _ in taken for key in cut.obsolete)

    async def _durable(self, taken: list[Taken]) -> None:
        """Outputs first: a head says that everything up to its offset has been said."""
        await asyncio.gather(*(output for _, _, outputs in taken for output in outputs))
        await self._send_rows((p.index, key, value) for p, cut, _ in taken for key, value in cut.rows)
        await self._send_rows((p.index, *cut.head) for p, cut, _ in taken)

    async def _send_rows(self, rows: Iterable[tuple[int, bytes, bytes | None]]) -> None:
        """Not by `Table.send_changelog`: a row that the producer refuses would leave its future pending for ever."""
        self._pulse.check()
        topic, sent = self._owner.spec.checkpoint_topic, []
        for partition, key, value in rows:
            if value is not None and len(value) > ROW_BYTES_MAX:
                die(
                    ExitReason.CHECKPOINT_TOO_LARGE,
                    key=key.decode(),
                    bytes=len(value),
                    bytes_max=ROW_BYTES_MAX,
                )
            sent.append(await self._send(Output(topic, key, value, partition)))
        await asyncio.gather(*sent)

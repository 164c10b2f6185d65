"""One role as a process, by the product's own command, with traps: `worker.py --role R --traps DIR [--break B]`.

Where DIR/<pid> says `<place> <kill|stop> <n>` the process kills or stops itself the n-th time that it comes there:

    fence       ingest: the fence is committed, nothing of the slice is out
    slice       ingest: n messages of the slice are durable, the rest is not out
    emit        agents, decider: the state has changed, its outputs are not sent
    rows head   agents, decider: before the rows of a checkpoint, between rows and head
    ack         agents, decider: the checkpoint is durable, nothing of it is acked
    tombstones  agents, decider: acked, obsolete keys are not deleted
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.chaos import breakage

from tokenfuse.contracts import topics
from tokenfuse.runtime.ingest import outbox, worker as ingest_worker
from tokenfuse.runtime.statelog.checkpoint import Checkpointer
from tokenfuse.runtime.statelog.owner import Owner
from tokenfuse.runtime.statelog.partition import Partition

PR_SET_PDEATHSIG = 1
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class Traps:
    """Looks for the file that sets a trap for this process."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / str(os.getpid())
        self._left = 0

    def at(self, place: str) -> bool:
        """Whether a trap is set at this place and this is its time."""
        try:
            wanted, _, count = self._file.read_text().split()
        except (OSError, ValueError):
            return False
        if wanted != place:
            return False
        self._left = (self._left or int(count)) - 1
        return self._left == 0

    def spring(self, place: str) -> None:
        """Kill or stop this process, if that is what the file says."""
        if self.at(place):
            self.fire()

    def fire(self) -> None:
        place, action, _ = self._file.read_text().split()
        self._file.unlink()
        print(f"TRAP {place} {action}", file=sys.stderr, flush=True)
        os.kill(os.getpid(), SIGNALS[action])


class TrappedProducer:
    """A real producer that dies among the messages of a slice, once those before are durable."""

    def __init__(self, producer: Any, deltas: str, traps: Traps) -> None:
        self._producer, self._deltas, self._traps = producer, deltas, traps
        self._acks: list[Any] = []

    async def send(self, topic: str, *args: Any, **kwargs: Any) -> Any:
        ack = await self._producer.send(topic, *args, **kwargs)
        if topic == self._deltas:
            self._acks = [*(each for each in self._acks if not each.done()), ack]
            if self._traps.at("slice"):
                await asyncio.gather(*self._acks)
                self._traps.fire()
        return ack


def trap_ingest(traps: Traps) -> None:
    class TrappedOutbox(outbox.Outbox):
        def __init__(self, producer: Any, settings: Any) -> None:
            super().__init__(TrappedProducer(producer, settings.topic(topics.DELTAS), traps), settings)
            self._plain = producer

        async def send_slices(self, slices: Any) -> None:
            traps.spring("fence")
            await super().send_slices(slices)

        async def send_ticks(self, positions: Any, now_ms: int) -> None:
            trapped, self._producer = self._producer, self._plain
            try:
                await super().send_ticks(positions, now_ms)
            finally:
                self._producer = trapped

    ingest_worker.Outbox = TrappedOutbox  # type: ignore[misc]


def trap_state_log(traps: Traps) -> None:
    send_rows, settle, guarded_send = Checkpointer._send_rows, Partition.settle, Owner._guarded_send

    async def trapped_rows(self: Checkpointer, rows: Any) -> None:
        rows = list(rows)
        if rows:
            self._pulse.check()
            traps.spring("tombstones" if rows[0][2] is None else "head" if b"|head" in rows[0][1] else "rows")
            # The worst moment: as if the stop had come after the check, so that a zombie writes what it has in hand.
            self._pulse._last = time.monotonic()
        await send_rows(self, rows)

    def trapped_settle(self: Partition, *args: Any) -> None:
        traps.spring("ack")
        settle(self, *args)

    async def trapped_send(self: Owner, output: Any) -> Any:
        traps.spring("emit")
        return await guarded_send(self, output)

    Checkpointer._send_rows = trapped_rows  # type: ignore[method-assign]
    Partition.settle = trapped_settle  # type: ignore[method-assign]
    Owner._guarded_send = trapped_send  # type: ignore[method-assign]


def die_with_parent() -> None:
    """Linux: whatever becomes of the harness, nothing outlives it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--role", required=True)
    parser.add_argument("--traps", type=Path, required=True)
    parser.add_argument("--break", dest="broken", choices=sorted(breakage.BREAKAGES))
    options = parser.parse_args(arguments)
    die_with_parent()
    traps = Traps(options.traps)
    trap_ingest(traps) if options.role == "ingest" else trap_state_log(traps)
    if options.broken:
        breakage.BREAKAGES[options.broken](traps)
    from tokenfuse.cli.main import main as command

    sys.argv = ["tokenfuse", "run", "--role", options.role]
    command()

"""Nothing hangs silently: what stands still for too long ends the process, with a name."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from tokenfuse.runtime.statelog.exits import ExitReason, die

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from tokenfuse.runtime.statelog.owner import Owner

PULSE_SECONDS: Final = 0.5
STANDSTILL_SECONDS: Final = 2.0
"""A beat later than this is a process that was stopped, or starved; a loop under load is not so late."""

CHECK_SECONDS: Final = 2.0
RECOVERY_STALL_SECONDS: Final = 60.0
CHECKPOINT_STALL_SECONDS: Final = 120.0
INPUT_STALL_SECONDS: Final = 60.0


class Pulse:
    """Tells whether this process stood still (SIGSTOP, a paused machine) and may have lost its place meanwhile.

    Who wakes up after that is a zombie until its heartbeat is refused. What it would write is right, being a function
    of the log, but old: in a compacted topic it would bury what the new owner wrote after it.

    The broker counts from the last heartbeat that it got, so a stop that is shorter than the session may outlast it. A
    loop that is slow while heartbeats go on, from their own thread, has lost nothing: on a starved machine a restart would
    only starve it more. A broker that is silent ends nobody: while it is, it makes nobody else the owner.
    """

    def __init__(self, limit_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_seconds = limit_seconds
        self._clock = clock
        self._last = clock()
        self._renewed: float | None = None

    def renewed(self, asked_at: float) -> None:
        """The group said at or after this time that its partitions are ours. Called in the consumer's thread, too."""
        self._renewed = asked_at

    def released(self) -> None:
        """We own nothing that could be taken from us unnoticed."""
        self._renewed = None

    def check(self) -> None:
        """Ends the process if it may have lost its place while it stood still: call it before anything leaves it."""
        now, renewed = self._clock(), self._renewed
        stood_still = now - self._last
        if renewed is not None and now - renewed > self._limit_seconds and stood_still > STANDSTILL_SECONDS:
            die(ExitReason.SUSPENDED, seconds=round(stood_still, 1), limit_seconds=self._limit_seconds)

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            self.check()
            self._last = self._clock()
            await asyncio.sleep(PULSE_SECONDS)


class Watchdog:
    """Looks at one owner from outside the stream."""

    def __init__(
        self,
        owner: Owner,
        group_error: Callable[[], BaseException | None],
        recovery_progress: Callable[[], Hashable],
        end_offsets: Callable[[], Awaitable[dict[int, int]]],
        interval_seconds: float,
    ) -> None:
        self._owner = owner
        self._group_error = group_error
        self._recovery_progress = recovery_progress
        self._end_offsets = end_offsets
        self._checkpoint_seconds_max = CHECKPOINT_STALL_SECONDS + interval_seconds
        self._progress: tuple[Hashable, float] = (None, time.monotonic())
        self._positions: dict[int, int] = {}
        self._behind_since: dict[int, float] = {}
        self._beyond: set[int] = set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            self.check_group()
            self.check_recovery(time.monotonic())
            self.check_checkpoints(time.monotonic())
            await self.check_input(time.monotonic())

    def check_group(self) -> None:
        """The broker refused us for good."""
        if error := self._group_error():
            die(ExitReason.GROUP_FAILED, role=self._owner.spec.role, error=repr(error))

    def check_recovery(self, now: float) -> None:
        """Joining the group and reading the changelog may take long, but not without any progress.

        Faust can hang here with one INFO line: a changelog row that it dropped is never counted as read.
        """
        if self._owner.waiting_since is None:
            self._progress = (None, now)
            return
        progress = (self._owner.epoch, self._recovery_progress())
        if progress != self._progress[0]:
            self._progress = (progress, now)
        elif now - self._progress[1] > RECOVERY_STALL_SECONDS:
            die(ExitReason.RECOVERY_STALLED, role=self._owner.spec.role, seconds=RECOVERY_STALL_SECONDS)

    def check_checkpoints(self, now: float) -> None:
        """Commits stand still while input moves."""
        for partition in self._owner.partitions.values():
            if partition.unsettled and now - partition.unsettled_since > self._checkpoint_seconds_max:
                die(
                    ExitReason.CHECKPOINT_STALLED,
                    role=self._owner.spec.role,
                    partition=partition.index,
                    seconds=round(now - partition.unsettled_since, 1),
                )

    async def check_input(self, now: float) -> None:
        """The log grows, but its messages do not come: ask the broker, since a dead fetcher knows nothing new."""
        positions = self._owner.positions()
        unmoved = {index for index, offset in positions.items() if self._positions.get(index) == offset}
        ends = await self._end_offsets() if unmoved else {}
        self._check_beyond(
            {index for index, end in ends.items() if positions.get(index, 0) > end}, positions, ends
        )
        behind = {index for index in unmoved if ends.get(index, 0) > positions[index]}
        self._behind_since = {index: self._behind_since.get(index, now) for index in behind}
        self._positions = positions
        for index, since in self._behind_since.items():
            if now - since > INPUT_STALL_SECONDS:
                die(
                    ExitReason.INPUT_STALLED,
                    role=self._owner.spec.role,
                    partition=index,
                    next_offset=positions[index],
                    end_offset=ends[index],
                )

    def _check_beyond(self, beyond: set[int], positions: dict[int, int], ends: dict[int, int]) -> None:
        """The log is shorter than what the checkpoint took from it: what comes now would pass for known, unread.

        Asked twice: a leader that has just changed may not know its own end yet.
        """
        for index in beyond & self._beyond:
            die(
                ExitReason.INPUT_RECREATED,
                role=self._owner.spec.role,
                partition=index,
                next_offset=positions[index],
                end_offset=ends[index],
            )
        self._beyond = beyond

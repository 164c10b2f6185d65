"""One input partition that this process owns: its core, its position, and what is not durable yet."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from tokenfuse.runtime.statelog.core import Output, PartitionCore
    from tokenfuse.runtime.statelog.ledger import Cut, Ledger

    Send = Callable[[Output], Awaitable[asyncio.Future[Any]]]
    """Hands an output to the producer; what it returns is done when the broker has it."""


SENT_MIN: Final = 1000
"""Fewer outputs that wait for the broker's answer are not looked through."""


@dataclass(slots=True)
class Partition:
    """State at `next_offset - 1`, and the messages since the last checkpoint.

    Attributes:
        unsettled: messages in the state but in no checkpoint, without their values: acked when they are.
        settled_at: monotonic seconds of the last checkpoint, or of the take-over.
        unsettled_since: monotonic seconds of the oldest unsettled message, or of the last checkpoint if that is later.
        cut_seconds: how long the last cut took, during which nothing was applied.
    """

    index: int
    core: PartitionCore
    ledger: Ledger
    next_offset: int
    settled_at: float
    unsettled_since: float = 0.0
    unsettled: deque[Any] = field(default_factory=deque)
    cut_seconds: float = 0.0
    _sent: list[asyncio.Future[Any]] = field(default_factory=list)
    _look_through_at: int = SENT_MIN
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def apply(self, message: Any, now: float, send: Send) -> None:
        """Apply the next message and send what follows from it at once; the broker's answers are awaited later.

        The lock keeps a checkpoint from being cut between a change of state and the sending of its outputs.
        """
        async with self._lock:
            outputs = self.core.apply(message.offset, message.value)
            self.next_offset = message.offset + 1
            if not self.unsettled:
                self.unsettled_since = now
            message.value = None  # kept until the checkpoint for its ack only
            self.unsettled.append(message)
            for output in outputs:
                self._sent.append(await send(output))
            if len(self._sent) >= self._look_through_at:
                self._look_through()

    def _look_through(self) -> None:
        """The checkpoint need not wait for what the broker has: there may be a million outputs between two of them."""
        self._sent = [output for output in self._sent if not _is_sent(output)]
        self._look_through_at = 2 * len(self._sent) + SENT_MIN

    async def say(self, outputs: Callable[[PartitionCore], Iterable[Output]], send: Send) -> None:
        """Send what follows from the state between two messages."""
        async with self._lock:
            for output in outputs(self.core):
                self._sent.append(await send(output))

    async def cut(self) -> tuple[Cut, list[asyncio.Future[Any]]]:
        """A checkpoint at this moment, and the outputs that must be durable before it is."""
        async with self._lock:
            sent, self._sent = self._sent, []
            began = time.monotonic()
            cut = self.ledger.cut(self.next_offset - 1, self.core)
            self.cut_seconds = time.monotonic() - began
            return cut, sent

    def settle(self, offset: int, now: float, ack: Callable[[Any], None]) -> None:
        """The checkpoint at `offset` is durable."""
        while self.unsettled and self.unsettled[0].offset <= offset:
            ack(self.unsettled.popleft())
        self.settled_at = self.unsettled_since = now


def _is_sent(output: asyncio.Future[Any]) -> bool:
    """Whether the broker has it. What failed stays, for the checkpoint to fail by."""
    return output.done() and not output.cancelled() and output.exception() is None

"""One input partition that this process owns: its core, its position, and what is not durable yet."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from tokenfuse.runtime.statelog.core import Output, PartitionCore
    from tokenfuse.runtime.statelog.ledger import Cut, Ledger

    Send = Callable[[Output], Awaitable[Awaitable[Any]]]
    """Hands an output to the producer; what it returns is done when the broker has it."""


@dataclass(slots=True)
class Partition:
    """State at `next_offset - 1`, and the messages since the last checkpoint.

    Attributes:
        unsettled: messages in the state but in no checkpoint, without their values: acked when they are.
        settled_at: monotonic seconds of the last checkpoint, or of the take-over.
        unsettled_since: monotonic seconds of the oldest unsettled message, or of the last checkpoint if that is later.
    """

    index: int
    core: PartitionCore
    ledger: Ledger
    next_offset: int
    settled_at: float
    unsettled_since: float = 0.0
    unsettled: deque[Any] = field(default_factory=deque)
    _sent: list[Awaitable[Any]] = field(default_factory=list)
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

    async def say(self, outputs: Callable[[PartitionCore], Iterable[Output]], send: Send) -> None:
        """Send what follows from the state between two messages."""
        async with self._lock:
            for output in outputs(self.core):
                self._sent.append(await send(output))

    async def cut(self) -> tuple[Cut, list[Awaitable[Any]]]:
        """A checkpoint at this moment, and the outputs that must be durable before it is."""
        async with self._lock:
            sent, self._sent = self._sent, []
            return self.ledger.cut(self.next_offset - 1, self.core), sent

    def settle(self, offset: int, now: float, ack: Callable[[Any], None]) -> None:
        """The checkpoint at `offset` is durable."""
        while self.unsettled and self.unsettled[0].offset <= offset:
            ack(self.unsettled.popleft())
        self.settled_at = self.unsettled_since = now

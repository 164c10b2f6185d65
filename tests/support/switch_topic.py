"""The decider's side of the switch topic, for tests of its readers: same keys, values and headers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.contracts.killswitch import (
    GENERATION_HEADER,
    HEARTBEAT,
    Heartbeat,
    Switch,
    encode_switch,
    switch_key,
)
from tokenfuse.contracts.scope import scope_key
from tokenfuse.contracts.topics import KILLSWITCH

if TYPE_CHECKING:
    from types import TracebackType


async def create_topic(bootstrap_servers: str, name: str, partitions: int = 1) -> None:
    """Make a topic on either broker."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(name, partitions, 1)])
    finally:
        await admin.close()
    assert [code for _, code, _ in answer.topic_errors] == [0], answer


class SwitchWriter:
    """Writes engagements, releases and heartbeats with growing generations."""

    def __init__(self, bootstrap_servers: str, topic_prefix: str) -> None:
        self._topic = topic_prefix + KILLSWITCH
        self._producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all")
        self.generation = 0

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._producer.stop()

    async def engage(self, scope: dict[str, str], *, ttl_seconds: int = 3600, **fields: Any) -> Switch:
        """Write a switch."""
        now_ms = time.time_ns() // 1_000_000
        self.generation += 1
        said = {"action": "block", "mode": "enforce", "reason": "over the cap", "engaged_by": "cap", **fields}
        switch = Switch(
            scope=scope, engaged_at=to_rfc3339(now_ms), expires_at=to_rfc3339(now_ms + ttl_seconds * 1000),
            generation=self.generation, **said,
        )  # fmt: skip
        await self.write(switch_key(scope_key(scope)), encode_switch(switch))
        return switch

    async def release(self, scope: dict[str, str]) -> None:
        """Write the tombstone."""
        self.generation += 1
        await self.write(switch_key(scope_key(scope)), None)

    async def beat(self) -> None:
        """Write a heartbeat."""
        beat = Heartbeat(at=to_rfc3339(time.time_ns() // 1_000_000), generation=self.generation)
        await self.write(HEARTBEAT, encode_switch(beat))

    async def write(self, key: str, value: bytes | None) -> None:
        """Write anything."""
        headers = [(GENERATION_HEADER, str(self.generation).encode())]
        await self._producer.send_and_wait(self._topic, value, key=key.encode(), headers=headers)

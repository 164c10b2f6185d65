"""What the kill-switch topic says must be what the decider decided: here the two are compared, and the topic repaired.

A decider that was stopped and wakes up may write an old switch after the new decider's, or a release that is no longer
true. Gateways that were there drop it by its generation, but compaction keeps only the last record of a key: a gateway
that starts later would believe it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from tokenfuse.contracts.killswitch import GENERATION_HEADER, HEARTBEAT
from tokenfuse.contracts.topics import KILLSWITCH
from tokenfuse.decide.decider import DeciderCore, SwitchChange
from tokenfuse.runtime import kafka
from tokenfuse.runtime.broker import end_offsets
from tokenfuse.runtime.command_forwarder import wait

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiokafka import AIOKafkaConsumer

    from tokenfuse.runtime.settings import Settings
    from tokenfuse.runtime.statelog.core import Output
    from tokenfuse.runtime.statelog.owner import Owner

COMPARE_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 2.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """The last record of a key, which is the one that compaction keeps."""

    generation: int
    engaged: bool


def repairs(core: DeciderCore, topic: Mapping[str, Standing]) -> list[SwitchChange]:
    """What to write so that the topic says what the decider decided; nothing, if it does."""
    engaged = core.engaged()
    changes = [
        SwitchChange(key, switch, switch.generation)
        for key, switch in engaged.items()
        if topic.get(key) != Standing(switch.generation, engaged=True)
    ]
    stale = [key for key, standing in topic.items() if standing.engaged and key not in engaged]
    # Newer than whatever is being released: the state has passed every signal up to its offset.
    return changes + [SwitchChange(key, None, core.offset) for key in stale]


class SwitchRepair:
    """Follows the switch topic from its beginning, beside the decider."""

    def __init__(self, settings: Settings, owner: Owner) -> None:
        self._settings = settings
        self._owner = owner
        self._topic: dict[str, Standing] = {}
        self._suspects: list[SwitchChange] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; a broker that is away is tried again."""
        while not stop.is_set():
            try:
                await self._run(stop)
            except KafkaError as error:
                log.warning("the switch topic is compared when the broker is back", error=repr(error))
                await wait(stop, RETRY_SECONDS)

    async def _run(self, stop: asyncio.Event) -> None:
        tp = TopicPartition(self._settings.topic(KILLSWITCH), 0)
        self._topic.clear()
        async with kafka.started(kafka.consumer(self._settings, auto_offset_reset="earliest")) as consumer:
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            consumer.pause(tp)
            while not stop.is_set():
                await self._read_to_the_end(consumer, tp)
                await self._owner.say(0, self._compare)
                await wait(stop, COMPARE_SECONDS)

    async def _read_to_the_end(self, consumer: AIOKafkaConsumer, tp: TopicPartition) -> None:
        end = (await end_offsets(consumer, [tp]))[tp]
        if await consumer.position(tp) >= end:
            return
        consumer.resume(tp)
        while await consumer.position(tp) < end:
            for record in (await consumer.getmany(tp, timeout_ms=200)).get(tp, []):
                self._note(record)
        # Between comparisons nothing is waited for: asking the broker all the time is most of what this would cost.
        consumer.pause(tp)

    def _note(self, record: Any) -> None:
        key = (record.key or b"").decode()
        if key and key != HEARTBEAT:
            generation = int(dict(record.headers).get(GENERATION_HEADER, b"-1"))
            self._topic[key] = Standing(generation, engaged=record.value is not None)

    def _compare(self, partition: Any) -> Iterable[Output]:
        """Repair what was wrong at two comparisons: once, it may be on its way."""
        found = repairs(partition.core, self._topic)
        keys = {change.key for change in self._suspects}
        self._suspects = found
        confirmed = [change for change in found if change.key in keys]
        for change in confirmed:
            log.warning("switch repaired", key=change.key, engaged=change.value is not None)
        return [partition.topics.switch(change) for change in confirmed]

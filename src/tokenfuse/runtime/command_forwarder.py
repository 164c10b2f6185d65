"""Operators' commands, from `tokenfuse.commands` into the decider's one input log. At least once: ids make them unique."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog
from aiokafka.errors import KafkaError

from tokenfuse.contracts.command import Command, decode_command
from tokenfuse.contracts.signal import CommandSignal, encode_signal
from tokenfuse.contracts.topics import COMMANDS, SIGNALS
from tokenfuse.runtime import kafka, metrics

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    from tokenfuse.runtime.settings import Settings

GROUP: Final = "tokenfuse.command-forwarder"
POLL_MS: Final = 1000
RETRY_SECONDS: Final = 2.0

log = structlog.get_logger(__name__)


class CommandForwarder:
    """One consumer, one producer; a command is committed when the broker has its signal."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._signals = settings.topic(SIGNALS)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; a broker that is away is tried again."""
        while not stop.is_set():
            try:
                await self._run(stop)
            except KafkaError as error:
                log.warning("commands wait for the broker", error=repr(error))
                await wait(stop, RETRY_SECONDS)

    async def _run(self, stop: asyncio.Event) -> None:
        consumer = kafka.consumer(
            self._settings,
            self._settings.topic(COMMANDS),
            group_id=self._settings.topic(GROUP),
            # A new group forwards what was said before it existed; the decider drops ids it knows.
            auto_offset_reset="earliest",
            fetch_max_wait_ms=kafka.CALM_FETCH_WAIT_MS,
        )
        # Not idempotent: the embedded broker knows no producer ids, and a doubled command is dropped by its id.
        producer = kafka.producer(self._settings, enable_idempotence=False)
        async with kafka.started(consumer), kafka.started(producer):
            while not stop.is_set():
                await self._forward(consumer, producer)

    async def _forward(self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer) -> None:
        batches = await consumer.getmany(timeout_ms=POLL_MS)
        for records in batches.values():
            for record in records:
                if command := self._read(record):
                    await producer.send_and_wait(
                        self._signals,
                        encode_signal(CommandSignal(command=command)),
                        key=b"command|" + command.id.encode(),
                        partition=0,
                    )
        if batches:
            await consumer.commit()

    def _read(self, record: Any) -> Command | None:
        try:
            return decode_command(record.value or b"")
        except msgspec.DecodeError as error:
            metrics.REFUSED_TOTAL.labels("not_a_command").inc()
            log.warning("refused", reason="not_a_command", offset=record.offset, detail=str(error))
            return None


async def wait(stop: asyncio.Event, seconds: float) -> None:
    """Wait for some time, or less if `stop` is set."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return

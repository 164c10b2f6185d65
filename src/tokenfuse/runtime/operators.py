"""The operators' side of the topics: what stands on them now, and commands with what came of them."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from tokenfuse.contracts.alert import Alert, decode_alert
from tokenfuse.contracts.command import Command, encode_command
from tokenfuse.contracts.expectation import Expectation, decode_expectation
from tokenfuse.contracts.scope import scope_key
from tokenfuse.contracts.topics import ALERTS, COMMANDS, EXPECTATIONS, KILLSWITCH
from tokenfuse.gateway.reader import follow, partitions_of, read_to_end
from tokenfuse.gateway.view import Outcome, SwitchView
from tokenfuse.runtime import kafka

if TYPE_CHECKING:
    from tokenfuse.runtime.settings import Settings

CONFIRM_SECONDS: Final = 10.0
"""The decider answers within a second; after ten it is not there, or has refused."""

_FROM_DECIDER: Final = (Outcome.ENGAGED, Outcome.RELEASED, Outcome.HEARTBEAT)


def client_options(settings: Settings) -> dict[str, Any]:
    """What every aiokafka client takes, from settings: for the gateway's parts, which know no settings."""
    return {"bootstrap_servers": kafka.bootstrap_servers(settings), **kafka.security(settings)}


class SwitchBoard:
    """The switch topic as read so far.

    Attributes:
        alive_ms: when the last record of a decider was written, milliseconds since the epoch; None: never.
    """

    def __init__(self) -> None:
        self.view = SwitchView()
        self.alive_ms: int | None = None

    def take(self, record: Any) -> Outcome:
        """Apply one record of the topic."""
        outcome = self.view.apply(record.key, record.value, record.headers)
        if outcome in _FROM_DECIDER:
            self.alive_ms = max(self.alive_ms or 0, record.timestamp)
        return outcome


class AlertBoard:
    """The alerts topic as read so far: the newest transition of each alert, by fingerprint."""

    def __init__(self) -> None:
        self.alerts: dict[str, Alert] = {}
        self.unreadable = 0

    def take(self, record: Any) -> None:
        """Apply one record of the topic; one that cannot be read is counted."""
        if record.value is None:
            self.alerts.pop((record.key or b"").decode(errors="replace"), None)
            return
        try:
            alert = decode_alert(record.value)
        except msgspec.DecodeError:
            self.unreadable += 1
            return
        known = self.alerts.get(alert.fingerprint)
        if known is None or alert.seq > known.seq:
            self.alerts[alert.fingerprint] = alert


class ExpectationBoard:
    """The expectations topic as read so far, by key: what is in force, without what is over."""

    def __init__(self) -> None:
        self.expectations: dict[str, Expectation] = {}
        self.unreadable = 0

    def take(self, record: Any) -> None:
        """Apply one record of the topic; one that cannot be read is counted."""
        key = (record.key or b"").decode(errors="replace")
        if record.value is None:
            self.expectations.pop(key, None)
            return
        try:
            self.expectations[key] = decode_expectation(record.value)
        except msgspec.DecodeError:
            self.unreadable += 1


async def read_switches(settings: Settings) -> SwitchBoard:
    """The switch topic to its end.

    Raises:
        ReadAgainError: the topic is missing. KafkaError: the broker does not answer.
    """
    board = SwitchBoard()
    for record in await read_to_end(settings.topic(KILLSWITCH), client_options(settings)):
        board.take(record)
    return board


async def read_alerts(settings: Settings) -> AlertBoard:
    """The alerts topic to its end. Raises as `read_switches`."""
    board = AlertBoard()
    for record in await read_to_end(settings.topic(ALERTS), client_options(settings)):
        board.take(record)
    return board


async def read_expectations(settings: Settings) -> ExpectationBoard:
    """The expectations topic to its end. Raises as `read_switches`."""
    board = ExpectationBoard()
    for record in await read_to_end(settings.topic(EXPECTATIONS), client_options(settings)):
        board.take(record)
    return board


class Confirmation(Protocol):
    """How a command shows on the topic that it changes."""

    topic: str
    """Name without prefix."""

    def take(self, record: Any) -> object:
        """One record of the topic, from its beginning on."""

    def sending(self) -> bool:
        """Everything up to now was taken. False: there is nothing that could show, so do not wait."""

    def done(self) -> bool:
        """Whether what came since shows that the command was carried out."""


async def carry_out(settings: Settings, command: Command, confirmation: Confirmation) -> bool:
    """Send a command to the decider and wait until its effect shows, at most CONFIRM_SECONDS.

    Returns:
        False: sent, and nothing showed within the time.

    Raises:
        ReadAgainError: a topic is missing. KafkaError: the broker does not answer, or refuses the command.
    """
    sent_at: float | None = None
    waits = True
    async with contextlib.aclosing(
        follow(settings.topic(confirmation.topic), client_options(settings))
    ) as chunks:
        async for chunk in chunks:
            for record in chunk.records:
                confirmation.take(record)
            if sent_at is None and chunk.caught_up:
                waits = confirmation.sending()
                await send(settings, command)
                sent_at = time.monotonic()
            if sent_at is not None and (not waits or confirmation.done()):
                return True
            if sent_at is not None and time.monotonic() - sent_at > CONFIRM_SECONDS:
                return False
    raise AssertionError("unreachable: `follow` does not end")


async def send(settings: Settings, command: Command) -> None:
    """Put a command on `tokenfuse.commands`. Its id makes it safe to send twice, so the producer need not be idempotent.

    Raises:
        ReadAgainError: the topic is missing. KafkaError: the broker does not take it.
    """
    topic = settings.topic(COMMANDS)
    await partitions_of(topic, client_options(settings))
    key = command.fingerprint or scope_key(command.scope or {}) or command.kind
    timeout_ms = int(CONFIRM_SECONDS * 1000)
    sender = kafka.producer(settings, enable_idempotence=False, request_timeout_ms=timeout_ms)
    async with kafka.started(sender) as producer:
        await producer.send_and_wait(topic, encode_command(command), key=key.encode())

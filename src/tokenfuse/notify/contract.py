"""The contract of an integration: one method, three outcomes, and every failure has a reason."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from tokenfuse.contracts.alert import Alert, AlertState, Severity


class Reason(StrEnum):
    """Why a notification failed: the metric's label, the field in the log and the text of `notify test`."""

    CLIENT_ERROR = "client_error"
    SERVER_ERROR = "server_error"
    AUTH_ERROR = "auth_error"
    CHANNEL_ERROR = "channel_error"
    RATE_LIMITED = "rate_limited"
    TIMEOUT = "timeout"
    NETWORK_ERROR = "network_error"
    INTERNAL_ERROR = "internal_error"
    UNREADABLE = "unreadable"


class Delivered(Struct, frozen=True, kw_only=True):
    """The receiver has it. `reference` names the message there, for later changes of the same incident."""

    reference: str


class Retry(Struct, frozen=True, kw_only=True):
    """May work later. `after_seconds`: what the receiver asked for, None: back off as the policy says."""

    after_seconds: float | None
    reason: Reason
    detail: str = ""


class Failed(Struct, frozen=True, kw_only=True):
    """Will never work, so no second try. `detail` says what the operator should do."""

    reason: Reason
    detail: str = ""


Outcome = Delivered | Retry | Failed


class DeliveryRecord(Struct, frozen=True, kw_only=True):
    """What an integration last told about an incident.

    Attributes:
        done: see `done_about`.
        reference: the message at the receiver; None where an earlier life of this process sent it.
        sent_at_seconds: monotonic clock of this process.
    """

    fingerprint: str
    starts_at: str
    seq: int
    state: AlertState
    severity: Severity
    acked_by: str | None
    done: str
    reference: str | None
    sent_at_seconds: float

    def covers(self, incident: Alert) -> bool:
        """Whether the record is about the same incident: the same alert firing again later is a new one."""
        return (self.fingerprint, self.starts_at) == (incident.fingerprint, incident.starts_at)


def record_of(alert: Alert, reference: str | None, sent_at_seconds: float) -> DeliveryRecord:
    """The record of a transition that was told."""
    return DeliveryRecord(
        fingerprint=alert.fingerprint,
        starts_at=alert.starts_at,
        seq=alert.seq,
        state=alert.state,
        severity=alert.severity,
        acked_by=alert.acked_by,
        done=done_about(alert),
        reference=reference,
        sent_at_seconds=sent_at_seconds,
    )


def done_about(alert: Alert) -> str:
    """What is being done about an alert, without the figures: a change of it is news, an extension is not."""
    switch = alert.enforcement
    return f"{switch.mode} {switch.action}" if switch else alert.switch_refused or ""


class Notifier(Protocol):
    """One integration.

    Attributes:
        name: label of metrics and suffix of the consumer group.
        severities: what it takes.
        update_seconds_min: least time between two updates of a firing incident; None: it takes no updates.
    """

    name: str
    severities: frozenset[str]
    update_seconds_min: float | None

    async def send(self, incident: Alert, earlier: DeliveryRecord | None) -> Outcome:
        """Bring the receiver to the state of `incident`.

        Called once at a time, again after a crash with the same incident: the second call must not post twice.
        May take as long as it bounds itself to, must not block the event loop, and must not raise for what the
        receiver or the network does.

        Args:
            incident: the newest transition.
            earlier: what was last delivered of the same incident, None: nothing that this process knows of.
        """

    async def close(self) -> None:
        """Free connections and threads; called once, at the end."""

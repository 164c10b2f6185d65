"""Selection: which transitions an integration is told, and why it is not told the others."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from tokenfuse.contracts.clock import from_rfc3339
from tokenfuse.notify.contract import done_about

if TYPE_CHECKING:
    from tokenfuse.contracts.alert import Alert
    from tokenfuse.notify.contract import DeliveryRecord, Notifier


class Skip(StrEnum):
    """Why a transition is not told."""

    NOT_NEWER = "not_newer"
    PENDING = "pending"
    HELD = "held"
    NEVER_TOLD = "never_told"
    SEVERITY = "severity"
    INHIBITED = "inhibited"
    SILENCED = "silenced"
    NO_UPDATES = "no_updates"


def skip(alert: Alert, earlier: DeliveryRecord | None, notifier: Notifier) -> Skip | None:
    """Why this transition is not told, or None: it is.

    A resolution is told to everyone who was told of the incident, silenced or not: no page is left open.

    Args:
        earlier: what was told of the same incident.
    """
    if alert.state == "pending":
        return Skip.PENDING if alert.held is None else Skip.HELD
    if alert.state == "resolved":
        return Skip.NEVER_TOLD if earlier is None or earlier.state == "resolved" else None
    if notifier.update_seconds_min is None and is_open(earlier) and not is_acknowledgement(alert, earlier):
        return Skip.NO_UPDATES
    if alert.severity not in notifier.severities:
        return Skip.SEVERITY
    if alert.inhibited_by is not None:
        return Skip.INHIBITED
    return Skip.SILENCED if is_silenced(alert) else None


def is_update(alert: Alert, earlier: DeliveryRecord | None) -> bool:
    """Whether the incident only goes on, with new figures: its state and what is done about it are as they were."""
    return (
        earlier is not None
        and alert.state == earlier.state == "firing"
        and alert.acked_by == earlier.acked_by
        and alert.severity == earlier.severity
        and done_about(alert) == earlier.done
    )


def is_open(earlier: DeliveryRecord | None) -> bool:
    """Whether the receiver was told that the incident fires."""
    return earlier is not None and earlier.state == "firing"


def is_acknowledgement(alert: Alert, earlier: DeliveryRecord | None) -> bool:
    """Whether someone took the incident since it was told."""
    return alert.acked_by is not None and (earlier is None or earlier.acked_by is None)


def is_silenced(alert: Alert) -> bool:
    """Whether a silence was in force at this transition."""
    return alert.silenced_until is not None and from_rfc3339(alert.silenced_until) > from_rfc3339(alert.at)

"""Outbox of one integration and one partition: what is due, in which order, and up to where may be committed.

Pure: time is an argument. A transition leaves the outbox when it was delivered or given up, and only then may the
offset behind it be committed; so after a crash it is read again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tokenfuse.notify.contract import record_of
from tokenfuse.notify.selection import Skip, is_update, skip

if TYPE_CHECKING:
    from tokenfuse.contracts.alert import Alert
    from tokenfuse.notify.contract import DeliveryRecord, Notifier

FINGERPRINTS_MAX: Final = 100_000
"""Fingerprints whose last state is remembered; the one that changed longest ago is forgotten first."""


@dataclass(slots=True)
class Pending:
    """A transition on its way. `offset` is the first of those that were merged into it."""

    alert: Alert
    offset: int
    since_seconds: float
    not_before_seconds: float = 0.0
    tries: int = 0
    first_try_seconds: float | None = None
    in_flight: bool = False


class Outbox:
    """Transitions that wait, and what was told before, per fingerprint.

    Args:
        notifier: says what it takes.
        offset: the next one to be read.
    """

    def __init__(self, notifier: Notifier, offset: int) -> None:
        self._notifier = notifier
        self._queues: dict[str, deque[Pending]] = {}
        self._seqs: dict[str, int] = {}
        self._records: dict[str, DeliveryRecord] = {}
        self._hold_until_seconds = 0.0
        self.position = offset

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def waited_seconds(self, now_seconds: float) -> float:
        """How long the oldest has waited."""
        since = (pending.since_seconds for queue in self._queues.values() for pending in queue)
        return now_seconds - min(since, default=now_seconds)

    def offer(self, offset: int, alert: Alert, now_seconds: float) -> Skip | None:
        """Take one transition in; says why if it is not going to be told."""
        self.position = max(self.position, offset + 1)
        if alert.seq <= self._seqs.get(alert.fingerprint, -1):
            return Skip.NOT_NEWER
        self._remember_seq(alert)
        reason = skip(alert, self._expected(alert), self._notifier)
        if reason is None and not self._merge(alert):
            queue = self._queues.setdefault(alert.fingerprint, deque())
            queue.append(Pending(alert, offset, since_seconds=now_seconds))
        return reason

    def pass_over(self, offset: int) -> None:
        """Take note of a record that holds no alert."""
        self.position = max(self.position, offset + 1)

    def recall(self, alert: Alert) -> None:
        """Take note of a transition that an earlier life of this process has dealt with."""
        if alert.seq <= self._seqs.get(alert.fingerprint, -1):
            return
        self._remember_seq(alert)
        if skip(alert, self.record(alert), self._notifier) is None:
            self._remember(alert, reference=None, now_seconds=float("-inf"))

    def forget(self, fingerprint: str) -> None:
        """A tombstone: the alert is gone from the topic. Numbers stay while something of it is on its way."""
        if fingerprint not in self._queues:
            self._seqs.pop(fingerprint, None)
            self._records.pop(fingerprint, None)

    def record(self, incident: Alert) -> DeliveryRecord | None:
        """What was last told of this incident."""
        record = self._records.get(incident.fingerprint)
        return record if record is not None and record.covers(incident) else None

    def due(self, now_seconds: float) -> Pending | None:
        """The transition to send now: per fingerprint in order, among fingerprints the oldest first."""
        ready = [queue[0] for queue in self._queues.values() if self._ready_at(queue[0]) <= now_seconds]
        return min(ready, key=lambda pending: pending.offset, default=None)

    def due_at_seconds(self) -> float | None:
        """When `due` will next have something; None: when something new is offered."""
        return min((self._ready_at(queue[0]) for queue in self._queues.values()), default=None)

    def delivered(self, pending: Pending, reference: str, now_seconds: float) -> None:
        """The receiver has it."""
        self._remember(pending.alert, reference, now_seconds)
        self._remove(pending)

    def given_up(self, pending: Pending) -> None:
        """It will not be told; a later transition of the incident tries again."""
        self._remove(pending)

    def postpone(self, pending: Pending, until_seconds: float, *, everything: bool) -> None:
        """Try again later; `everything`: the receiver refuses all calls until then, not only this one."""
        pending.not_before_seconds = until_seconds
        pending.in_flight = False
        if everything:
            self._hold_until_seconds = max(self._hold_until_seconds, until_seconds)

    def committable(self) -> int:
        """The offset to commit: everything before it was delivered, given up, or not to be told."""
        return min(
            (pending.offset for queue in self._queues.values() for pending in queue), default=self.position
        )

    def _ready_at(self, pending: Pending) -> float:
        ready = max(pending.not_before_seconds, self._hold_until_seconds)
        record = self.record(pending.alert)
        if record is not None and is_update(pending.alert, record):
            ready = max(ready, record.sent_at_seconds + (self._notifier.update_seconds_min or 0.0))
        return ready

    def _expected(self, alert: Alert) -> DeliveryRecord | None:
        """What will have been told when everything on its way is delivered."""
        queue = self._queues.get(alert.fingerprint)
        if not queue:
            return self.record(alert)
        record = record_of(queue[-1].alert, None, 0.0)
        return record if record.covers(alert) else None

    def _merge(self, alert: Alert) -> bool:
        """Replace a transition that still waits where the newer one says it all."""
        *before, last = self._queues.get(alert.fingerprint) or [None]
        if last is None or last.in_flight or last.alert.starts_at != alert.starts_at:
            return False
        # A resolution must not swallow the first message: someone was to be paged, and reads what happened.
        told = self.record(alert) is not None or any(
            p.alert.starts_at == alert.starts_at for p in before if p
        )
        if last.alert.state != "firing" or not (alert.state == "firing" or told):
            return False
        last.alert = alert
        return True

    def _remove(self, pending: Pending) -> None:
        queue = self._queues[pending.alert.fingerprint]
        queue.remove(pending)
        if not queue:
            del self._queues[pending.alert.fingerprint]

    def _remember_seq(self, alert: Alert) -> None:
        self._seqs.pop(alert.fingerprint, None)
        self._seqs[alert.fingerprint] = alert.seq
        if len(self._seqs) > FINGERPRINTS_MAX:
            self.forget(next(iter(self._seqs)))

    def _remember(self, alert: Alert, reference: str | None, now_seconds: float) -> None:
        self._records[alert.fingerprint] = record_of(alert, reference, now_seconds)

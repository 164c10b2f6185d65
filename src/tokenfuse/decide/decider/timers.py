"""Timers: when an alert is due to change without a verdict, by the clock of its own deltas partition.

A partition that lags behind or stands still does not make its alerts fire or resolve: nothing is known of them.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final

from tokenfuse.decide.decider.incidents import is_silence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenfuse.decide.decider.state import AlertRecord

GROUP_WAIT_MS: Final = 10_000
"""Parents and children of one incident arrive within seconds of each other (Alertmanager's group_wait)."""

PROMOTION_WAIT_MS: Final = 60_000
"""At an incident's end the parent may clear up to one pane of its children, a minute, before them."""

OUTAGE_WAIT_MS: Final = 900_000
"""At an outage's end scopes come back with their next calls, which are looked for every five minutes."""

RESOLVED_KEPT_MS: Final = 24 * 3_600_000
"""How long a resolved alert is remembered, so that a flapping one says so."""


class Timers:
    """Due times of alerts. Derived from the alerts: an entry that is out of date is skipped when it comes up."""

    def __init__(self, alerts: Iterable[AlertRecord]) -> None:
        self._heaps: dict[int, list[tuple[int, str]]] = {}
        for alert in alerts:
            self.set(alert)

    def set(self, alert: AlertRecord) -> None:
        """Call after every change of an alert."""
        due = due_ms(alert)
        if due is not None:
            heapq.heappush(self._heaps.setdefault(alert.partition, []), (due, alert.fingerprint))

    def pop(self, partition: int, clock_ms: int) -> list[str]:
        """Fingerprints that may be due, sorted; each must be checked with `due_ms` and set again if it is not."""
        heap = self._heaps.get(partition, [])
        found = set()
        while heap and heap[0][0] <= clock_ms:
            found.add(heapq.heappop(heap)[1])
        return sorted(found)


def wait_ms(alert: AlertRecord) -> int:
    """How long a breach stands before it fires: a kill switch does not wait for company."""
    return alert.facts.for_ms if alert.facts.acts else max(alert.facts.for_ms, GROUP_WAIT_MS)


def due_ms(alert: AlertRecord) -> int | None:
    """When the alert changes next by itself; None: only by a verdict."""
    if alert.state == "pending":
        return None if alert.held is not None else alert.since_ms + wait_ms(alert)
    if alert.state == "resolved":
        return (alert.resolved_ms or 0) + RESOLVED_KEPT_MS
    ends = None if alert.cleared_ms is None else alert.cleared_ms + alert.facts.keep_firing_ms
    wait = OUTAGE_WAIT_MS if is_silence(alert) else PROMOTION_WAIT_MS
    promoted = None if alert.orphaned_ms is None else alert.orphaned_ms + wait
    return min((due for due in (ends, promoted) if due is not None), default=None)

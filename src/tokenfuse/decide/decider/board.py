"""Board: which active alerts touch each other, and which of them is the root of each incident.

A root is a page that people see: what an alert explains moves with it when it is explained itself, so no alert is
hidden behind a hidden one. Alerts whose root is over are orphans until they are placed again (timers).
Alerts find each other through two indexes, so placing one costs its neighbours and not all alerts.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from itertools import combinations
from typing import TYPE_CHECKING, Final

from tokenfuse.contracts.scope import scope_key
from tokenfuse.decide.decider.incidents import contributor_key, explains, is_silence, pairs, rank

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenfuse.decide.decider.state import AlertRecord

PAIRS_MAX: Final = 4
"""Scopes of more pairs than a cell has are not looked up by their subsets: 2^pairs keys each."""


SILENCES_SEEN_MAX: Final = 50
"""Silences that one looks at to find those which began with it: in an outage of ten thousand tenants the first ones suffice."""


class Board:
    """Active alerts by what they touch. Derived from the alerts: `add` each of them after a restore.

    Args:
        alerts: fingerprint to record; shared with the decider's state.
    """

    def __init__(self, alerts: dict[str, AlertRecord]) -> None:
        self._alerts = alerts
        self._keys: dict[str, tuple[str, ...]] = {}
        self._on: dict[str, set[str]] = {}
        self._touching: dict[str, set[str]] = {}
        self._children: dict[str, set[str]] = {}
        self._silences: list[str] = []
        for alert in alerts.values():
            if alert.state != "resolved":
                self.add(alert)
                self._link(alert, alert.inhibited_by)

    def add(self, alert: AlertRecord) -> None:
        """Take an active alert in, or take note of its newer evidence."""
        keys = _touched(alert)
        if self._keys.get(alert.fingerprint) == keys:
            return
        self._forget_keys(alert)
        self._keys[alert.fingerprint] = keys
        if is_silence(alert):
            insort(self._silences, alert.fingerprint)
        self._on.setdefault(alert.scope, set()).add(alert.fingerprint)
        for key in keys:
            self._touching.setdefault(key, set()).add(alert.fingerprint)

    def remove(self, alert: AlertRecord) -> list[AlertRecord]:
        """Take a resolved alert out; returns those that it explained."""
        self._forget_keys(alert)
        self._unlink(alert)
        return [self._alerts[child] for child in sorted(self._children.get(alert.fingerprint, ()))]

    def explained_by(self, alert: AlertRecord) -> int:
        """How many alerts an alert explains."""
        return len(self._children.get(alert.fingerprint, ()))

    def gathered(self, alert: AlertRecord, is_ready: Callable[[AlertRecord], bool]) -> dict[str, AlertRecord]:
        """The alert and all that are ready to fire and related to it, directly or through each other."""
        found, queue = {alert.fingerprint: alert}, [alert]
        while queue:
            here = queue.pop()
            for near in self._neighbours(here):
                related = explains(here, near) or explains(near, here)
                if related and near.fingerprint not in found and is_ready(near):
                    found[near.fingerprint] = near
                    queue.append(near)
        return found

    def place(self, alert: AlertRecord) -> list[AlertRecord]:
        """Find the page that explains a firing alert, or make it one; returns all whose `inhibited_by` changed.

        Alerts that fire together are placed in the order of `rank`: of two that explain each other the first stays.
        """
        firing = [near for near in self._neighbours(alert) if near.state == "firing"]
        page = self._page_for(alert, firing)
        if page is not None:
            return self._move(self._with_followers(alert), page)
        orphan = self._orphan_for(alert, firing)
        if orphan is not None:
            # What fires now must not wait behind an alert that is itself hidden by one that is over.
            return self._move([orphan], None) + self._move(self._with_followers(alert), orphan)
        return self._move([alert], None) + self._take_over(alert, firing)

    def _page_for(self, alert: AlertRecord, firing: list[AlertRecord]) -> AlertRecord | None:
        pages = [self._page(near) for near in firing if explains(near, alert)]
        return min((page for page in pages if page is not None and page is not alert), key=rank, default=None)

    def _orphan_for(self, alert: AlertRecord, firing: list[AlertRecord]) -> AlertRecord | None:
        """The first of the orphans that still breach and explain the alert, unless it comes before them."""
        orphans = [
            near
            for near in firing
            if near.breaching and self._page(near) is None and explains(near, alert)
            and (rank(near) < rank(alert) or not explains(alert, near))
        ]  # fmt: skip
        return min(orphans, key=rank, default=None)

    def _take_over(self, alert: AlertRecord, firing: list[AlertRecord]) -> list[AlertRecord]:
        """A new page gathers the pages and orphans that it explains, with all that they explained."""
        free = [near for near in firing if not self._is_led(near) and explains(alert, near)]
        return [each for near in free for each in self._move(self._with_followers(near), alert)]

    def _with_followers(self, alert: AlertRecord) -> list[AlertRecord]:
        followers = sorted(self._children.get(alert.fingerprint, ()))
        return [alert, *(self._alerts[follower] for follower in followers)]

    def _move(self, alerts: list[AlertRecord], page: AlertRecord | None) -> list[AlertRecord]:
        """Have a page explain the alerts, or nothing; returns those for which that is new."""
        root = page.fingerprint if page else None
        changed = [alert for alert in alerts if alert.inhibited_by != root]
        for alert in changed:
            self._link(alert, root)
        return changed

    def _page(self, alert: AlertRecord) -> AlertRecord | None:
        """What people see of a firing alert: itself or what explains it; None: that is over, the alert an orphan."""
        if alert.inhibited_by is None:
            return alert
        root = self._alerts.get(alert.inhibited_by)
        return root if root is not None and root.state == "firing" else None

    def _is_led(self, alert: AlertRecord) -> bool:
        return alert.inhibited_by is not None and self._page(alert) is not None

    def _neighbours(self, alert: AlertRecord) -> list[AlertRecord]:
        """Active alerts on the same scope, inside it, around it, or named by one another as contributors; sorted.

        And of a silence other silences, wherever they are.
        """
        near = set(self._touching.get(alert.scope, ()))
        for key in self._keys.get(alert.fingerprint, ()):
            near |= self._on.get(key, set())
        if is_silence(alert):
            near |= set(self._silences[:SILENCES_SEEN_MAX])
        near.discard(alert.fingerprint)
        return [self._alerts[fingerprint] for fingerprint in sorted(near)]

    def _link(self, alert: AlertRecord, root: str | None) -> None:
        self._unlink(alert)
        alert.inhibited_by = root
        if root is not None:
            self._children.setdefault(root, set()).add(alert.fingerprint)

    def _unlink(self, alert: AlertRecord) -> None:
        if alert.inhibited_by in self._children:
            _discard(self._children, alert.inhibited_by, alert.fingerprint)

    def _forget_keys(self, alert: AlertRecord) -> None:
        keys = self._keys.pop(alert.fingerprint, None)
        if keys is None:
            return
        _discard(self._on, alert.scope, alert.fingerprint)
        if is_silence(alert):
            del self._silences[bisect_left(self._silences, alert.fingerprint)]
        for key in keys:
            _discard(self._touching, key, alert.fingerprint)


def _touched(alert: AlertRecord) -> tuple[str, ...]:
    """The alert's scope, the scopes around it, and its contributors."""
    scope = sorted(pairs(alert.scope))
    sizes = range(len(scope)) if len(scope) <= PAIRS_MAX else ()
    around = [scope_key(dict(part)) for size in sizes for part in combinations(scope, size)]
    named = [contributor_key(part) for part in alert.evidence.contributors]
    return tuple(dict.fromkeys((alert.scope, *around, *named)))


def _discard(index: dict[str, set[str]], key: str, member: str) -> None:
    members = index.get(key, set())
    members.discard(member)
    if not members:
        index.pop(key, None)

"""Board: which active alerts touch each other, and which of them is the root of each incident.

Alerts find each other through two indexes, so placing one costs its neighbours and not all alerts.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Final

from tokenfuse.contracts.scope import scope_key
from tokenfuse.decide.decider.incidents import contributor_key, explains, pairs, rank

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenfuse.decide.decider.state import AlertRecord

PAIRS_MAX: Final = 4
"""Scopes of more pairs than a cell has are not looked up by their subsets: 2^pairs keys each."""


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
        self._on.setdefault(alert.scope, set()).add(alert.fingerprint)
        for key in keys:
            self._touching.setdefault(key, set()).add(alert.fingerprint)

    def remove(self, alert: AlertRecord) -> list[AlertRecord]:
        """Take a resolved alert out; returns those that it explained."""
        self._forget_keys(alert)
        self._unlink(alert)
        return [self._alerts[child] for child in sorted(self._children.get(alert.fingerprint, ()))]

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
        """Find the root of a firing alert, or make it one; returns all alerts whose `inhibited_by` changed.

        Alerts that fire together are placed in the order of `rank`: of two that explain each other the first stays.
        """
        before = alert.inhibited_by
        firing = [near for near in self._neighbours(alert) if near.state == "firing"]
        root = self._root_for(alert, firing)
        self._link(alert, root.fingerprint if root else None)
        changed = [alert] if alert.inhibited_by != before else []
        return changed if root else changed + self._take_over(alert, firing)

    def _root_for(self, alert: AlertRecord, firing: list[AlertRecord]) -> AlertRecord | None:
        roots = {self._root(near).fingerprint for near in firing if explains(near, alert)} - {
            alert.fingerprint
        }
        return min((self._alerts[root] for root in roots), key=rank, default=None)

    def _take_over(self, alert: AlertRecord, firing: list[AlertRecord]) -> list[AlertRecord]:
        """A new root gathers the roots that it explains, with all that they explained."""
        changed = []
        for near in firing:
            if near.inhibited_by is None and explains(alert, near):
                followers = [self._alerts[child] for child in self._children.get(near.fingerprint, ())]
                for each in (near, *followers):
                    self._link(each, alert.fingerprint)
                    changed.append(each)
        return changed

    def _root(self, alert: AlertRecord) -> AlertRecord:
        root = self._alerts.get(alert.inhibited_by) if alert.inhibited_by else None
        return root if root is not None and root.state == "firing" else alert

    def _neighbours(self, alert: AlertRecord) -> list[AlertRecord]:
        """Active alerts on the same scope, inside it, around it, or named by one another as contributors; sorted."""
        near = set(self._touching.get(alert.scope, ()))
        for key in self._keys.get(alert.fingerprint, ()):
            near |= self._on.get(key, set())
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

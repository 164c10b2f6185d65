"""Silences: scopes about which a person wants to hear nothing for a while. Switches engage all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tokenfuse.decide.decider.incidents import contributor_key, pairs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenfuse.decide.decider.state import AlertRecord, State
    from tokenfuse.decide.decider.turn import Turn

SILENCES_MAX: Final = 1_000

INSIDE_SHARE: Final = 0.9
"""An alert of which nine tenths are the silenced tenant's money is about that tenant: its users, runs, features."""


class Silences:
    """Silences of the state.

    Args:
        state: shared with the other parts.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def set(self, scope: str, until_ms: int, alerts: Iterable[AlertRecord], turn: Turn) -> bool:
        """Silence a scope, replacing an earlier silence of it; False: too many are in force."""
        if scope not in self._state.silences and len(self._state.silences) >= SILENCES_MAX:
            return False
        self._state.silences[scope] = until_ms
        self._remark(alerts, turn)
        return True

    def lift(self, scope: str, alerts: Iterable[AlertRecord], turn: Turn) -> bool:
        """End a silence early; False: there is none on exactly this scope."""
        if self._state.silences.pop(scope, None) is None:
            return False
        self._remark(alerts, turn)
        return True

    def expire(self, alerts: Iterable[AlertRecord], turn: Turn) -> None:
        """Speak again of what still stands."""
        over = [scope for scope, until_ms in self._state.silences.items() if until_ms <= turn.clock_ms]
        for scope in over:
            del self._state.silences[scope]
        if over:
            self._remark(alerts, turn)

    def mark(self, alert: AlertRecord) -> None:
        """Note on an alert until when it is silenced."""
        found = [until_ms for scope, until_ms in self._state.silences.items() if is_inside(alert, scope)]
        alert.silenced_until_ms = max(found, default=None)

    def is_due(self, clock_ms: int) -> bool:
        """Whether a silence has run out."""
        return any(until_ms <= clock_ms for until_ms in self._state.silences.values())

    def _remark(self, alerts: Iterable[AlertRecord], turn: Turn) -> None:
        for alert in alerts:
            before = alert.silenced_until_ms
            self.mark(alert)
            if alert.silenced_until_ms != before:
                turn.emit(alert, turn.clock_ms)


def is_inside(alert: AlertRecord, scope: str) -> bool:
    """Whether an alert is about a scope: on it, inside it, or nine tenths of it that tenant's money."""
    return pairs(scope) <= pairs(alert.scope) or any(
        part.axis == "tenant" and part.share >= INSIDE_SHARE and contributor_key(part) == scope
        for part in alert.evidence.contributors
    )

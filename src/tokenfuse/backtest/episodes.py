"""Episodes: the times that somebody was told, out of the alert transitions of a replay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tokenfuse.contracts.alert import Alert, Kind, Severity
from tokenfuse.contracts.clock import from_rfc3339
from tokenfuse.contracts.ruleset import AnyRule

TWIN_MS: Final = 30 * 60_000
"""Two replays say the same thing if they say it within half an hour of each other: an incident shifts an alert a little."""


@dataclass(frozen=True)
class Episode:
    """One alert, from its first telling to its end.

    Attributes:
        scope: axis to value; {} is everything.
        starts_ms: when the breach began. told_ms: when somebody was first told: firing, and explained by no other alert.
        end_ms: when the breach ended, without the time that the rule goes on firing after that.
        open: it still stood when the events ended.
    """

    rule: str
    kind: Kind
    driver: str
    severity: Severity
    scope: Mapping[str, str]
    starts_ms: int
    told_ms: int
    end_ms: int
    open: bool = False

    @property
    def identity(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """What the same alert has in common in two replays."""
        return self.rule, tuple(sorted(self.scope.items()))


def episodes(transitions: Iterable[Alert], rules: Sequence[AnyRule], last_ms: int) -> list[Episode]:
    """Transitions in the order of the log, as episodes by the time of telling.

    Args:
        transitions: every line of `alerts.jsonl`.
        rules: those that were in force.
        last_ms: newest event time; what is open then ends then.
    """
    lingers_ms = {rule.id: rule.keep_firing_for_seconds * 1000 for rule in rules}
    standing: dict[str, Episode] = {}
    over: list[Episode] = []
    for alert in transitions:
        told = standing.get(alert.fingerprint)
        if alert.state == "resolved" and told is not None:
            end_ms = from_rfc3339(alert.at) - lingers_ms.get(alert.rule, 0)
            over.append(replace(told, end_ms=max(end_ms, told.told_ms), open=False))
            del standing[alert.fingerprint]
        elif alert.state == "firing" and told is None and alert.inhibited_by is None:
            standing[alert.fingerprint] = _told(alert, last_ms)
    return sorted([*over, *standing.values()], key=lambda each: (each.told_ms, each.identity))


def has_twin(episode: Episode, others: Sequence[Episode]) -> bool:
    """Whether another replay has the same alert at nearly the same time."""
    return any(
        other.identity == episode.identity
        and other.told_ms - TWIN_MS <= episode.told_ms <= other.end_ms + TWIN_MS
        for other in others
    )


def _told(alert: Alert, last_ms: int) -> Episode:
    told_ms = from_rfc3339(alert.at)
    return Episode(
        alert.rule, alert.kind, alert.driver, alert.severity, alert.scope, from_rfc3339(alert.starts_at),
        told_ms, max(last_ms, told_ms), open=True,
    )  # fmt: skip

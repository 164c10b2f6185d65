"""What was raised, and when: from `alerts.jsonl` of a replay, or from a baseline."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import msgspec
from benchmarks.detection.clock import END_MS

from tokenfuse.contracts.alert import Alert, decode_alert
from tokenfuse.ingest.times import time_ms


class Raised(msgspec.Struct, frozen=True):
    """One time that somebody was told: from the first firing transition that nobody inhibited to the resolved one.

    Attributes:
        explained: the drivers' dollars add up to what was spent less what is usual, to the nano-dollar; None: there are
            no drivers, or nothing says what they add up to.
    """

    rule: str
    scope: dict[str, str]
    driver: str
    severity: str
    at_ms: int
    end_ms: int
    explained: bool | None = None
    complete: bool = False

    @property
    def identity(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """What the same alert has in common in the run and in the counterfactual."""
        return self.rule, tuple(sorted(self.scope.items()))


def read(path: Path) -> list[Raised]:
    """Pages and tickets of one replay, by time; what only informs wakes nobody."""
    with path.open("rb") as lines:
        return raised(decode_alert(line) for line in lines)


def raised(transitions: Iterable[Alert]) -> list[Raised]:
    """Transitions in the order of the log, as times somebody was told."""
    open_: dict[str, Raised] = {}
    found: list[Raised] = []
    for alert in transitions:
        told = open_.get(alert.fingerprint)
        if alert.state == "resolved" and told is not None:
            found.append(msgspec.structs.replace(told, end_ms=time_ms(alert.at)))
            del open_[alert.fingerprint]
        elif alert.state == "firing" and told is None and not alert.inhibited_by and alert.severity != "info":
            open_[alert.fingerprint] = _told(alert)
    return sorted([*found, *open_.values()], key=lambda each: (each.at_ms, each.identity))


def _told(alert: Alert) -> Raised:
    return Raised(
        alert.rule,
        alert.scope,
        alert.driver,
        alert.severity,
        time_ms(alert.at),
        END_MS,
        explained=_adds_up(alert),
        complete=bool(alert.drivers and alert.contributors and alert.summary),
    )


def _adds_up(alert: Alert) -> bool | None:
    change = alert.cost_change
    if change is None or not alert.drivers:
        return None
    parts = sum((Decimal(part.usd) for part in alert.drivers), Decimal(0))
    return parts == Decimal(change.spent_usd) - Decimal(change.usual_usd)

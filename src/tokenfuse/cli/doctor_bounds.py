"""Bounds that a running role has reached, by its metrics: one table for `doctor`, as docs/operations.md has it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tokenfuse.cli.doctor import Check, Health

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SAMPLE: Final = re.compile(r"^(?P<name>\w+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)")
SHOWN_MAX: Final = 5

Sample = tuple[str, str, float]
"""Name, labels as they stand in the text, value."""


@dataclass(frozen=True)
class Alarm:
    """A sample above `limit` is worth a line. `only`: a text that its labels must contain."""

    role: str
    metric: str
    health: Health
    found: str
    advice: str
    limit: float = 0
    only: str = ""


ALARMS: Final = (
    Alarm(
        "ingest", "tokenfuse_dead_letters_total", Health.WRONG, "whole batches not counted",
        "publish their events again in smaller batches; the dead letters hold them", only='"batch_',
    ),
    Alarm(
        "ingest", "tokenfuse_ingest_lag_seconds", Health.WARNING, "seconds behind the source",
        "it works at full speed; add ingest workers if it lasts", limit=60,
    ),
    Alarm(
        "agents", "tokenfuse_folded_total", Health.WARNING, "values folded into ~other since the start",
        "take what is unique to a call out of this field, or raise TOKENFUSE_SCOPES_PER_AXIS_MAX",
    ),
    Alarm(
        "agents", "tokenfuse_verdicts_refused_total", Health.WRONG, "findings that were not told",
        "too many verdicts stand at once: is a limit too low?",
    ),
    Alarm(
        "decider", "tokenfuse_cross_partition_duplicates_total", Health.WRONG, "sampled ids in two source partitions",
        "key the producer by tenant: these events are counted twice",
    ),
    Alarm(
        "decider", "tokenfuse_rules_without_scopes", Health.WARNING, "rules that judge nothing",
        "add their axes to TOKENFUSE_FURTHER_AXES of all roles",
    ),
    Alarm(
        "decider", "tokenfuse_refused_total", Health.WRONG, "refused, a bound is reached",
        "silence or resolve what is not needed, see docs/operations.md", only='_full"',
    ),
    Alarm(
        "notify", "tokenfuse_notifications_wait_seconds", Health.WARNING, "seconds that an alert has waited",
        "the receiver is slow or away: its log says which", limit=60,
    ),
    Alarm(
        "notify", "tokenfuse_notifications_failed_total", Health.WRONG, "alerts given up on",
        "the log of notify says why",
    ),
)  # fmt: skip


def samples(text: str) -> Iterator[Sample]:
    """Of Prometheus's text format."""
    for line in text.splitlines():
        if found := SAMPLE.match(line):
            yield found["name"], found["labels"] or "", float(found["value"])


def bound_checks(role: str, of_role: Iterable[Sample]) -> Iterator[Check]:
    """What a role's metrics say of the bounds that it has reached."""
    known = list(of_role)
    for alarm in ALARMS:
        above = [
            f"{labels.replace(chr(34), '')} {value:,.0f}".strip()
            for name, labels, value in known
            if name == alarm.metric and value > alarm.limit and alarm.only in labels
        ]
        if alarm.role == role and above:
            more = f" and {len(above) - SHOWN_MAX} more" if len(above) > SHOWN_MAX else ""
            found = f"{alarm.found}: {', '.join(above[:SHOWN_MAX])}{more}"
            yield Check(f"bounds {role}", alarm.health, found, alarm.advice)

"""What was found, how fast and how rightly, and how often somebody was woken for nothing.

Definitions, all from the labels and two lists of alerts, of the run and of its counterfactual:

chance      an alert of the run that the counterfactual has too (same rule and scope, open within TWIN_MS of it).
found       an alert that is no chance, begins while the incident lasts or within GRACE_MS after it, and whose scope
            holds at least HOLDS_MIN of the incident's excess dollars.
right scope the alert's scope is the incident's, or the two are nearly the same calls: it holds at least SAME_MIN of the
            incident's excess, and at least SAME_MIN of its calls meanwhile are of the incident's scope. An alert about
            an agent run is right if the run belongs to the incident.
false       every alert of the counterfactual, and every alert of the run that is neither chance nor finds anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec
from benchmarks.detection.alerts import Raised
from benchmarks.detection.clock import DAY_MS, HOUR_MS, JUDGED_DAYS, JUDGED_MS, MINUTE_MS
from benchmarks.detection.events import template_of
from benchmarks.detection.labels import HarmlessLabel, Label, Labels, Part

GRACE_MS: Final = HOUR_MS
TWIN_MS: Final = 30 * MINUTE_MS
HOLDS_MIN: Final = 0.1
SAME_MIN: Final = 0.9


class Verdict(msgspec.Struct, frozen=True):
    """How one incident was dealt with.

    Attributes:
        delay_ms: of the first alert; None: not found. burnt: share of the excess that was spent by then.
        same_scope: the scope is the incident's to the letter; right_scope: or nearly the same calls.
        alerts: how many found it; more than one is one too many. by_chance: recall of alerts shifted by whole days.
    """

    kind: str
    scope: dict[str, str]
    excess_nanousd: int
    calls: int
    calls_per_hour: float
    delay_ms: int | None
    paged: bool
    burnt: float
    right_driver: bool
    right_scope: bool
    same_scope: bool
    alerts: int
    by_chance: float
    first_rule: str = ""
    first_scope: dict[str, str] = {}


class Judgement(msgspec.Struct, frozen=True):
    """One method on one seed.

    Attributes:
        false_pages, false_all: pages, pages and tickets, in the two judged weeks. null_all: in the last two of four steady weeks.
        false_rules, false_harmless: the false ones by rule, and those of the counterfactual by harmless event.
        explained: alerts of the run with drivers that add up to the cost change, with drivers that do not, without.
        complete: alerts of the run with drivers, contributors and a sentence.
    """

    seed: int
    method: str
    verdicts: tuple[Verdict, ...]
    false_pages: int
    false_all: int
    null_pages: int | None
    null_all: int | None
    false_rules: dict[str, int]
    false_harmless: dict[str, int]
    explained: tuple[int, int, int]
    complete: int
    alerts: int


def judge(
    labels: Labels,
    method: str,
    run: Sequence[Raised],
    counterfactual: Sequence[Raised],
    null: Sequence[Raised] | None = None,
) -> Judgement:
    """Judge the alerts of one method on one seed; those of the learned weeks do not count."""
    run, counterfactual = _judged(run), _judged(counterfactual)
    own = [alert for alert in run if not _has_twin(alert, counterfactual)]
    finds = {i: found_by(label, own) for i, label in enumerate(labels.incidents)}
    finding = {id(alert) for alerts in finds.values() for alert in alerts}
    wrong = [*counterfactual, *(alert for alert in own if id(alert) not in finding)]
    late_null = None if null is None else _judged(null)
    return Judgement(
        labels.seed,
        method,
        tuple(_verdict(label, finds[i], run) for i, label in enumerate(labels.incidents)),
        false_pages=sum(alert.severity == "page" for alert in wrong),
        false_all=len(wrong),
        null_pages=None if late_null is None else sum(alert.severity == "page" for alert in late_null),
        null_all=None if late_null is None else len(late_null),
        false_rules=dict(Counter(alert.rule for alert in wrong).most_common()),
        false_harmless=_by_harmless(counterfactual, labels.harmless),
        explained=(
            sum(alert.explained is True for alert in run),
            sum(alert.explained is False for alert in run),
            sum(alert.explained is None for alert in run),
        ),
        complete=sum(alert.complete for alert in run),
        alerts=len(run),
    )


def _judged(alerts: Sequence[Raised]) -> list[Raised]:
    return [alert for alert in alerts if alert.at_ms >= JUDGED_MS]


def _has_twin(alert: Raised, others: Sequence[Raised]) -> bool:
    return any(
        other.identity == alert.identity
        and other.at_ms - TWIN_MS <= alert.at_ms <= max(other.end_ms, other.at_ms) + TWIN_MS
        for other in others
    )


# Incidents.


def found_by(label: Label, alerts: Sequence[Raised]) -> list[Raised]:
    """Alerts that find an incident, by time."""
    return [
        alert
        for alert in alerts
        if label.start_ms <= alert.at_ms <= label.end_ms + GRACE_MS
        and held(label, alert.scope)[0] >= HOLDS_MIN
    ]


def _verdict(label: Label, finds: list[Raised], run: Sequence[Raised]) -> Verdict:
    first = min(finds, key=lambda alert: alert.at_ms, default=None)
    return Verdict(
        label.kind,
        label.scope,
        label.excess_nanousd,
        label.calls,
        label.calls_per_hour,
        delay_ms=None if first is None else first.at_ms - label.start_ms,
        paged=any(alert.severity == "page" for alert in finds),
        burnt=1.0 if first is None else burnt(label, first.at_ms),
        right_driver=first is not None and first.driver in label.drivers,
        right_scope=first is not None and is_right(label, first.scope),
        same_scope=first is not None and first.scope == label.scope,
        alerts=len(finds),
        by_chance=by_chance(label, run),
        first_rule="" if first is None else first.rule,
        first_scope={} if first is None else first.scope,
    )


def burnt(label: Label, at_ms: int) -> float:
    """Share of the incident's excess that had been spent by a time."""
    minutes = (at_ms - label.start_ms) // MINUTE_MS
    return sum(label.minutes[: minutes + 1]) / max(label.excess_nanousd, 1)


def held(label: Label, scope: dict[str, str]) -> tuple[float, float]:
    """Share of the incident's excess in a scope, and share of the scope's calls meanwhile that are of the incident's scope."""
    mine = [part for part in label.parts if _inside(label, scope, part)]
    excess = sum(part.excess_nanousd for part in mine) / max(label.excess_nanousd, 1)
    shared = sum(part.calls for part in mine if _inside(label, label.scope, part))
    return excess, shared / max(sum(part.calls for part in mine), 1)


def _inside(label: Label, scope: dict[str, str], part: Part) -> bool:
    run = scope.get("run_id")
    if run is not None and run not in label.runs:
        return False
    return all(_matches(axis, value, part) for axis, value in scope.items())


def _matches(axis: str, value: str, part: Part) -> bool:
    """Users and runs are known by their tenant only; every feature has one template."""
    match axis:
        case "tenant" | "feature" | "model":
            return str(getattr(part, axis)) == value
        case "prompt_template":
            return template_of(part.feature) == value
        case "user":
            return value.startswith(f"{part.tenant}-")
        case _:
            return True


def is_right(label: Label, scope: dict[str, str]) -> bool:
    """Whether a scope names the incident."""
    if scope == label.scope or scope.get("run_id") in label.runs:
        return True
    return "user" not in scope and min(held(label, scope)) >= SAME_MIN


def by_chance(label: Label, run: Sequence[Raised]) -> float:
    """How often the same alerts, shifted by 1 to 13 days within the judged weeks, would have found it."""
    period_ms = JUDGED_DAYS * DAY_MS
    near = [alert for alert in run if held(label, alert.scope)[0] >= HOLDS_MIN]
    hits = 0
    for days in range(1, JUDGED_DAYS):
        shifted = (JUDGED_MS + (alert.at_ms - JUDGED_MS + days * DAY_MS) % period_ms for alert in near)
        hits += any(label.start_ms <= at_ms <= label.end_ms + GRACE_MS for at_ms in shifted)
    return hits / (JUDGED_DAYS - 1)


def _by_harmless(alerts: Sequence[Raised], harmless: Sequence[HarmlessLabel]) -> dict[str, int]:
    """Alerts of the counterfactual that begin during a harmless event or within an hour, in a scope that it touches."""
    found: Counter[str] = Counter()
    for event in harmless:
        found[event.kind] += sum(
            event.start_ms <= alert.at_ms <= event.end_ms + GRACE_MS
            and any(_agree(alert.scope, scope) for scope in event.scopes)
            for alert in alerts
        )
    return dict(found)


def _agree(one: dict[str, str], other: dict[str, str]) -> bool:
    return all(other[axis] == value for axis, value in one.items() if axis in other)

"""What each alert would have saved, and which were probably false.

saved    the scope's spend above normal, from five minutes after the first telling to the end of the breach, at least 0.
false    with a counterfactual: the alerts that its replay raises, all of them, since nothing happens in it. Without one an
         estimate: an alert whose excess from the beginning of the breach to its end is below the floor of its own rule
         (a floor per day or hour: for as long as it lasted). The assumption: what cost no more than usual was no incident.
         A growth that everybody wanted looks like an incident to it, and alerts without a past or a dollar floor are
         not judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tokenfuse.backtest.episodes import Episode, has_twin
from tokenfuse.backtest.normal import DAY_S, Against, Past, excess_nanousd
from tokenfuse.backtest.spend import HOUR_S, Spend
from tokenfuse.contracts.ruleset import AnyRule

ACTS_AFTER_MS: Final = 5 * 60_000
"""A person needs so long to read an alert and to stop what it names."""

WEEK_MS: Final = 7 * DAY_S * 1000
COSTLESS: Final = frozenset({"cap", "absence", "novelty"})
"""Kinds that state a fact, whatever it costs: no dollars say that one of them was false."""


@dataclass(frozen=True)
class Judged:
    """One episode with its dollars.

    Attributes:
        saved_nanousd: if somebody had acted in time; None: not known. excess_nanousd: of the whole breach, likewise.
        false: probably a false alarm; None: not judged.
    """

    episode: Episode
    saved_nanousd: int | None
    excess_nanousd: int | None
    against: Against
    false: bool | None


@dataclass(frozen=True)
class RuleReport:
    """One rule over all events.

    Attributes:
        pages, tickets, infos: how often somebody was told. saved_nanousd: of all alerts, each for itself: alerts of one
            incident count it once each. unknown: alerts without a figure.
        false, judged: probably false alarms, and of how many alerts that can be said; with a counterfactual: its
            alerts, and None.
    """

    rule: str
    kind: str
    severity: str
    pages: int
    tickets: int
    infos: int
    saved_nanousd: int
    unknown: int
    false: int
    judged: int | None


def judge(
    episode: Episode, rule: AnyRule, past: Past, counterfactual: Spend | None, twins: Sequence[Episode] | None
) -> Judged:
    """One episode.

    Args:
        episode: the alert.
        rule: the rule that raised it.
        past: its scope's.
        counterfactual: what the scope spent without incidents; None: not known.
        twins: episodes of the counterfactual, likewise.
    """
    acts_ms = episode.told_ms + ACTS_AFTER_MS
    end_ms = max(episode.end_ms, acts_ms)
    if episode.kind == "absence":
        return Judged(episode, 0, 0, "nothing", None if twins is None else has_twin(episode, twins))
    saved, how = excess_nanousd(episode, past, acts_ms, end_ms, counterfactual)
    excess, _ = excess_nanousd(episode, past, episode.starts_ms, episode.end_ms, counterfactual)
    if twins is not None:
        false: bool | None = has_twin(episode, twins)
    else:
        false = _is_cheap(episode, rule, excess)
    return Judged(episode, None if saved is None else max(saved, 0), excess, how, false)


def _is_cheap(episode: Episode, rule: AnyRule, excess: int | None) -> bool | None:
    floor = floor_nanousd(rule, episode.end_ms - episode.starts_ms)
    if excess is None or floor is None or episode.kind in COSTLESS:
        return None
    return excess < floor


def floor_nanousd(rule: AnyRule, length_ms: int) -> int | None:
    """The least excess that a rule takes seriously over so long a time; None: it has no floor."""
    for name, length_s in (("floor_nanousd_per_day", DAY_S), ("floor_nanousd_per_hour", HOUR_S)):
        rate = getattr(rule, name, None)
        if rate is not None:
            return int(rate) * length_ms // (length_s * 1000)
    floor = getattr(rule, "floor_nanousd", None)
    return None if floor is None else int(floor)


def by_rule(
    rules: Sequence[AnyRule], judged: Sequence[Judged], counterfactual: Sequence[Episode] | None
) -> list[RuleReport]:
    """Every rule in force, the silent ones too."""
    of_rule: Mapping[str, list[Judged]] = {rule.id: [] for rule in rules}
    for each in judged:
        of_rule[each.episode.rule].append(each)
    return [_report(rule, of_rule[rule.id], counterfactual) for rule in rules]


def _report(rule: AnyRule, mine: Sequence[Judged], counterfactual: Sequence[Episode] | None) -> RuleReport:
    pages, tickets, infos = (
        sum(each.episode.severity == severity for each in mine) for severity in ("page", "ticket", "info")
    )
    known = [each.saved_nanousd for each in mine if each.saved_nanousd is not None]
    if counterfactual is None:
        false, sure = sum(each.false is True for each in mine), sum(each.false is not None for each in mine)
        figures: tuple[int, int | None] = false, sure
    else:
        figures = sum(each.rule == rule.id and each.severity != "info" for each in counterfactual), None
    return RuleReport(
        rule.id, rule.kind, rule.severity, pages, tickets, infos, sum(known), len(mine) - len(known), *figures
    )


def per_week(count: int, length_ms: int) -> float:
    """A count over so long a time, per week."""
    return count * WEEK_MS / max(length_ms, 1)

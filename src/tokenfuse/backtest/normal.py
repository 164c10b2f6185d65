"""What a scope would have spent without its incident, in nano-dollars: what an excess is measured against.

counterfactual  what the same scope spent in the same panes of the events without incidents: exact, no estimate.
per_call        for drivers that make calls dearer: the calls that were made, at what a call of their cell cost before.
                What people ask for more of is no excess of such an alert.
usual_hour      for all others: what the same hour of the day cost before, on average; workdays and weekends apart where
                two days of the kind are known.
nothing         of a limit (a cap, an agent run): what comes after it should not have been spent.
unknown         the scope has no past yet: no figure is better than a wrong one.

"Before" are the last 14 days before the breach, as for rules with a learned baseline; hours in which the scope had an alert
are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from tokenfuse.backtest.episodes import Episode
from tokenfuse.backtest.spend import HOUR_S, Ints, Spend

Against = Literal["counterfactual", "per_call", "usual_hour", "nothing", "unknown"]

DAY_S: Final = 24 * HOUR_S
WEEK_DAYS: Final = 7
DAYS: Final = 14
SAME_DAYS_MIN: Final = 2
PAST_HOURS_MIN: Final = 24
"""With less than a day of its own a scope has no hour of the day to be compared with."""

PER_CALL: Final = frozenset({"prompt", "output", "cache", "tier", "price", "context", "reasoning", "tools"})


@dataclass(frozen=True)
class Past:
    """A scope's spend, and the hours of it that are no measure of what is normal.

    Attributes:
        first_s: start of the first hour of all events: an hour after it without rows cost nothing, one before it is
            not known.
        alerted_s: starts of hours in which the scope had an alert.
        groups: unit to unit, cells that differ in the model only.
    """

    spend: Spend
    first_s: int
    alerted_s: frozenset[int]
    groups: Mapping[int, int]

    def hours_before(self, hour_s: int) -> list[int]:
        """Starts of the ordinary hours of the last DAYS before an hour, ascending."""
        born_s = int(self.spend.pane_s[0]) if len(self.spend.pane_s) else hour_s
        oldest_s = max(self.first_s, born_s - born_s % HOUR_S, hour_s - DAYS * DAY_S)
        return [s for s in range(oldest_s, hour_s, HOUR_S) if s not in self.alerted_s]


def alerted_hours(episodes: Iterable[Episode]) -> frozenset[int]:
    """Starts of the hours in which some alert stood, its breach included."""
    return frozenset(
        hour_s
        for each in episodes
        for hour_s in range(_hour_s(each.starts_ms), each.end_ms // 1000 + 1, HOUR_S)
    )


def against(episode: Episode, past: Past) -> Against:
    """How the excess of an episode is measured without a counterfactual."""
    if episode.kind == "cap" or "run_id" in episode.scope:
        return "nothing"
    if len(past.hours_before(_hour_s(episode.starts_ms))) < PAST_HOURS_MIN:
        return "unknown"
    return "per_call" if episode.driver in PER_CALL else "usual_hour"


def excess_nanousd(
    episode: Episode, past: Past, from_ms: int, to_ms: int, counterfactual: Spend | None
) -> tuple[int | None, Against]:
    """Spend of [from_ms, to_ms) less what is normal for it; None where that is unknown. It may be negative."""
    if counterfactual is not None:
        how: Against = "counterfactual"
        normal = counterfactual.between(from_ms, to_ms).total_nanousd
    else:
        how = against(episode, past)
        if how == "unknown":
            return None, how
        normal = _normal(how, episode, past, from_ms, to_ms)
    return past.spend.between(from_ms, to_ms).total_nanousd - normal, how


def _normal(how: Against, episode: Episode, past: Past, from_ms: int, to_ms: int) -> int:
    before_s = past.hours_before(_hour_s(episode.starts_ms))
    if how == "usual_hour":
        return usual_nanousd(past.spend.hourly, before_s, from_ms, to_ms)
    if how == "per_call":
        return _at_usual_price(past, before_s, by_group=episode.driver == "tier", of=(from_ms, to_ms))
    return 0


def usual_nanousd(hourly: Mapping[int, int], before_s: Sequence[int], from_ms: int, to_ms: int) -> int:
    """What [from_ms, to_ms) usually costs: whole hours at the mean of their like, parts of an hour in proportion."""
    total = 0
    for hour_s in range(_hour_s(from_ms), -(-to_ms // 1000), HOUR_S):
        part_ms = min(to_ms, (hour_s + HOUR_S) * 1000) - max(from_ms, hour_s * 1000)
        like = [hourly.get(s, 0) for s in alike(before_s, hour_s)]
        total += sum(like) * max(part_ms, 0) // (max(len(like), 1) * HOUR_S * 1000)
    return total


def alike(before_s: Sequence[int], hour_s: int) -> list[int]:
    """Of some hours those of the same hour of the day, and of the same kind of day where enough of it are known."""
    same = [s for s in before_s if (s - hour_s) % DAY_S == 0]
    kind = [s for s in same if _is_weekend(s) == _is_weekend(hour_s)]
    return kind if len(kind) >= SAME_DAYS_MIN else same


def _at_usual_price(past: Past, before_s: Sequence[int], *, by_group: bool, of: tuple[int, int]) -> int:
    """The calls of a time at the price that calls of their unit had; those of a new unit at their own."""
    if not before_s:
        return past.spend.between(*of).total_nanousd
    spend = past.spend.merged(past.groups) if by_group else past.spend
    ordinary = spend.between(before_s[0] * 1000, (before_s[-1] + HOUR_S) * 1000).outside(
        _hours(past.alerted_s)
    )
    usual = ordinary.by_unit()
    total = 0
    for unit, (calls, cost) in spend.between(*of).by_unit().items():
        calls_before, cost_before = usual.get(unit, (0, 0))
        total += calls * cost_before // calls_before if calls_before > 0 else cost
    return total


def _hours(hours_s: Iterable[int]) -> Ints:
    return np.array(sorted(hours_s), np.int64)


def _hour_s(ms: int) -> int:
    return ms // 1000 - ms // 1000 % HOUR_S


def _is_weekend(second: int) -> bool:
    # 1970-01-01 was a Thursday: day 2 and 3 of each week of the epoch are Saturday and Sunday.
    return second // DAY_S % WEEK_DAYS in {2, 3}

"""Budgets of calendar months as the rule set has them, and what each will come to: for people who ask between alerts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal

import numpy as np

from tokenfuse.contracts.axes import OTHER
from tokenfuse.contracts.ruleset import BurnRateRule, CapRule, RuleSet
from tokenfuse.detect.forecast import DAY_S, DAYS, days_left, forecast
from tokenfuse.windows.calendar import QUARTER_S, period_end_s, period_start_s

MONTH: Final = "month"

Hours = Mapping[int, int]
"""Nano-dollars by the hour (seconds since the epoch) in which they were spent."""

Judgement = Literal["over", "will_be_over", "may_be_over", "within", "too_young"]


@dataclass(frozen=True, slots=True)
class BudgetOutlook:
    """One scope with a monthly budget; nano-dollars. Without enough days the forecast is None.

    Attributes:
        judgement: over already; the whole range is above the budget; some of it is; none; too few days are known.
    """

    axis: str
    value: str
    budget_nanousd: int
    spent_nanousd: int
    forecast_nanousd: int | None
    low_nanousd: int | None
    high_nanousd: int | None
    ends_s: int
    judgement: Judgement


def axes_of(ruleset: RuleSet) -> set[str]:
    """Axes that have a monthly budget."""
    return {rule.axis for rule in _monthly(ruleset)}


def outlooks(
    ruleset: RuleSet, spend: Mapping[tuple[str, str], Hours], now_s: int
) -> list[BudgetOutlook]:  # fmt: skip
    """Every scope that has a monthly budget and spent something, by axis and value.

    Args:
        spend: hours by axis and value, as far back as they are known.
        now_s: what is spent later is not counted.
    """
    found = []
    for (axis, value), hours in sorted(spend.items()):
        budget = _budget_of(ruleset, axis, value)
        if budget is not None:
            zone = ruleset.time_zones.get(value, ruleset.default_time_zone)
            found.append(
                _outlook(
                    axis, value, budget, hours, now_s, zone if axis == "tenant" else ruleset.default_time_zone
                )
            )
    return found


def _outlook(axis: str, value: str, budget: int, hours: Hours, now_s: int, zone: str) -> BudgetOutlook:
    start_s = period_start_s(MONTH, zone, now_s // QUARTER_S)
    end_s, today = period_end_s(MONTH, zone, start_s), now_s // DAY_S
    # An hour that the month began in the middle of (zones with half hours) counts where it began.
    spent = sum(nanousd for hour_s, nanousd in hours.items() if start_s <= hour_s <= now_s)
    daily = np.zeros((DAYS, 1), np.int64)
    for hour_s, nanousd in hours.items():
        if 0 <= (place := hour_s // DAY_S - (today - DAYS)) < DAYS:
            daily[place] += nanousd
    whole_days = np.array([max(today - min(hours) // DAY_S - 1, 0)])
    found = forecast(np.array([spent]), daily, today - DAYS, whole_days, days_left(now_s, end_s))
    ends = [int(part[0]) for part in (found.nanousd, found.low_nanousd, found.high_nanousd)]
    known = bool(found.known[0])
    point, low, high = ends if known else (None, None, None)
    return BudgetOutlook(
        axis, value, budget, spent, point, low, high, end_s, _judge(budget, spent, low, high)
    )


def _judge(budget: int, spent: int, low: int | None, high: int | None) -> Judgement:
    if spent > budget:
        return "over"
    if low is None or high is None:
        return "too_young"
    if low > budget:
        return "will_be_over"
    return "may_be_over" if high > budget else "within"


def _budget_of(ruleset: RuleSet, axis: str, value: str) -> int | None:
    """The largest of its monthly limits: thresholds of a budget are shares of it."""
    if value.startswith(OTHER):
        return None
    rules = (rule for rule in _monthly(ruleset) if rule.axis == axis and fnmatchcase(value, rule.match))
    return max(_known(_limit(rule, value) for rule in rules), default=None)


def _limit(rule: CapRule | BurnRateRule, value: str) -> int | None:
    if isinstance(rule, CapRule):
        return rule.limits.get(value, rule.limit_nanousd)
    return rule.budgets.get(value, rule.budget_nanousd)


def _monthly(ruleset: RuleSet) -> Iterator[CapRule | BurnRateRule]:
    for rule in ruleset.rules:
        if isinstance(rule, CapRule | BurnRateRule) and rule.window == MONTH:
            yield rule


def _known(limits: Iterable[int | None]) -> Iterator[int]:
    return (limit for limit in limits if limit is not None)

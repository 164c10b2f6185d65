"""Burn rates of budgets, compiled: one rule per step of the ladder."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from tokenfuse.contracts.rulekinds.base import Rule


class BurnRateRule(Rule, frozen=True, kw_only=True, tag="burn_rate"):
    """A budget is spent `factor` times as fast as planned, in a long and in a short window, and will not last.

    Attributes:
        window: the budget's calendar period, `day` or `month`, in the time zone of the scope's tenant.
        budget_nanousd: for scopes not in `budgets`; None: those have none.
        factor: times the planned rate, which is the budget spread evenly over the period.
        long_seconds, short_seconds: rolling windows, both over the factor; the short one ends the alert soon.
        pace_seconds: the rest of the period is forecast at the mean rate of so long, and a scope younger than
            that is not judged; 0: at the rate of the long window.
        floor_nanousd: an excess over the plan below this, within the long window, is nobody's page.
    """

    window: Literal["day", "month"]
    budget_nanousd: int | None = None
    budgets: dict[str, int] = field(default_factory=dict)
    factor: float
    long_seconds: int
    short_seconds: int
    pace_seconds: int = 0
    floor_nanousd: int = 0

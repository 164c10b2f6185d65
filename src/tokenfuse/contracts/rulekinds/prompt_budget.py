"""Prompt budgets, compiled."""

from __future__ import annotations

from tokenfuse.contracts.rulekinds.base import Rule


class PromptBudgetRule(Rule, frozen=True, kw_only=True, tag="prompt_budget"):
    """The mean call of a scope sends more input tokens than it may.

    Attributes:
        limit: input tokens per call, cache reads included; more than this fires.
        window_seconds: whole panes that ended. calls_min: with fewer calls in them the rule is silent.
        floor_nanousd: what the tokens above the limit cost, at the window's mean cost of a token; less is nobody's page.
    """

    limit: int
    window_seconds: int
    calls_min: int
    floor_nanousd: int

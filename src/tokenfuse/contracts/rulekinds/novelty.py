"""Novelty, compiled."""

from __future__ import annotations

from tokenfuse.contracts.rulekinds.base import Rule


class NoveltyRule(Rule, frozen=True, kw_only=True, tag="novelty"):
    """A scope that was never seen before spends.

    Attributes:
        window_seconds: a scope is new for so long after its first call, and no longer.
        floor_nanousd: new scopes that have spent less are nobody's page.
        baseline_hours_min: hours that everything must have been watched for before a scope's first call.
    """

    window_seconds: int
    floor_nanousd: int
    baseline_hours_min: int

"""Drift, compiled."""

from __future__ import annotations

from typing import Literal

from tokenfuse.contracts.rulekinds.base import Rule

DriftSignal = Literal["prompt", "output", "cache", "retry", "tier"]


class DriftRule(Rule, frozen=True, kw_only=True, tag="drift"):
    """A per-call quantity moved away from the scope's own learned baseline, mix-adjusted over its cells.

    Attributes:
        signal: prompt (log input tokens), output, cache (share of calls with cache reads), retry (share), tier
            (share answered by frontier or reasoning models).
        windows_seconds: how far back the recent side reaches; the largest score counts.
        z_min: score in standard deviations. effect_min: relative (prompt, output) or absolute (shares) change.
        record_factor: times the largest score of the scope's last 14 ordinary days that an alarm has to exceed, too; 0:
            no record counts.
        baseline_hours: how far back the baseline reaches. baseline_hours_min: hours with traffic it needs.
        calls_min: calls in the recent window below which the rule is silent.
        floor_nanousd_per_day: excess below this is nobody's page.
        evaluation_interval_seconds: every so often of event time.
    """

    signal: DriftSignal
    windows_seconds: tuple[int, ...]
    z_min: float
    record_factor: float = 0.0
    effect_min: float
    baseline_hours: int
    baseline_hours_min: int
    calls_min: int
    floor_nanousd_per_day: int
    evaluation_interval_seconds: int

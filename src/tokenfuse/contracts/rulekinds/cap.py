"""Caps and budget thresholds, compiled."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from tokenfuse.contracts.rulekinds.base import Rule

ROLLING: dict[str, int] = {
    "1m": 60, "5m": 300, "10m": 600, "30m": 1800, "1h": 3600,
    "6h": 21_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000,
}  # fmt: skip


class CapRule(Rule, frozen=True, kw_only=True, tag="cap"):
    """Spend over a hard limit. Checked at every block, on open panes: money only grows.

    Attributes:
        window: a rolling length (`1m`, `1h`, `30d`: one of ROLLING), or calendar `day` or `month` in the time
            zone of the scope's tenant (of the rule set for other axes).
        limit_nanousd: for scopes not in `limits`; None: those have no limit.
        limits: scope value to limit, from a rule table.
    """

    window: str
    limit_nanousd: int | None = None
    limits: dict[str, int] = field(default_factory=dict)
    resolution: Literal["warn", "final"] = "final"  # warn: a budget threshold below 100 %

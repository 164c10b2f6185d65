"""Facts of a rule that an alert keeps: it outlives the rule set, and a rule's table of limits is too large to copy."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from tokenfuse.contracts.alert import Driver, Kind, Severity
from tokenfuse.contracts.ruleset import (
    AgentRule,
    AnyRule,
    CapRule,
    DriftRule,
    PriceRule,
    Response,
    RuleMode,
    SpikeRule,
    VolumeRule,
)

Unit = Literal["usd", "tokens", "share", "ratio", "count", "seconds"]

VOLUME: Final = "volume"

KIND_UNITS: Final[dict[Kind, Unit]] = {
    "cap": "usd", "burst": "ratio", "spike": "ratio", "burn_rate": "ratio", "drift": "ratio",
    "agent": "count", "price": "share", "prompt_budget": "tokens", "absence": "count", "novelty": "usd",
}  # fmt: skip


class Facts(Struct, frozen=True, kw_only=True):
    """What the decider needs of one rule. `ladder` names the rules that are rungs of one ladder on one scope.

    Attributes:
        signal: of drift, or VOLUME; empty for all others. effect_min: the rule's own, or its `ratio_min`.
    """

    rule: str
    kind: Kind
    driver: Driver
    severity: Severity
    mode: RuleMode
    unit: Unit
    ladder: str
    window: str = ""
    measure: str = ""
    warns_early: bool = False
    for_ms: int = 0
    keep_firing_ms: int = 0
    response: Response | None = None
    runbook: str | None = None
    signal: str = ""
    effect_min: float = 0.0

    @property
    def acts(self) -> bool:
        """Whether a firing alert engages a switch."""
        return self.response is not None and self.mode != "warn"


def facts_of(rule: AnyRule) -> Facts:
    """The facts of one rule of the rule set in force."""
    window = rule.window if isinstance(rule, CapRule) else rule.pane if isinstance(rule, SpikeRule) else ""
    return Facts(
        rule=rule.id, kind=rule.kind, driver=rule.driver, severity=rule.severity, mode=rule.mode,
        unit=_unit(rule), window=window, measure=rule.measure if isinstance(rule, AgentRule | PriceRule) else "", warns_early=isinstance(rule, CapRule) and rule.resolution == "warn",
        # Budget thresholds of one window are rungs; an hourly and a daily spike say the same thing twice.
        ladder=_ladder(rule, window),
        for_ms=rule.for_seconds * 1000, keep_firing_ms=rule.keep_firing_for_seconds * 1000,
        response=rule.response, runbook=rule.runbook, signal=_signal(rule), effect_min=_effect_min(rule),
    )  # fmt: skip


def _signal(rule: AnyRule) -> str:
    return rule.signal if isinstance(rule, DriftRule) else VOLUME if isinstance(rule, VolumeRule) else ""


def _effect_min(rule: AnyRule) -> float:
    if isinstance(rule, DriftRule):
        return rule.effect_min
    return rule.ratio_min if isinstance(rule, VolumeRule) else 0.0


def _ladder(rule: AnyRule, window: str) -> str:
    """A price that is wrong and one that is unknown are two stories."""
    if isinstance(rule, PriceRule):
        return f"price {rule.measure}"
    return f"cap {window}" if rule.kind == "cap" else rule.kind


def _unit(rule: AnyRule) -> Unit:
    if isinstance(rule, AgentRule):
        return {"tokens": "tokens", "context": "tokens", "seconds": "seconds"}.get(rule.measure, "count")  # type: ignore[return-value]
    if isinstance(rule, VolumeRule):
        return "count"  # calls in the window, not a multiple
    if isinstance(rule, DriftRule):
        return "tokens" if rule.signal in ("prompt", "output") else "share"
    return KIND_UNITS[rule.kind]

"""Whether the panes that are kept reach as far back as a rule looks: said before the rule is in force, not after."""

from __future__ import annotations

from tokenfuse.contracts.ruleset import (
    ROLLING,
    AgentRule,
    AnyRule,
    BurnRateRule,
    BurstRule,
    CapRule,
    DriftRule,
    SpikeRule,
)
from tokenfuse.windows.granularity import SERIES, finest_for, kind_of


def out_of_reach(rule: AnyRule) -> str | None:
    """What of a rule no kept pane covers, in a sentence that says what would be right; None: all of it is covered."""
    kind = kind_of(rule.axis)
    if isinstance(rule, SpikeRule):
        kept = kind.panes.get(rule.pane, 0)
        if kept < rule.history_panes_min:
            return f"axis {rule.axis} keeps {kept} panes of {rule.pane} behind the open one: use another pane"
        return None
    if isinstance(rule, DriftRule):
        kind = SERIES  # drift looks at cells
    for seconds in _windows(rule):
        try:
            finest_for(kind, seconds)
        except ValueError:
            return f"axis {rule.axis} keeps no panes that cover a window of {seconds} s: use a shorter one, or whole hours"
    return None


def _windows(rule: AnyRule) -> tuple[int, ...]:
    """Lengths of the rolling windows that a rule reads, seconds."""
    match rule:
        case CapRule():
            return (ROLLING[rule.window],) if rule.window in ROLLING else ()
        case BurnRateRule():
            return rule.long_seconds, rule.short_seconds, *((rule.pace_seconds,) if rule.pace_seconds else ())
        case AgentRule():
            return (rule.window_seconds,) if rule.window_seconds else ()
        case DriftRule() | BurstRule():
            return rule.windows_seconds
    return ()

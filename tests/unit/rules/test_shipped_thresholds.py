"""Every threshold of the shipped rules, broken by a fifth, fails a test beside them: in one direction at least."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tokenfuse.contracts.ruleset import AnyRule
from tokenfuse.ingest.call import Call
from tokenfuse.rules.ruletest import Loaded, read_tests, run_tests
from tokenfuse.runtime.pipeline import run_events

RULES = Path(__file__).parents[3] / "rules"
FILES = (
    "absence",
    "agents",
    "bursts",
    "burn_rate",
    "budgets",
    "caps",
    "novelty",
    "prices",
    "prompt_budgets",
    "spikes",
)
THRESHOLDS = frozenset({
    "limit_nanousd", "limits", "budgets", "factor", "floor_nanousd", "history_panes_min", "limit", "times_record",
    "record_days_min", "at_least", "surprise_min", "calls_min", "floor_nanousd_per_hour", "share_max", "share_min", "change_min",
    "quiet_min", "calls_per_hour_min", "silence_min_seconds", "record_factor", "baseline_hours_min",
    "floor_nanousd_per_day",
})  # fmt: skip
"""Windows and how long an alert lasts are choices, not thresholds."""

EXEMPT = {
    "daily-spike.tenant": {"floor_nanousd", "history_panes_min"},
    "hourly-spike.tenant": {"floor_nanousd", "history_panes_min"},
    "run-depth-unusual": {"floor_nanousd"},
    "run-seconds": {"floor_nanousd"},
    "user-runs": {"floor_nanousd"},
    "feature-fan-out": {"floor_nanousd"},
    "monthly-burn@6": {"floor_nanousd"},
    "monthly-burn@1": {"floor_nanousd"},
    "burst.tenant": {"calls_min", "factor", "surprise_min"},
    "user-burst": {"calls_min", "factor", "floor_nanousd_per_hour", "surprise_min", "times_record"},
}
"""Not yet held by a test of traffic: floors that a sibling's test holds, and conditions of a burst that back each other up
(tests/unit/detect/test_burst.py holds them one by one)."""


def one_of_each(loaded: Loaded) -> Iterator[AnyRule]:
    """One rule per rule of the file: of several axes the first; every step of a ladder."""
    seen: set[str] = set()
    for rule in loaded.ruleset.rules:
        base = rule.id.split(".")[0] if rule.id.endswith(f".{rule.axis}") else rule.id
        if base not in seen:
            seen.add(base)
            yield rule


def cases() -> Iterator[Any]:
    for name in FILES:
        loaded = read_tests(RULES, RULES / f"{name}_test.yaml")
        for rule in one_of_each(loaded):
            for field in sorted(THRESHOLDS & set(rule.__struct_fields__) - EXEMPT.get(rule.id, set())):
                unused = field == "record_days_min" and rule.times_record is None
                if getattr(rule, field) and not unused:
                    yield pytest.param(loaded, rule, field, id=f"{rule.id}-{field}")


def broken(rule: AnyRule, field: str, factor: float) -> AnyRule:
    """The rule with one threshold a fifth higher or lower; whole numbers by at least one."""
    value = getattr(rule, field)
    if isinstance(value, dict):
        return msgspec.structs.replace(rule, **{field: {k: round(v * factor) for k, v in value.items()}})
    if isinstance(value, int):
        step = max(1, round(value * abs(factor - 1)))
        return msgspec.structs.replace(rule, **{field: value + step if factor > 1 else value - step})
    return msgspec.structs.replace(rule, **{field: value * factor})


def fails(loaded: Loaded, rule: AnyRule) -> bool:
    """Whether an expectation of this rule is not met when it is the only rule."""
    mine = [
        test.model_copy(update={"expect": [e for e in test.expect if e.rule == rule.id]})
        for test in loaded.file.tests
        if any(e.rule == rule.id for e in test.expect)
    ]
    alone = msgspec.structs.replace(
        loaded,
        file=loaded.file.model_copy(update={"tests": mine}),
        ruleset=msgspec.structs.replace(loaded.ruleset, rules=(rule,)),
    )
    return any(result.failures for result in run_tests(alone, Call, run_events))


LEARNED = frozenset({
    "z_min", "record_factor", "effect_min", "calls_min", "floor_nanousd_per_day", "baseline_hours_min", "ratio_min"
})  # fmt: skip
LEARNED_EXEMPT = {
    "cache-collapse": {"effect_min", "record_factor"},
    "retry-surge": {"effect_min", "record_factor"},
    "tier-shift": {"effect_min", "record_factor"},
}
"""Shares: tests/unit/detect/test_drift.py holds what a share may move by; records are the same code for all signals."""


def learned_cases() -> Iterator[Any]:
    """Learned rules are judged on the tenant axis, each with all its broken copies at once: scores are made once for all."""
    loaded = read_tests(RULES, RULES / "drift_test.yaml")
    for rule in loaded.ruleset.rules:
        if rule.axis == "tenant":
            exempt = LEARNED_EXEMPT.get(rule.id.split(".")[0], set())
            fields = sorted(LEARNED & set(rule.__struct_fields__) - exempt)
            yield pytest.param(loaded, rule, fields, id=rule.id)


@pytest.mark.slow
@pytest.mark.parametrize(("loaded", "rule", "fields"), list(learned_cases()))
def test_a_threshold_of_a_learned_rule_broken_by_a_fifth_fails_a_test(
    loaded: Loaded, rule: AnyRule, fields: list[str]
) -> None:
    copies = [
        msgspec.structs.replace(broken(rule, field, factor), id=f"{field}*{factor}")
        for field in fields
        for factor in (1.2, 0.8)
    ]

    found = noticed(loaded, rule, copies)

    assert [field for field in fields if not found & {f"{field}*1.2", f"{field}*0.8"}] == []


def noticed(loaded: Loaded, rule: AnyRule, copies: list[AnyRule]) -> set[str]:
    """Ids of the copies of a rule that fail an expectation of it."""
    tests = [
        test.model_copy(
            update={"expect": [e.model_copy(update={"rule": copy.id}) for e in mine for copy in copies]}
        )
        for test in loaded.file.tests
        if (mine := [e for e in test.expect if e.rule == rule.id])
    ]
    together = msgspec.structs.replace(
        loaded,
        file=loaded.file.model_copy(update={"tests": tests}),
        ruleset=msgspec.structs.replace(loaded.ruleset, rules=tuple(copies)),
    )
    messages = [f.message for result in run_tests(together, Call, run_events) for f in result.failures]
    return {message.split(" at ")[0] for message in messages}


@pytest.mark.slow
@pytest.mark.parametrize(("loaded", "rule", "field"), list(cases()))
def test_a_threshold_broken_by_a_fifth_fails_a_test(loaded: Loaded, rule: AnyRule, field: str) -> None:
    assert any(fails(loaded, broken(rule, field, factor)) for factor in (1.2, 0.8))

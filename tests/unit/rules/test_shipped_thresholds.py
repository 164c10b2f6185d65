"""Every threshold of the shipped rules, broken by a fifth, fails a test beside them: in one direction at least."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tokenfuse.contracts.ruleset import AnyRule, DriftRule
from tokenfuse.detect.drift import ScopeScores, breaches
from tokenfuse.ingest.call import Call
from tokenfuse.rules.ruletest import Loaded, read_tests, run_tests
from tokenfuse.runtime.pipeline import run_events

RULES = Path(__file__).parents[3] / "rules"
NEAR = Path(__file__).parent / "near"
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
    "burst.tenant": {"calls_min", "factor", "surprise_min", "floor_nanousd", "floor_nanousd_per_hour"},
    "global-burst": {"calls_min", "factor", "surprise_min", "floor_nanousd", "floor_nanousd_per_hour"},
    "user-burst": {"calls_min", "factor", "surprise_min", "times_record"},
}
"""Held by two figures and no traffic (test_shipped_thresholds_alone.py): floors that a sibling's test of traffic holds, and
conditions of a burst that back each other up."""


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
            fields = sorted(THRESHOLDS & set(rule.__struct_fields__) - EXEMPT.get(rule.id, set()))
            unused = {"record_days_min"} if getattr(rule, "times_record", None) is None else set()
            held = [field for field in fields if getattr(rule, field) and field not in unused]
            if held:
                yield pytest.param(loaded, rule, held, id=rule.id)


def broken(rule: AnyRule, field: str, factor: float) -> AnyRule:
    """The rule with one threshold a fifth higher or lower; whole numbers by at least one."""
    value = getattr(rule, field)
    if isinstance(value, dict):
        return msgspec.structs.replace(rule, **{field: {k: round(v * factor) for k, v in value.items()}})
    if isinstance(value, int):
        step = max(1, round(value * abs(factor - 1)))
        return msgspec.structs.replace(rule, **{field: value + step if factor > 1 else value - step})
    return msgspec.structs.replace(rule, **{field: value * factor})


LEARNED = frozenset({
    "z_min", "record_factor", "effect_min", "calls_min", "floor_nanousd_per_day", "baseline_hours_min", "ratio_min"
})  # fmt: skip
LEARNED_EXEMPT = {
    "cache-collapse": {"effect_min", "record_factor"},
    "retry-surge": {"effect_min", "record_factor"},
    "tier-shift": {"effect_min", "record_factor"},
    "volume-surge": {"calls_min"},
    "volume-hours": {"calls_min"},
}
"""Of shares a small change is never certain in a day of traffic; the next test holds what they may move by. A scope quiet
enough for `calls_min` of volume has a record that says more (test_shipped_thresholds_alone.py holds it)."""


@pytest.mark.parametrize(
    ("name", "below", "above"),
    [("cache-collapse", 0.095, 0.105), ("retry-surge", 0.057, 0.063), ("tier-shift", 0.057, 0.063)],
)
def test_a_share_moves_by_so_much_and_beats_its_record_by_three_tenths(
    name: str, below: float, above: float
) -> None:
    for rule in ladders()[name]:
        assert isinstance(rule, DriftRule)
        effect = np.array([[below, above, above, above]])
        z, record = np.array([[9.0, 9.0, 6.35, 6.65]]), np.array([0.0, 0.0, 5.0, 5.0])
        scores = ScopeScores(z, effect, effect, effect, np.full((1, 4), 100.0))

        assert breaches(rule, scores, 0, record).tolist() == [False, True, False, True]


def ladders() -> dict[str, list[AnyRule]]:
    """Learned rules on the tenant axis by name, page and ticket together."""
    found: dict[str, list[AnyRule]] = {}
    for rule in read_tests(RULES, RULES / "drift_test.yaml").ruleset.rules:
        if rule.axis == "tenant":
            found.setdefault(rule.id.split(".")[0], []).append(rule)
    return found


@pytest.fixture
def near_misses(tmp_path: Path) -> Loaded:
    """The shipped rules beside traffic a little below their thresholds."""
    for name in ("drift.yaml", "settings.yaml"):
        shutil.copy(RULES / name, tmp_path)
    shutil.copytree(RULES / "tables", tmp_path / "tables")
    shutil.copy(NEAR / "drift_test.yaml", tmp_path)
    return read_tests(tmp_path, tmp_path / "drift_test.yaml")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rules"), list(ladders().items()))
def test_a_threshold_of_a_learned_rule_broken_by_a_fifth_is_noticed_by_traffic_near_it(
    near_misses: Loaded, name: str, rules: list[AnyRule]
) -> None:
    fields = sorted(LEARNED - LEARNED_EXEMPT.get(name, set()))
    held = [(rule, field) for rule in rules for field in fields if hasattr(rule, field)]
    copies = {(rule.id, field, 0.8): broken(rule, field, 0.8) for rule, field in held}
    unbroken = {(rule.id, "", 1.0): rule for rule in rules}

    found = noticed(near_misses, copies | unbroken)

    assert found == set(copies)


def noticed(loaded: Loaded, copies: dict[tuple[str, str, float], AnyRule]) -> set[tuple[str, str, float]]:
    """Which broken copies of a rule fail an expectation of it. They are judged in one run: scores are made once for all."""
    named = {f"copy-{number}": key for number, key in enumerate(copies)}
    tests = [
        test.model_copy(update={"expect": mine})
        for test in loaded.file.tests
        if (
            mine := [
                e.model_copy(update={"rule": name})
                for e in test.expect
                for name, key in named.items()
                if key[0] == e.rule
            ]
        )
    ]
    rules = tuple(msgspec.structs.replace(copies[key], id=name) for name, key in named.items())
    together = msgspec.structs.replace(
        loaded,
        file=loaded.file.model_copy(update={"tests": tests}),
        ruleset=msgspec.structs.replace(loaded.ruleset, rules=rules),
    )
    results = run_tests(together, Call, run_events)
    return {named[failure.message.split(" at ")[0]] for result in results for failure in result.failures}


@pytest.mark.slow
@pytest.mark.parametrize(("loaded", "rule", "fields"), list(cases()))
def test_a_threshold_broken_by_a_fifth_fails_a_test_in_one_direction_at_least(
    loaded: Loaded, rule: AnyRule, fields: list[str]
) -> None:
    copies = {
        (rule.id, field, factor): broken(rule, field, factor) for field in fields for factor in (1.2, 0.8)
    }

    found = noticed(loaded, {(rule.id, "", 1.0): rule, **copies})

    assert {field for _, field, _ in found} == set(fields)

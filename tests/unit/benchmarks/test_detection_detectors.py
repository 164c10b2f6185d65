"""Which rules the benchmark of detection judges: what learns, and no limit that somebody has to set."""

from __future__ import annotations

from pathlib import Path

from benchmarks.detection import detectors

from tokenfuse.contracts.ruleset import AgentRule
from tokenfuse.rules.loader import load

RULES = Path(__file__).parents[3] / "rules"


def test_shipped_rules_that_learn_are_judged_as_they_are_and_limits_are_left_out(tmp_path):
    shipped = {rule.id: rule for rule in load(RULES).rules}
    judged = {rule.id: rule for rule in load(detectors.write(RULES, tmp_path)).rules}
    assert all(judged[rule_id] == shipped[rule_id] for rule_id in judged)
    left_out = [shipped[rule_id] for rule_id in shipped.keys() - judged.keys()]
    assert {rule.kind for rule in left_out} == {"agent", "burn_rate", "cap", "prompt_budget", "spike"}
    assert all(rule.times_record is None for rule in left_out if isinstance(rule, AgentRule))
    # Alerts of volume rules are of kind drift.
    assert {rule.kind for rule in judged.values()} == detectors.KINDS - {"volume"}

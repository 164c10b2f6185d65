"""The rules that everybody gets: they load, lint finds nothing, and each fires on the traffic that it is for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.support.evidence import check_evidence
from typer.testing import CliRunner

from tokenfuse.cli.rules import app
from tokenfuse.contracts.alert import Alert
from tokenfuse.contracts.ruleset import RuleSet
from tokenfuse.ingest.call import Call
from tokenfuse.rules.lint import lint
from tokenfuse.rules.loader import load, read_files
from tokenfuse.rules.ruletest import read_tests, run_tests, test_paths as paths_of_tests, untested
from tokenfuse.runtime.pipeline import run_events

REPOSITORY = Path(__file__).parents[3]
RULES = REPOSITORY / "rules"
TESTS = paths_of_tests(RULES)


def run_and_check_evidence(calls: Iterable[Call], ruleset: RuleSet) -> list[Alert]:
    """As `run_events`; every alert that the shipped rules raise has to prove its dollars."""
    calls = list(calls)
    alerts = run_events(calls, ruleset)
    for alert in alerts:
        check_evidence(alert, calls)
    return alerts


def test_lint_finds_nothing():
    assert lint(read_files(RULES), ()) == []


def test_every_rule_has_a_runbook_section_with_steps():
    text = (REPOSITORY / "docs/runbooks.md").read_text()
    sections = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    anchors = {rule.runbook.removeprefix("docs/runbooks.md#") for rule in load(RULES).rules if rule.runbook}

    assert anchors == set(sections)
    assert all(len(re.findall(r"^\d\. ", section, re.MULTILINE)) >= 2 for section in sections.values())


def test_every_rule_fires_in_some_test():
    assert [untested(read_tests(RULES, path)) for path in TESTS] == [[]] * len(TESTS)


@pytest.mark.slow
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_the_rule_tests_pass_in_the_real_pipeline(path):
    results = list(run_tests(read_tests(RULES, path), Call, run_and_check_evidence))

    assert [(result.name, result.failures) for result in results if result.failures] == []


def test_check_says_ok_in_json_and_exits_0():
    result = CliRunner().invoke(app, ["check", str(RULES), "--output", "json"])
    record = json.loads(result.stdout)

    assert result.exit_code == 0
    assert record["ok"]
    assert record["ruleset"] == load(RULES).id


def test_check_exits_1_on_findings_and_only_with_strict_on_warnings(tmp_path):
    (tmp_path / "x.yaml").write_text(
        'rules: [{id: a, kind: cap, maturity: stable, axis: user, window: 24h, limit_usd: "5", severity: page, mode: warn}]'
    )
    codes = [
        CliRunner().invoke(app, ["check", str(tmp_path), *more]).exit_code for more in ([], ["--strict"])
    ]

    assert codes == [0, 1]


@pytest.mark.parametrize("verb", ["check", "test"])
def test_a_bad_file_exits_2_with_every_problem(tmp_path, verb):
    (tmp_path / "x.yaml").write_text("rules: [{id: a, kind: what}]")
    (tmp_path / "x_test.yaml").write_text(
        "tests: [{name: n, traffic: [{to: 1h, calls_per_hour: 1, usd: 1}], expect: [{at: 1h, rule: a, alerts: []}]}]"
    )
    result = CliRunner().invoke(app, [verb, str(tmp_path), "-o", "json"])

    assert result.exit_code == 2
    assert [p["path"] for p in json.loads(result.stdout)["problems"]] == ["x.yaml"]


def test_a_failing_rule_test_exits_1_and_shows_the_line(tmp_path):
    (tmp_path / "x.yaml").write_text(
        'rules: [{id: a, kind: cap, maturity: stable, axis: user, window: 24h, limit_usd: "5", severity: page, mode: warn}]'
    )
    (tmp_path / "x_test.yaml").write_text("""tests:
  - name: too little spent
    traffic: [{to: 10m, calls_per_hour: 60, user: ann, usd: "0.1"}]
    expect:
      - {at: 9m, rule: a, alerts: [{scope: {user: ann}}]}
""")
    result = CliRunner().invoke(app, ["test", str(tmp_path)])

    assert result.exit_code == 1
    assert "x_test.yaml:5: a at 2026-03-02T00:09:00Z: expected scope {'user': 'ann'}" in result.stdout

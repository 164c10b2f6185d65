"""Rules that load but will disappoint are found with a code, a severity and a place."""

from __future__ import annotations

import pytest

from tokenfuse.rules.lint import lint
from tokenfuse.rules.loader import read_files

FINE = {
    "id": "run-cap", "kind": "cap", "title": "A run is over its cap", "maturity": "stable", "axis": "run_id",
    "window": "24h", "limit_usd": '"25"', "severity": "page", "mode": "enforce",
    "response": "{action: block, ttl: 1h}", "runbook": "docs/runbooks.md#run-cap",
}  # fmt: skip


def findings(tmp_path, *, test: bool = True, **changes: str | None) -> list[tuple[str, str, int]]:
    fields = {key: value for key, value in (FINE | changes).items() if value is not None}
    (tmp_path / "x.yaml").write_text(
        "rules:\n  - " + "\n    ".join(f"{k}: {v}" for k, v in fields.items()) + "\n"
    )
    if test:
        (tmp_path / "x_test.yaml").touch()
    return [
        (issue.code.value, issue.severity, issue.line)
        for issue in lint(read_files(tmp_path), ["cost_center"])
    ]


def test_a_careful_rule_has_no_findings(tmp_path):
    assert findings(tmp_path) == []


def test_a_rule_on_a_further_axis_of_the_installation_is_fine(tmp_path):
    assert findings(tmp_path, axis="cost_center") == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"response": None}, ("enforce-without-response", "error", 10)),
        ({"mode": "warn"}, ("warn-with-response", "warning", 11)),
        ({"maturity": "sandbox", "mode": "shadow"}, ("sandbox-pages", "error", 5)),
        ({"maturity": "sandbox", "severity": "info"}, ("sandbox-enforces", "error", 5)),
        ({"runbook": None}, ("cap-without-runbook", "warning", 2)),
        ({"title": None}, ("rule-without-title", "warning", 2)),
        ({"axis": "labels.squad"}, ("axis-without-scopes", "warning", 6)),
        ({"test": False}, ("file-without-test", "warning", 1)),
    ],
)
def test_each_finding_has_its_code_severity_and_line(tmp_path, changes, expected):
    assert findings(tmp_path, **changes) == [expected]


def test_a_page_of_any_other_kind_needs_a_runbook(tmp_path):
    spike = {
        "kind": "spike", "window": None, "limit_usd": None, "pane": "1h", "factor": "3.0", "history_panes": "20",
        "history_panes_min": "5", "floor_usd": "0", "mode": "warn", "response": None, "runbook": None, "axis": "tenant",
    }  # fmt: skip

    assert {code for code, _, _ in findings(tmp_path, **spike)} == {
        "page-without-runbook",
        "spike-without-floor",
    }

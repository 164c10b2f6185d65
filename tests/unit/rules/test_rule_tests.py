"""Rule tests: traffic is expanded the same way every time, and what differs from the expectation is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenfuse.contracts.alert import Alert
from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.contracts.scope import fingerprint
from tokenfuse.ingest.call import Call
from tokenfuse.rules.errors import RuleFileError
from tokenfuse.rules.ruletest import Result, read_tests, run_tests, untested
from tokenfuse.rules.traffic import Series, TokenPrices, expand, parse_start

START_MS = parse_start("2026-03-02T00:00:00Z")
RULES = """rules:
  - {id: run-cap, kind: cap, maturity: stable, axis: run_id, window: 24h, limit_usd: "25", severity: page, mode: warn}
"""
TEST = """tests:
  - name: one run
    traffic:
      - {to: 10m, calls_per_hour: 60, run_id: r1, usd: "5"}
    expect:
      - {at: 4m, rule: run-cap, alerts: []}
      - at: 6m
        rule: run-cap
        alerts: [{scope: {run_id: r1}, severity: page}]
"""


def alert(state: str, at_s: int, run: str = "r1", severity: str = "page") -> Alert:
    return Alert(
        fingerprint=fingerprint("run-cap", run), seq=0, rule="run-cap", kind="cap", driver="volume", scope={"run_id": run},
        state=state, starts_at=to_rfc3339(START_MS), at=to_rfc3339(START_MS + at_s * 1000), severity=severity, value=1.0,
        threshold=1.0, unit="usd", excess_usd="0", excess_usd_per_hour="0", summary="",
    )  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "caps.yaml").write_text(RULES)
    (tmp_path / "caps_test.yaml").write_text(TEST)
    return tmp_path


def outcome(root: Path, *alerts: Alert) -> Result:
    """Result of the test when the pipeline answers with these alerts."""
    [result] = run_tests(read_tests(root, root / "caps_test.yaml"), Call, lambda calls, ruleset: alerts)
    return result


def test_the_alert_at_its_time_and_none_before_is_a_pass(root):
    assert outcome(root, alert("firing", 300)).failures == ()


@pytest.mark.parametrize(
    ("alerts", "line", "message"),
    [
        ((), 7, "expected scope {'run_id': 'r1'}, state firing, severity page. Its transitions: none"),
        ((alert("firing", 200),), 6, "did not expect scope {'run_id': 'r1'}, state firing"),
        (
            (alert("firing", 300), alert("resolved", 350)),
            7,
            "resolved {'run_id': 'r1'} at 2026-03-02T00:05:50Z",
        ),
        ((alert("pending", 300),), 7, "did not expect scope {'run_id': 'r1'}, state pending"),
        ((alert("firing", 300, severity="info"),), 7, "severity info"),
        ((alert("firing", 300), alert("firing", 300, run="r2")), 7, "did not expect scope {'run_id': 'r2'}"),
    ],
)
def test_every_difference_fails_at_the_line_of_its_expectation(root, alerts, line, message):
    [failure] = outcome(root, *alerts).failures

    assert failure.line == line
    assert message in failure.message


def test_a_rule_that_no_test_sees_firing_is_named(root):
    assert untested(read_tests(root, root / "caps_test.yaml")) == []
    (root / "caps_test.yaml").write_text(TEST[: TEST.index("      - at: 6m")])

    assert untested(read_tests(root, root / "caps_test.yaml")) == ["run-cap"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "rule: run-cap, alerts",
            "rule: run-cup, alerts",
            "caps_test.yaml:6: no rule run-cup: there are run-cap",
        ),
        ('usd: "5"', "tokens: 5", "caps_test.yaml:4: unknown field tokens: "),
        (
            ', usd: "5"',
            "",
            "caps_test.yaml:4: give usd (per call) or usd_per_million (of tokens), and not both",
        ),
        ("to: 10m", "to: 0s", "caps_test.yaml:4: to: later than from"),
        ("calls_per_hour: 60", "calls_per_hour: 3600000", "caps_test.yaml:4: 600000 calls: at most 500000"),
    ],
)
def test_a_mistake_in_a_test_file_is_told_like_one_in_a_rule_file(root, old, new, problem):
    (root / "caps_test.yaml").write_text(TEST.replace(old, new, 1))

    with pytest.raises(RuleFileError) as refused:
        read_tests(root, root / "caps_test.yaml")
    assert str(refused.value).startswith(problem)


def test_a_test_without_its_rule_file_is_refused(root):
    (root / "caps_test.yaml").rename(root / "other_test.yaml")

    with pytest.raises(RuleFileError, match=r"other\.yaml:1: no such rule file"):
        read_tests(root, root / "other_test.yaml")


def series(**changes) -> Series:
    return Series.model_validate({"to": "1h", "calls_per_hour": 60, "usd": "0.01"} | changes)


def test_calls_are_evenly_spaced_and_sorted_over_all_series():
    calls = expand([series(), series(**{"from": "30m", "tenant": "b"})], START_MS, "x", Call)
    times = [call.time_ms for call in calls]

    assert times == sorted(times)
    assert [c.time_ms - START_MS for c in calls if c.tenant == "acme"] == [60_000 * i for i in range(60)]
    assert len({call.id for call in calls}) == len(calls) == 90


def test_the_same_test_draws_the_same_calls_and_another_name_others():
    lines = [series(spread=0.5, retry_share=0.3, cache_hit_share=0.5)]

    assert expand(lines, START_MS, "x", Call) == expand(lines, START_MS, "x", Call)
    assert expand(lines, START_MS, "x", Call) != expand(lines, START_MS, "y", Call)


def test_shares_and_prices_come_out_as_written():
    prices = TokenPrices.model_validate({"input": 10, "output": 20, "cache_read": 1})
    calls = expand(
        [Series(to="1h", calls_per_hour=6000, cache_hit_share=0.5, retry_share=0.25, usd_per_million=prices)],
        START_MS,
        "x",
        Call,
    )

    assert sum(call.retry for call in calls) / 6000 == pytest.approx(0.25, abs=0.03)
    assert sum(call.cache_read_tokens > 0 for call in calls) / 6000 == pytest.approx(0.5, abs=0.03)
    assert {call.cost_nanousd for call in calls} == {14_000_000, 100 * 10_000 + 900 * 1_000 + 200 * 20_000}

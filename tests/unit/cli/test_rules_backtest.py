"""`tokenfuse rules backtest`: past events in, what the rules would have found and saved out."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from tokenfuse.cli import rules as rules_verb
from tokenfuse.contracts.clock import to_rfc3339

HOUR_MS = 3_600_000
START_MS = 1_772_409_600_000
RULES = """
rules:
  - {id: spike, kind: spike, maturity: stable, axis: tenant, pane: 1h, factor: 3.0, history_panes: 24,
     history_panes_min: 12, floor_usd: "5.00", severity: ticket, mode: warn}
  - {id: silent, kind: spike, maturity: stable, axis: feature, pane: 1h, factor: 900.0, history_panes: 24,
     history_panes_min: 12, floor_usd: "5.00", severity: page, mode: warn}
"""


def events(path, per_hour):
    """One tenant's calls at a dollar each, spread over every hour."""
    lines = [
        json.dumps({
            "id": f"{hour}-{i}", "time": to_rfc3339(START_MS + hour * HOUR_MS + i * HOUR_MS // calls), "tenant": "acme",
            "feature": "chat", "model": "gpt-5-mini", "input_tokens": 10, "output_tokens": 10, "cost_usd": "1.00",
        })
        for hour, calls in enumerate(per_hour)
        for i in range(calls)
    ]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.fixture
def rules(tmp_path):
    directory = tmp_path / "rules"
    directory.mkdir()
    (directory / "rules.yaml").write_text(RULES)
    return str(directory)


def backtest(*arguments):
    parent = typer.Typer()
    rules_verb.register(parent)
    return CliRunner().invoke(parent, ["rules", "backtest", *arguments])


def test_a_spike_is_reported_with_what_acting_in_time_would_have_saved(tmp_path, rules):
    run = events(tmp_path / "run.jsonl", [6] * 30 + [60] + [6] * 5)
    out = tmp_path / "out"

    result = backtest("--events", run, "--rules", rules, "--out", str(out))

    assert result.exit_code == 0, result.output
    assert "1 of 2 rules told nobody anything" in result.stdout
    record = json.loads((out / "backtest.json").read_text())
    told = record["alerts"][0]
    assert (told["scope"], told["severity"], told["against"]) == ({"tenant": "acme"}, "ticket", "usual_hour")
    # A dollar a minute; the spike is told with the 19th, and 5 minutes later 36 to 37 are still to come, less the usual ones.
    assert 30 <= float(told["saved_usd"]) <= 34
    assert record["rules"][0]["saved_usd"] == told["saved_usd"]
    assert record["rules"][0]["false_alarms"] == 0
    assert record["picture"]["scope"] == {"tenant": "acme"}
    assert "1: spike, ticket, told" in (out / "scope.html").read_text()
    assert (out / "run" / "alerts.jsonl").exists()


def test_with_a_counterfactual_figures_are_differences_and_its_alerts_are_the_false_ones(tmp_path, rules):
    run = events(tmp_path / "run.jsonl", [6] * 30 + [60] + [6] * 5)
    other = events(tmp_path / "other.jsonl", [6] * 26 + [40] + [6] * 9)
    out = tmp_path / "out"

    result = backtest(
        "--events", run, "--rules", rules, "--out", str(out), "--counterfactual", other, "-o", "json"
    )

    record = json.loads(result.stdout)
    assert record == json.loads((out / "backtest.json").read_text())
    assert record["rules"][0]["false_alarms"] == 1
    assert [(each["against"], each["false_alarm"]) for each in record["alerts"]] == [
        ("counterfactual", False)
    ]


def test_alerts_before_a_time_only_teach(tmp_path, rules):
    run = events(tmp_path / "run.jsonl", [6] * 30 + [60] + [6] * 5)
    since = to_rfc3339(START_MS + 32 * HOUR_MS)

    result = backtest("--events", run, "--rules", rules, "--out", str(tmp_path / "out"), "--since", since)

    record = json.loads((tmp_path / "out" / "backtest.json").read_text())
    assert result.exit_code == 0
    assert (record["from"], record["alerts"]) == (since, [])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--events", "nowhere.jsonl"), "nowhere.jsonl: No such file or directory"),
        (("--events", "EVENTS", "--scope", "tenant=other"), "no event has it"),
        (("--events", "EVENTS", "--scope", "planet=mars"), "no axis 'planet'"),
        (("--events", "EVENTS", "--since", "yesterday"), "wants a time with an offset"),
        (("--events", "EVENTS", "--since", "2099-01-01T00:00:00Z"), "no event is newer"),
        (("--events", "JUNK"), "no events in"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, rules, arguments, says):
    junk = tmp_path / "junk.jsonl"
    junk.write_text("no json\n")
    files = {"EVENTS": events(tmp_path / "run.jsonl", [6] * 3), "JUNK": str(junk)}

    result = backtest(*[files.get(a, a) for a in arguments], "--rules", rules, "--out", str(tmp_path / "out"))

    assert result.exit_code == 2
    assert says in " ".join(result.output.replace("│", " ").split())

"""What operators type, against a real decider: seen on the topic, or said clearly why not."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
import typer
from tests.support.processes import wait_until
from tests.support.switch_topic import create_topic
from typer.testing import CliRunner

from tokenfuse.cli import alerts, killswitch
from tokenfuse.contracts.topics import COMMANDS, KILLSWITCH
from tokenfuse.runtime import operators, topics
from tokenfuse.runtime.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RULES = """
rules:
  - id: tenant-cap
    kind: cap
    maturity: stable
    axis: tenant
    window: 24h
    limit_usd: "100.00"
    severity: page
    mode: enforce
    response: {action: block, ttl: 1h}
    runbook: docs/runbooks.md
"""


@pytest.fixture
def environment(broker, topic_prefix, tmp_path) -> dict[str, str]:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "caps.yaml").write_text(RULES)
    return {
        "TOKENFUSE_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "TOKENFUSE_TOPIC_PREFIX": topic_prefix,
        "TOKENFUSE_STATE_DIR": str(tmp_path / "state"),
        "TOKENFUSE_RULES_DIR": str(tmp_path / "rules"),
        "TOKENFUSE_INSTANCE_ID": topic_prefix,
        "TOKENFUSE_DELTAS_PARTITIONS": "2",
    }


def run(environment, *arguments):
    app = typer.Typer()
    killswitch.register(app)
    alerts.register(app)
    return CliRunner().invoke(app, [*arguments, "--output", "json"], env=environment)


def answer(result) -> dict:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def decider(environment, monkeypatch, tmp_path: Path) -> Iterator[None]:
    """The decider role as a process, on topics that `topics create` made."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    asyncio.run(topics.create(Settings()))
    log = tmp_path / "decider.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.decider_process"],
            stdout=out,
            stderr=out,
            env={**os.environ},
        )
    try:
        wait_until(lambda: "\nready" in "\n" + log.read_text(), "the decider is ready", 60)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.mark.usefixtures("decider")
def test_engage_is_confirmed_listed_and_released(environment) -> None:
    scope = ["--tenant", "acme", "--feature", "chat"]

    engaged = answer(
        run(environment, "killswitch", "engage", *scope, "--ttl", "5m", "--reason", "loop", "--by", "eve")
    )
    assert engaged["switch"]["scope"] == {"tenant": "acme", "feature": "chat"}
    assert (engaged["switch"]["action"], engaged["switch"]["reason"]) == ("block", "loop")
    assert engaged["switch"]["engaged_by"] == "eve"

    wider = answer(run(environment, "killswitch", "engage", "--tenant", "acme", "--action", "throttle"))
    assert wider["switch"]["action"] == "throttle"
    listed = answer(run(environment, "killswitch", "list"))
    assert [each["scope"] for each in listed["switches"]] == [
        {"feature": "chat", "tenant": "acme"},
        {"tenant": "acme"},
    ]

    released = answer(run(environment, "killswitch", "release", *scope))
    assert released["was"]["reason"] == "loop"
    assert [each["scope"] for each in released["wider"]] == [{"tenant": "acme"}], (
        "it still throttles the released scope"
    )
    nothing = answer(run(environment, "killswitch", "release", "--tenant", "nobody"))
    assert nothing["was"] is None
    assert len(answer(run(environment, "killswitch", "list"))["switches"]) == 1


@pytest.mark.usefixtures("decider")
def test_watch_shows_what_stands_and_then_each_change(environment, tmp_path) -> None:
    answer(run(environment, "killswitch", "engage", "--tenant", "first"))
    log = tmp_path / "watch.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "tokenfuse.cli.main", "killswitch", "watch", "--output", "json"]
        process = subprocess.Popen(command, stdout=out, env={**os.environ, **environment})
    try:
        wait_until(lambda: "standing" in log.read_text(), "what stands is shown")
        answer(run(environment, "killswitch", "release", "--tenant", "first"))
        wait_until(lambda: "released" in log.read_text(), "the change is shown")
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(20)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert code == 0
    assert [line["change"] for line in lines] == ["standing", "released"]
    assert lines[1]["key"] == "tenant=first"
    assert lines[1]["latency_ms"] >= 0


@pytest.mark.usefixtures("decider")
def test_a_silence_without_an_active_alert_is_sent_and_an_unknown_alert_cannot_be_acknowledged(
    environment,
) -> None:
    silenced = answer(
        run(environment, "alerts", "silence", "--tenant", "acme", "--ttl", "1h", "--reason", "batch")
    )
    assert "nothing to see yet" in silenced["what"]
    assert answer(run(environment, "alerts", "list"))["alerts"] == []
    refused = run(environment, "alerts", "ack", "0123")
    assert refused.exit_code == 2
    assert json.loads(refused.stdout)["error"] == "no alert 0123"


def test_without_a_decider_the_command_is_not_said_to_be_done(
    environment, broker, topic_prefix, monkeypatch
) -> None:
    monkeypatch.setattr(operators, "CONFIRM_SECONDS", 1.0)
    for name in (KILLSWITCH, COMMANDS):
        asyncio.run(create_topic(broker.bootstrap_servers, topic_prefix + name))

    result = run(environment, "killswitch", "engage", "--tenant", "acme")

    assert result.exit_code == 2
    assert "Is a decider running" in json.loads(result.stdout)["error"]


def test_without_topics_the_way_to_make_them_is_told(environment) -> None:
    result = run(environment, "killswitch", "list")

    assert result.exit_code == 2
    assert "tokenfuse topics create" in json.loads(result.stdout)["error"]


@pytest.mark.parametrize("broker_address", ["127.0.0.1:1", "no-such-host.invalid:9092"])
def test_without_a_broker_one_sentence_within_the_time(broker_address) -> None:
    began = time.monotonic()

    result = run({}, "killswitch", "list", "--bootstrap-servers", broker_address)

    assert result.exit_code == 2
    assert broker_address in json.loads(result.stdout)["error"]
    assert time.monotonic() - began < 30, "hung"

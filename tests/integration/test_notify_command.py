"""`tokenfuse notify test` against local receivers: what an operator sees, and the exit code."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import pytest
from tests.support.receivers import CHANNEL, ROUTING_KEY, TOKEN, PagerDutyServer, SlackServer

COMMAND = """
import typer
from tokenfuse.cli.notify import register
app = typer.Typer()
app.callback()(lambda: None)
register(app)
app()
"""


@pytest.fixture
async def slack():
    async with SlackServer() as server:
        yield server


@pytest.fixture
async def pagerduty():
    async with PagerDutyServer() as server:
        yield server


async def run(tmp_path, *arguments: str, **settings: str) -> tuple[int, str, str]:
    """The command in a directory without tokenfuse.yaml: exit code, standard output, standard error."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOKENFUSE_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, "notify", "test", *arguments,
        cwd=tmp_path, env=kept | {f"TOKENFUSE_{name}": value for name, value in settings.items()},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), err.decode()


def receivers(slack: SlackServer, pagerduty: PagerDutyServer) -> dict[str, str]:
    return {
        "SLACK_BOT_TOKEN": TOKEN,
        "SLACK_CHANNEL": CHANNEL,
        "SLACK_BASE_URL": slack.base_url,
        "PAGERDUTY_ROUTING_KEY": ROUTING_KEY,
        "PAGERDUTY_BASE_URL": pagerduty.base_url,
    }


async def test_every_receiver_gets_a_marked_test_that_resolves_itself(tmp_path, slack, pagerduty):
    slack.fail(500)
    code, out, _ = await run(tmp_path, **receivers(slack, pagerduty))

    assert (code, [line[:13] for line in out.splitlines()]) == (0, ["ok    slack: ", "ok    pagerdu"])
    assert [entry["call"] for entry in slack.received] == ["chat.postMessage", "chat.update"]
    assert "TEST, please ignore" in slack.messages[0]["text"]
    assert [entry["call"] for entry in pagerduty.received] == ["trigger", "resolve"]
    assert "TEST, please ignore" in pagerduty.calls("trigger")[0]["payload"]["summary"]


async def test_a_receiver_that_refuses_is_named_with_what_to_do(tmp_path, slack, pagerduty):
    settings = receivers(slack, pagerduty) | {
        "SLACK_BOT_TOKEN": "xoxb-revoked",
        "PAGERDUTY_ROUTING_KEY": "short",
    }
    code, out, _ = await run(tmp_path, "--output", "json", **settings)
    told = {receiver["receiver"]: receiver for receiver in json.loads(out)["receivers"]}

    assert code == 1
    assert told["slack"]["reason"] == "auth_error"
    assert "TOKENFUSE_SLACK_BOT_TOKEN" in told["slack"]["detail"]
    assert told["pagerduty"]["reason"] == "client_error"
    assert "TOKENFUSE_PAGERDUTY_ROUTING_KEY" in told["pagerduty"]["detail"]


async def test_without_receivers_the_message_is_shown_and_what_is_missing_said(tmp_path):
    code, out, err = await run(tmp_path)

    assert (code, out) == (0, "ok    terminal: the test alert was opened and resolved\n")
    assert "TEST, please ignore" in err
    assert "TOKENFUSE_PAGERDUTY_ROUTING_KEY" in err


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"SLACK_BOT_TOKEN": "xoxb-secret"}, "SLACK_BOT_TOKEN and SLACK_CHANNEL go together"),
        ({"SLACK_BOT_TOKEN_FILE": "nowhere"}, "TOKENFUSE_SLACK_BOT_TOKEN_FILE: cannot read nowhere"),
        (
            {"PAGERDUTY_ROUTING_KEY": "0" * 32, "PAGERDUTY_BASE_URL": "http://example.com"},
            "TOKENFUSE_PAGERDUTY_BASE_URL",
        ),
    ],
)
async def test_a_wrong_setting_is_one_sentence_and_exit_2(tmp_path, settings, sentence):
    code, out, err = await run(tmp_path, **settings)

    assert (code, out) == (2, "")
    assert sentence in err
    assert "Traceback" not in err
    assert "xoxb-secret" not in err

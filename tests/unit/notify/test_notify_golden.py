"""What each receiver gets, as committed files: a change of a word shows as a diff.

Write them again: `REGENERATE=1 .venv/bin/pytest tests/unit/notify/test_notify_golden.py`
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from rich.console import Console
from tests.support.receivers import event_error, message_error
from tests.unit.notify.alerts import GOLDEN

from tokenfuse.notify.pagerduty import dedup_key, events
from tokenfuse.notify.slack_message import slack_message
from tokenfuse.notify.terminal import alert_panel

FOLDER = Path(__file__).parent / "golden"


def assert_golden(file: str, actual: str) -> None:
    path = FOLDER / file
    if os.environ.get("REGENERATE"):
        path.write_text(actual)

    assert actual == path.read_text(), f"{file} changed; look at it, then write it again: see the docstring"


@pytest.mark.parametrize("name", GOLDEN)
def test_the_slack_message_is_as_committed_and_slack_takes_it(name):
    message = slack_message(GOLDEN[name])

    assert message_error(message) is None
    assert_golden(f"slack-{name}.json", json.dumps(message, indent=2, ensure_ascii=False) + "\n")


@pytest.mark.parametrize("name", GOLDEN)
def test_the_pagerduty_events_are_as_committed_and_pagerduty_takes_them(name):
    told = [{**event, "dedup_key": dedup_key(GOLDEN[name])} for event in events(GOLDEN[name], None)]

    assert [event_error(event) for event in told] == [None] * len(told)
    assert_golden(f"pagerduty-{name}.json", json.dumps(told, indent=2, ensure_ascii=False) + "\n")


@pytest.mark.parametrize("name", GOLDEN)
def test_the_terminal_shows_the_same_within_100_columns(name):
    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(alert_panel(GOLDEN[name]))
    printed = console.file.getvalue()

    assert max(map(len, printed.splitlines())) <= 100
    assert_golden(f"terminal-{name}.txt", printed)

"""Texts: within every receiver's limits, and nobody's name can speak for us."""

from __future__ import annotations

import doctest
import json

import pytest
from msgspec.structs import replace
from tests.support.receivers import event_error, message_error
from tests.unit.notify.alerts import CACHE, CAP_ENFORCED, overlong

from tokenfuse.notify import slack_message as slack_message_module, view as view_module, words
from tokenfuse.notify.pagerduty import dedup_key, trigger
from tokenfuse.notify.slack_message import mrkdwn, slack_message
from tokenfuse.notify.view import view


@pytest.mark.parametrize("module", [words, view_module, slack_message_module])
def test_the_examples_in_the_docstrings_hold(module):
    result = doctest.testmod(module)

    assert (result.failed, result.attempted > 0) == (0, True)


def test_an_overlong_alert_is_cut_visibly_and_taken_by_slack():
    message = slack_message(overlong())

    assert message_error(message) is None
    assert "… [cut]" in json.dumps(message, ensure_ascii=False)
    assert message["blocks"][0]["type"] == "header"


def test_an_overlong_alert_is_cut_visibly_and_taken_by_pagerduty():
    event = {**trigger(overlong()), "dedup_key": dedup_key(CACHE)}

    assert event_error(event) is None
    assert len(json.dumps(event)) < 512_000
    assert event["payload"]["summary"].endswith("… [cut]")


def test_an_alert_with_empty_texts_is_taken_by_slack():
    empty = replace(
        CACHE, summary="", scope={"tenant": ""}, drivers=(), contributors=(), examples=(), runbook=""
    )

    assert message_error(slack_message(empty)) is None


def test_a_tenants_name_cannot_call_the_channel_or_make_a_link():
    message = slack_message(replace(CACHE, scope={"tenant": "<!channel> <http://evil|x>"}))
    texts = json.dumps([block for block in message["blocks"] if block["type"] != "header"])

    assert "<!" not in texts
    assert "<http://evil" not in texts
    assert "&lt;!channel&gt;" in texts
    assert "<!" not in message["text"]


def test_a_tenants_name_cannot_add_a_line():
    shown = view(replace(CACHE, scope={"tenant": "acme\n*Kill switch engaged*"}))

    assert dict(shown.facts)["Scope"] == "tenant acme *Kill switch engaged*"


@pytest.mark.parametrize("cut_at", range(8, 20))
def test_a_cut_never_tears_an_escape_apart(cut_at):
    cut = mrkdwn("&&&&&&&&", cut_at)

    assert cut.replace("&amp;", "").removesuffix("… [cut]") == ""


@pytest.mark.parametrize("tenant", ["a`b", "a\nb", "x" * 400])
def test_a_command_that_would_be_altered_on_its_way_is_not_offered(tenant):
    labels = [label for label, _ in view(replace(CACHE, scope={"tenant": tenant})).commands]

    assert labels == ["Acknowledge"]


def test_the_command_quotes_what_a_shell_would_take_apart():
    commands = dict(view(replace(CACHE, scope={"tenant": "acme; rm -rf /"})).commands)

    assert "--tenant 'acme; rm -rf /'" in commands["Stop it now"]


def test_an_enforced_switch_says_so_and_how_to_release_it():
    shown = view(CAP_ENFORCED)

    assert shown.done == "Kill switch engaged: block until 2026-11-25 00:00:00 UTC, generation 42."
    assert (
        dict(shown.commands)["Let it through again"] == "tokenfuse killswitch release --tenant 'R&D <globex>'"
    )


def test_nothing_stopped_is_said_plainly():
    refused = replace(CACHE, action="block", switch_refused="switches_max")

    assert view(CACHE).done == "Nothing was stopped: the rule only tells."
    assert "no switch is engaged" in view(replace(CACHE, action="block")).done
    assert "switches_max" in view(refused).done


def test_a_cap_says_what_was_spent_and_not_only_by_how_much_it_was_missed():
    assert "$250.40 spent" in view(CAP_ENFORCED).title


def test_a_name_cannot_command_a_terminal():
    shown = view(replace(CACHE, scope={"tenant": "\x1b[2Jacme"}, summary="\x1b[2Jgone"))

    assert "\x1b" not in shown.line + shown.title + dict(shown.facts)["Scope"]


def test_the_same_alert_firing_again_later_is_a_new_pagerduty_incident():
    again = replace(CACHE, starts_at="2026-11-25T03:00:00Z")

    assert dedup_key(CACHE) != dedup_key(again)
    assert dedup_key(CACHE) == dedup_key(replace(CACHE, seq=999, state="resolved"))
    assert len(dedup_key(CACHE)) == 64

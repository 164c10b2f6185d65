"""Slack over HTTP, against a server that refuses what the real one refuses."""

from __future__ import annotations

import time

import pytest
from structlog.testing import capture_logs
from tests.support.receivers import CHANNEL, CHANNEL_ID, HANG, LOST, TOKEN, SlackServer
from tests.unit.notify.alerts import alert, overlong

from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.notify import slack as slack_module
from tokenfuse.notify.contract import Delivered, DeliveryRecord, Failed, Reason, Retry, record_of
from tokenfuse.notify.slack import SlackNotifier


@pytest.fixture
async def slack():
    async with SlackServer() as server:
        yield server


@pytest.fixture(params=[CHANNEL, f"#{CHANNEL}", CHANNEL_ID], ids=["name", "hash name", "id"])
def channel(request):
    return request.param


def notifier(server: SlackServer, channel: str = CHANNEL_ID, token: str = TOKEN) -> SlackNotifier:
    """A notifier as a new process has it: nothing in memory."""
    return SlackNotifier(token, channel, server.base_url, time.time)


def earlier(reference: str) -> DeliveryRecord:
    return record_of(alert(1), reference, 0.0)


async def test_an_incident_is_one_message_that_changes(slack, channel):
    sender = notifier(slack, channel)
    first = await sender.send(alert(1), None)
    await sender.send(alert(2, excess_usd="120"), earlier(first.reference))
    await sender.send(alert(3, state="resolved"), earlier(first.reference))

    assert [entry["call"] for entry in slack.received] == ["chat.postMessage", "chat.update", "chat.update"]
    assert [message["blocks"][0]["text"]["text"][:10] for message in slack.messages] == ["🟢 Resolved"]
    assert slack.messages[0]["metadata"]["event_payload"]["seq"] == 3
    assert slack.refused == []


async def test_after_a_crash_the_own_message_is_found_again(slack, channel):
    await notifier(slack, channel).send(alert(1), None)
    found = await notifier(slack, channel).send(alert(1), None)

    assert len(slack.messages) == 1
    assert found == Delivered(reference=f"{CHANNEL_ID}/{slack.messages[0]['ts']}")


async def test_the_own_message_is_found_behind_pages_of_others(slack):
    await notifier(slack).send(alert(1), None)
    for seq in range(250):
        slack.messages.append({"type": "message", "ts": f"{time.time() + seq / 1e4:.6f}", "text": "chatter"})
    await notifier(slack).send(alert(2, state="resolved"), None)

    assert len(slack.calls("chat.postMessage")) == 1


async def test_the_message_of_another_incident_of_the_same_alert_is_not_taken_for_it(slack):
    await notifier(slack).send(alert(1), None)
    await notifier(slack).send(alert(2, starts_at="2026-11-25T03:00:00Z"), None)

    assert len(slack.messages) == 2


async def test_a_post_whose_answer_was_lost_is_not_repeated(slack):
    slack.fail(LOST)
    sender = notifier(slack)

    assert (await sender.send(alert(1), None)).reason is Reason.NETWORK_ERROR
    assert isinstance(await sender.send(alert(1), None), Delivered)
    assert len(slack.messages) == 1


@pytest.mark.parametrize(("status", "reason"), [(500, Reason.SERVER_ERROR), (429, Reason.RATE_LIMITED)])
async def test_nothing_is_posted_while_it_cannot_be_known_whether_it_was_posted_before(slack, status, reason):
    await notifier(slack).send(alert(1), None)
    slack.history_answers.append(status)
    sender = notifier(slack)

    assert (await sender.send(alert(1), None)).reason is reason
    assert isinstance(await sender.send(alert(1), None), Delivered)
    assert len(slack.messages) == 1


@pytest.mark.parametrize("days", [0.01, 1, 20])
async def test_the_message_of_a_long_incident_is_found_in_a_busy_channel(slack, days):
    started_ms = int((time.time() - days * 86_400) * 1000)
    incident = alert(1, starts_at=to_rfc3339(started_ms))
    await notifier(slack).send(incident, None)
    slack.messages[0]["ts"] = f"{started_ms / 1000 + 60:.6f}"
    for chatter in range(700):
        slack.messages.append(
            {"type": "message", "ts": f"{time.time() - 60 + chatter / 1e4:.6f}", "text": "chatter"}
        )
    slack.messages = slack.messages if days > 0.1 else slack.messages[:401]
    await notifier(slack).send(incident, None)

    assert len(slack.calls("chat.postMessage")) == 1


async def test_a_message_that_someone_deleted_is_posted_again(slack):
    outcome = await notifier(slack).send(alert(2), earlier(f"{CHANNEL_ID}/1.000001"))

    assert outcome == Delivered(reference=f"{CHANNEL_ID}/{slack.messages[0]['ts']}")


async def test_500_is_tried_again_and_429_after_the_time_that_slack_names(slack):
    slack.fail(500)
    slack.fail(429, retry_after=17)
    sender = notifier(slack)
    trouble, limited = await sender.send(alert(1), None), await sender.send(alert(1), None)

    assert (trouble.reason, trouble.after_seconds) == (Reason.SERVER_ERROR, None)
    assert (limited.reason, limited.after_seconds) == (Reason.RATE_LIMITED, 17)


async def test_a_slack_that_hangs_is_left_after_its_time(slack, monkeypatch):
    monkeypatch.setattr(slack_module, "CALL_SECONDS_MAX", 0.2)
    slack.fail(HANG)

    assert (await notifier(slack).send(alert(1), None)).reason is Reason.TIMEOUT


async def test_a_slack_that_is_not_there_is_tried_again(slack):
    sender = SlackNotifier(TOKEN, CHANNEL_ID, "http://127.0.0.1:1/api/", time.time)

    assert (await sender.send(alert(1), None)).reason is Reason.NETWORK_ERROR


async def test_a_wrong_token_says_what_to_do_and_is_tried_again(slack):
    outcome = await notifier(slack, token="xoxb-old").send(alert(1), None)

    assert isinstance(outcome, Retry)
    assert outcome.reason is Reason.AUTH_ERROR
    assert "TOKENFUSE_SLACK_BOT_TOKEN" in outcome.detail


async def test_an_unknown_channel_and_a_missing_invitation_say_what_to_do(slack):
    unknown = await notifier(slack, "nowhere").send(alert(1), None)
    slack.members = False
    uninvited = await notifier(slack).send(alert(1), None)

    assert (unknown.reason, uninvited.reason) == (Reason.CHANNEL_ERROR, Reason.CHANNEL_ERROR)
    assert "TOKENFUSE_SLACK_CHANNEL" in unknown.detail
    assert "invite the app" in uninvited.detail


@pytest.mark.parametrize("missing", ["channels:history", "channels:read"])
async def test_without_leave_to_look_it_posts_all_the_same_and_warns_once(slack, missing):
    slack.scopes.remove(missing)
    sender = notifier(slack, CHANNEL)

    with capture_logs() as logs:
        for seq in (1, 2):
            assert isinstance(await sender.send(alert(seq, fingerprint=f"f{seq}"), None), Delivered)

    assert len(slack.messages) == 2
    assert [entry["event"] for entry in logs] == ["slack_history_unreadable"]


async def test_a_message_that_slack_refuses_is_given_up(slack, monkeypatch):
    monkeypatch.setattr(
        slack_module, "slack_message", lambda _: {"text": "x", "blocks": [{"type": "nonsense"}]}
    )
    outcome = await notifier(slack).send(alert(1), None)

    assert isinstance(outcome, Failed)
    assert "invalid_blocks" in outcome.detail


async def test_an_overlong_alert_arrives(slack):
    assert isinstance(await notifier(slack).send(overlong(), None), Delivered)
    assert slack.refused == []

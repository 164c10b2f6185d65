"""PagerDuty over HTTP, against a server that refuses what the real one refuses."""

from __future__ import annotations

import pytest
from tests.support.receivers import HANG, LOST, ROUTING_KEY, PagerDutyServer
from tests.unit.notify.alerts import CAP_ENFORCED, alert, overlong

from tokenfuse.notify import pagerduty as pagerduty_module
from tokenfuse.notify.contract import Delivered, Failed, Reason, record_of
from tokenfuse.notify.pagerduty import PagerDutyNotifier, dedup_key


@pytest.fixture
async def pagerduty():
    async with PagerDutyServer() as server:
        yield server


@pytest.fixture
async def notifier(pagerduty):
    sender = PagerDutyNotifier(ROUTING_KEY, pagerduty.base_url)
    yield sender
    await sender.close()


def told(of):
    return record_of(of, None, 0.0)


async def test_trigger_acknowledge_and_resolve_carry_one_key(pagerduty, notifier):
    key = dedup_key(alert(1))
    await notifier.send(alert(1), None)
    await notifier.send(alert(2, acked_by="alice@cli"), told(alert(1)))

    assert pagerduty.incidents == {key: "acknowledged"}
    assert await notifier.send(alert(3, state="resolved"), told(alert(2))) == Delivered(reference=key)
    assert [entry["call"] for entry in pagerduty.received] == ["trigger", "acknowledge", "resolve"]
    assert pagerduty.incidents == {key: "resolved"}
    assert pagerduty.refused == []


async def test_an_incident_that_was_acknowledged_before_it_was_told_is_triggered_and_acknowledged(
    pagerduty, notifier
):
    await notifier.send(CAP_ENFORCED, None)

    assert pagerduty.incidents == {dedup_key(CAP_ENFORCED): "acknowledged"}


async def test_the_same_transition_told_twice_is_one_incident(pagerduty, notifier):
    for _ in range(2):
        await notifier.send(alert(1), None)

    assert list(pagerduty.incidents.values()) == ["triggered"]


async def test_429_and_5xx_are_tried_again_by_us_and_not_in_the_librarys_thread(pagerduty, notifier):
    pagerduty.fail(503)
    pagerduty.fail(429, retry_after=9)
    trouble, limited = await notifier.send(alert(1), None), await notifier.send(alert(1), None)

    assert trouble.reason is Reason.SERVER_ERROR
    assert (limited.reason, limited.after_seconds) == (Reason.RATE_LIMITED, 9)
    assert pagerduty.requests == 2


@pytest.mark.parametrize(("status", "reason"), [(400, Reason.CLIENT_ERROR), (403, Reason.AUTH_ERROR)])
async def test_other_refusals_are_final_and_say_what_to_do(pagerduty, notifier, status, reason):
    pagerduty.fail(status)
    outcome = await notifier.send(alert(1), None)

    assert isinstance(outcome, Failed)
    assert outcome.reason is reason
    assert "TOKENFUSE_PAGERDUTY_ROUTING_KEY" in outcome.detail


async def test_a_routing_key_of_the_wrong_length_is_refused_with_pagerdutys_words(pagerduty):
    outcome = await PagerDutyNotifier("short", pagerduty.base_url).send(alert(1), None)

    assert "32 characters" in outcome.detail


async def test_a_pagerduty_that_hangs_is_left_after_its_time(pagerduty, notifier, monkeypatch):
    monkeypatch.setattr(pagerduty_module._EventsClient, "timeout", 0.2)
    pagerduty.fail(HANG)

    assert (await notifier.send(alert(1), None)).reason is Reason.TIMEOUT


async def test_a_broken_connection_is_tried_again_once_per_call(pagerduty, notifier):
    pagerduty.fail(LOST)

    assert (await notifier.send(alert(1), None)).reason is Reason.NETWORK_ERROR
    assert pagerduty.requests == 1


async def test_an_overlong_alert_arrives(pagerduty, notifier):
    assert isinstance(await notifier.send(overlong(), None), Delivered)
    assert pagerduty.refused == []


@pytest.mark.parametrize("url", ["http://events.example.com", "ftp://127.0.0.1"])
def test_the_routing_key_is_not_sent_in_the_clear_to_another_machine(url):
    with pytest.raises(ValueError, match="use https://"):
        PagerDutyNotifier(ROUTING_KEY, url)


def test_the_full_path_is_accepted_as_base_url():
    assert PagerDutyNotifier(ROUTING_KEY, "https://events.eu.pagerduty.com/v2/enqueue")._client.url == (
        "https://events.eu.pagerduty.com"
    )

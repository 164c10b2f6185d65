"""The courier: retries as the policy says, gives up loudly, goes on."""

from __future__ import annotations

from random import Random

import pytest
from structlog.testing import capture_logs
from tests.unit.notify.alerts import alert

from tokenfuse.notify.contract import Delivered, Failed, Reason, Retry
from tokenfuse.notify.courier import Courier
from tokenfuse.notify.outbox import Outbox
from tokenfuse.notify.retry import RetryPolicy

TROUBLE = Retry(after_seconds=None, reason=Reason.SERVER_ERROR, detail="HTTP 500")
DONE = Delivered(reference="C1/1.0")


class Scripted:
    """A notifier whose outcomes are given."""

    name = "slack"
    severities = frozenset({"page"})
    update_seconds_min = 30.0

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.sent = []

    async def send(self, incident, earlier):
        self.sent.append((incident.seq, earlier.reference if earlier else None))
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class Counted:
    def __init__(self):
        self.counts = []

    def delivered(self, integration):
        self.counts.append((integration, "delivered"))

    def given_up(self, integration, reason):
        self.counts.append((integration, reason))


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def courier(clock, *outcomes, **policy):
    notifier = Scripted(*outcomes)
    return Courier(notifier, Outbox(notifier, 0), RetryPolicy(**policy), Counted(), clock, Random(1))


async def run_until_empty(courier, clock):
    """Steps with the clock moved to whatever is due next; the waits in between."""
    waits = []
    while len(courier.outbox):
        if not await courier.step():
            waits.append(courier.wait_seconds())
            clock.now += waits[-1]
    return waits


async def test_three_refusals_with_500_lose_nothing(clock):
    sender = courier(clock, TROUBLE, TROUBLE, TROUBLE, DONE)
    sender.outbox.offer(0, alert(1), 0.0)

    with capture_logs() as logs:
        waits = await run_until_empty(sender, clock)

    assert [0.5 <= waits[0] <= 1, 1 <= waits[1] <= 2, 2 <= waits[2] <= 4] == [True] * 3
    assert [entry["event"] for entry in logs] == ["notification_retried"] * 3
    assert sender.outbox.committable() == 1
    assert sender._observer.counts == [("slack", "delivered")]


async def test_the_receivers_own_wish_is_honoured_within_reason(clock):
    policy = RetryPolicy()
    limited = Retry(after_seconds=30, reason=Reason.RATE_LIMITED)
    absurd = Retry(after_seconds=86_400, reason=Reason.RATE_LIMITED)

    assert policy.delay_seconds(limited, 1, Random(1)) == 30
    assert policy.delay_seconds(absurd, 1, Random(1)) == policy.wish_seconds_max
    assert policy.delay_seconds(TROUBLE, 500, Random(1)) <= policy.cap_seconds


async def test_after_the_last_try_it_gives_up_loudly_and_goes_on(clock):
    sender = courier(clock, TROUBLE, TROUBLE, DONE, tries_max=2)
    sender.outbox.offer(0, alert(1), 0.0)
    sender.outbox.offer(1, alert(2, fingerprint="other"), 0.0)
    sender.notifier.outcomes = [TROUBLE, DONE, TROUBLE]

    with capture_logs() as logs:
        await run_until_empty(sender, clock)

    lost = [entry for entry in logs if entry["event"] == "notification_given_up"]
    assert [(entry["log_level"], entry["reason"], entry["fingerprint"]) for entry in lost] == [
        ("error", "server_error", alert(1).fingerprint)
    ]
    assert sender._observer.counts == [("slack", "delivered"), ("slack", Reason.SERVER_ERROR)]
    assert sender.outbox.committable() == 2


async def test_an_alert_is_kept_for_its_hour_and_no_longer(clock):
    sender = courier(clock, *[TROUBLE] * 200)
    sender.outbox.offer(0, alert(1), 0.0)
    await run_until_empty(sender, clock)

    assert 3600 <= clock.now <= 3660
    assert 60 < len(sender.notifier.sent) < 150


async def test_what_can_never_work_is_not_tried_again(clock):
    sender = courier(clock, Failed(reason=Reason.CLIENT_ERROR, detail="invalid_blocks"))
    sender.outbox.offer(0, alert(1), 0.0)

    with capture_logs() as logs:
        assert await run_until_empty(sender, clock) == []

    assert (logs[0]["event"], logs[0]["detail"]) == ("notification_given_up", "invalid_blocks")


async def test_a_fault_of_ours_with_one_alert_does_not_stop_the_next(clock):
    sender = courier(clock, ValueError("bad"), DONE)
    sender.outbox.offer(0, alert(1), 0.0)
    sender.outbox.offer(1, alert(2, fingerprint="other"), 0.0)

    with capture_logs():
        await run_until_empty(sender, clock)

    assert sender._observer.counts == [("slack", Reason.INTERNAL_ERROR), ("slack", "delivered")]


async def test_a_change_is_sent_with_the_reference_of_the_first_message(clock):
    sender = courier(clock, DONE, DONE)
    sender.outbox.offer(0, alert(1), 0.0)
    await run_until_empty(sender, clock)
    sender.outbox.offer(1, alert(2, state="resolved"), 0.0)
    await run_until_empty(sender, clock)

    assert sender.notifier.sent == [(1, None), (2, "C1/1.0")]


async def test_the_hour_of_an_alert_begins_with_its_first_try_not_with_its_wait_behind_others(clock):
    sender = courier(clock, TROUBLE, DONE)
    sender.outbox.offer(0, alert(1), 0.0)
    clock.now = 7200.0
    await run_until_empty(sender, clock)
    assert sender._observer.counts == [("slack", "delivered")]

"""The outbox: what is told, in which order, and what may be committed."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from tests.unit.notify.alerts import alert

from tokenfuse.contracts.alert import Enforcement, encode_alert
from tokenfuse.notify.lane import OLD_MS, Lane
from tokenfuse.notify.outbox import Outbox
from tokenfuse.notify.selection import Skip

LATER = {"starts_at": "2026-11-25T03:00:00Z", "at": "2026-11-25T03:01:00Z"}


class Receiver:
    """What an outbox asks of a notifier."""

    name = "slack"
    severities = frozenset({"page", "ticket"})

    def __init__(self, update_seconds_min: float | None = 30.0) -> None:
        self.update_seconds_min = update_seconds_min


def outbox(**receiver: Any) -> Outbox:
    return Outbox(Receiver(**receiver), 0)


def deliver(box: Outbox, now: float) -> tuple[int, str] | None:
    """Deliver what is due: its number and state."""
    pending = box.due(now)
    if pending is None:
        return None
    box.delivered(pending, "ref", now)
    return pending.alert.seq, pending.alert.state


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": "pending"}, Skip.PENDING),
        ({"inhibited_by": "ffff"}, Skip.INHIBITED),
        ({"severity": "info"}, Skip.SEVERITY),
        ({"state": "resolved"}, Skip.NEVER_TOLD),
        ({}, None),
    ],
)
def test_what_is_not_told_has_a_reason_and_may_be_committed(changes, reason):
    box = outbox()

    assert box.offer(7, alert(1, **changes), 0.0) == reason
    assert box.committable() == (7 if reason is None else 8)


def test_nothing_is_committed_past_what_was_not_delivered():
    box = outbox()
    box.offer(0, alert(1), 0.0)
    box.offer(1, alert(2, fingerprint="other"), 0.0)

    assert box.committable() == 0
    assert deliver(box, 0.0) == (1, "firing")
    assert box.committable() == 1
    assert deliver(box, 0.0) == (2, "firing")
    assert box.committable() == 2


def test_a_number_that_is_not_newer_is_dropped_delivered_or_not():
    box = outbox()
    box.offer(0, alert(5), 0.0)

    assert box.offer(1, alert(5), 0.0) is Skip.NOT_NEWER
    deliver(box, 0.0)
    assert box.offer(2, alert(4), 0.0) is Skip.NOT_NEWER
    assert box.committable() == 3


def test_updates_merge_and_wait_until_the_last_one_is_old_enough():
    box = outbox()
    box.offer(0, alert(1), 0.0)
    deliver(box, 100.0)
    box.offer(1, alert(2, excess_usd="90"), 101.0)
    box.offer(2, alert(3, excess_usd="95"), 102.0)

    assert len(box) == 1
    assert box.due(129.0) is None
    assert box.due_at_seconds() == 130.0
    assert box.committable() == 1
    assert deliver(box, 130.0) == (3, "firing")
    assert box.committable() == 3


def test_a_resolution_and_an_acknowledgement_do_not_wait():
    box = outbox()
    box.offer(0, alert(1), 0.0)
    deliver(box, 100.0)
    box.offer(1, alert(2, acked_by="alice@cli"), 101.0)

    assert deliver(box, 101.0) == (2, "firing")
    box.offer(2, alert(3, acked_by="alice@cli", excess_usd="99"), 102.0)
    box.offer(3, alert(4, state="resolved"), 103.0)
    assert deliver(box, 103.0) == (4, "resolved")
    assert box.committable() == 4


def test_a_resolution_does_not_swallow_a_first_message_that_still_waits():
    box = outbox()
    box.offer(0, alert(1), 0.0)
    box.offer(1, alert(2, state="resolved"), 0.0)

    assert [deliver(box, 0.0), deliver(box, 0.0), deliver(box, 0.0)] == [(1, "firing"), (2, "resolved"), None]


def test_what_is_under_way_is_not_changed_by_what_comes_after():
    box = outbox()
    box.offer(0, alert(1), 0.0)
    box.due(0.0).in_flight = True
    box.offer(1, alert(2), 0.0)

    assert [deliver(box, 0.0), deliver(box, 30.0)] == [(1, "firing"), (2, "firing")]


def test_a_switch_that_is_engaged_later_is_news_and_its_extension_is_not():
    box = outbox()
    box.offer(0, alert(1, action="block"), 0.0)
    deliver(box, 0.0)
    block = Enforcement(action="block", mode="enforce", expires_at="2026-11-24T23:00:00Z", generation=2)
    box.offer(1, alert(2, action="block", enforcement=block), 1.0)

    assert deliver(box, 1.0) == (2, "firing")
    longer = structs.replace(block, expires_at="2026-11-24T23:30:00Z", generation=3)
    box.offer(2, alert(3, action="block", enforcement=longer), 2.0)
    assert (box.due(2.0), box.due_at_seconds()) == (None, 31.0)


def test_an_integration_without_updates_is_told_beginning_acknowledgement_and_end_only():
    box = outbox(update_seconds_min=None)

    assert box.offer(0, alert(1), 0.0) is None
    deliver(box, 0.0)
    assert box.offer(1, alert(2, switch_refused="switches_max"), 0.0) is Skip.NO_UPDATES
    assert box.offer(2, alert(3, acked_by="alice@cli"), 0.0) is None
    deliver(box, 0.0)
    assert box.offer(3, alert(4, acked_by="alice@cli"), 0.0) is Skip.NO_UPDATES
    assert box.offer(4, alert(5, state="resolved"), 0.0) is None


def test_an_incident_that_becomes_a_page_is_told_to_those_who_take_pages_only():
    receiver = Receiver(update_seconds_min=None)
    receiver.severities = frozenset({"page"})
    box = Outbox(receiver, 0)

    assert box.offer(0, alert(1, severity="ticket"), 0.0) is Skip.SEVERITY
    assert box.offer(1, alert(2), 0.0) is None
    deliver(box, 0.0)
    assert box.offer(2, alert(3, severity="ticket", state="resolved"), 0.0) is None


def test_an_inhibited_or_silenced_incident_is_closed_where_it_was_told():
    box = outbox()
    box.offer(0, alert(1), 0.0)
    deliver(box, 0.0)

    assert box.offer(1, alert(2, inhibited_by="ffff"), 0.0) is Skip.INHIBITED
    assert box.offer(2, alert(3, inhibited_by="ffff", state="resolved"), 0.0) is None


def test_the_same_alert_firing_again_later_knows_nothing_of_the_earlier_incident():
    box = outbox()
    box.offer(0, alert(1), 0.0)
    deliver(box, 0.0)
    box.offer(1, alert(2, state="resolved"), 0.0)
    deliver(box, 0.0)
    box.offer(2, alert(3, **LATER), 0.0)

    assert box.record(alert(3, **LATER)) is None
    assert deliver(box, 0.0) == (3, "firing")


def test_a_rate_limit_holds_everything_other_failures_only_their_own_incident():
    box = outbox()
    box.offer(0, alert(1), 0.0)
    box.offer(1, alert(2, fingerprint="other"), 0.0)
    box.postpone(box.due(0.0), 10.0, everything=False)

    assert box.due(0.0).alert.seq == 2
    box.postpone(box.due(0.0), 20.0, everything=True)
    assert box.due(15.0) is None
    assert box.due(20.0).alert.seq == 1


def test_after_giving_up_the_next_transition_tries_from_the_start():
    box = outbox()
    box.offer(0, alert(1), 0.0)
    box.given_up(box.due(0.0))

    assert box.committable() == 1
    box.offer(1, alert(2), 0.0)
    assert box.record(alert(2)) is None
    assert deliver(box, 0.0) == (2, "firing")


class TestLane:
    """From the log to the outbox."""

    def lane(self, committed: int | None) -> Lane:
        self.unreadable: list[int] = []
        return Lane(outbox(), committed, 10 * OLD_MS, lambda offset, _: self.unreadable.append(offset))

    @staticmethod
    def take(lane: Lane, offset: int, value: bytes | None, timestamp_ms: int = 10 * OLD_MS) -> None:
        lane.take(offset, b"5f0c2d9a1b3e4f67", value, timestamp_ms, 0.0)

    def test_it_is_calm_only_when_everything_is_told_and_committed(self):
        lane = self.lane(committed=0)
        assert lane.is_calm
        self.take(lane, 0, encode_alert(alert(1)))
        assert not lane.is_calm
        pending = lane.outbox.due(100.0)
        lane.outbox.delivered(pending, "reference", 100.0)
        assert (lane.is_calm, lane.committable()) == (False, 1)
        lane.commit(1)
        assert lane.is_calm

    def test_it_is_not_calm_before_it_knows_which_old_alerts_still_fire(self):
        lane = self.lane(committed=None)
        self.take(lane, 0, encode_alert(alert(1)), timestamp_ms=1)

        assert not lane.is_calm

    def test_what_an_earlier_life_told_is_remembered_and_not_told_again(self):
        lane = self.lane(committed=2)
        self.take(lane, 0, encode_alert(alert(1)))
        self.take(lane, 1, encode_alert(alert(2)))

        assert (len(lane.outbox), lane.committable()) == (0, None)
        self.take(lane, 2, encode_alert(alert(2)))  # the decider says it again after its own crash
        self.take(lane, 3, encode_alert(alert(3, state="resolved")))
        assert lane.committable() == 3
        assert deliver(lane.outbox, 0.0) == (3, "resolved")
        assert lane.committable() == 4

    def test_a_record_read_twice_is_taken_once(self):
        lane = self.lane(committed=0)
        for _ in range(2):
            self.take(lane, 5, encode_alert(alert(1)))

        assert len(lane.outbox) == 1

    def test_a_new_integration_is_told_of_old_alerts_only_where_they_still_fire(self):
        lane = self.lane(committed=None)
        self.take(lane, 0, encode_alert(alert(1, fingerprint="over")), OLD_MS)
        self.take(lane, 1, encode_alert(alert(2, fingerprint="fires")), OLD_MS)
        self.take(lane, 2, encode_alert(alert(3, fingerprint="over", state="resolved")), OLD_MS)

        assert (lane.outbox.due(0.0), lane.committable()) == (None, None)
        lane.caught_up(0.0)
        assert deliver(lane.outbox, 0.0) == (2, "firing")
        assert deliver(lane.outbox, 0.0) is None
        assert lane.committable() == 3

    def test_what_is_new_for_a_new_integration_is_told(self):
        lane = self.lane(committed=None)
        self.take(lane, 0, encode_alert(alert(1)))

        assert deliver(lane.outbox, 0.0) == (1, "firing")

    def test_a_record_that_is_no_alert_is_reported_and_passed_over(self):
        lane = self.lane(committed=0)
        self.take(lane, 0, b"{")
        self.take(lane, 1, encode_alert(alert(1)))

        assert self.unreadable == [0]
        assert deliver(lane.outbox, 0.0) == (1, "firing")
        assert lane.committable() == 2

    def test_a_tombstone_forgets_the_alert(self):
        lane = self.lane(committed=0)
        self.take(lane, 0, encode_alert(alert(9)))
        deliver(lane.outbox, 0.0)
        self.take(lane, 1, None)

        assert lane.outbox.record(alert(9)) is None
        assert lane.committable() == 2


@pytest.mark.parametrize(
    ("until", "reason"),
    [("2026-11-24T23:00:00Z", Skip.SILENCED), ("2026-11-24T22:12:00Z", None), (None, None)],
)
def test_a_silence_holds_while_it_is_in_force(until, reason):
    assert outbox().offer(0, alert(1, silenced_until=until), 0.0) == reason

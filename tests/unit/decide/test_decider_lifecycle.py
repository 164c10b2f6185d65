"""Alerts: pending, firing, resolved, and when each transition is written."""

from __future__ import annotations

import itertools

import pytest
from tests.unit.decide.decider_log import START_MS, Story, cap, killer, spike

from tokenfuse.contracts.clock import from_rfc3339
from tokenfuse.contracts.scope import fingerprint
from tokenfuse.decide.decider import lifecycle
from tokenfuse.decide.decider.lifecycle import FIRED_MAX

ACME = "tenant=acme"


@pytest.mark.parametrize(
    ("rule", "steps", "states"),
    [
        pytest.param(killer("r"), ["breach"], ["firing"], id="a kill switch does not wait for company"),
        pytest.param(cap("r"), ["breach"], ["pending"], id="others wait 10 s for company"),
        pytest.param(cap("r"), ["breach", 9], ["pending"], id="and no less"),
        pytest.param(cap("r"), ["breach", 10], ["pending", "firing"], id="then fire"),
        pytest.param(cap("r", for_seconds=60), ["breach", 59], ["pending"], id="not before `for`"),
        pytest.param(cap("r", for_seconds=60), ["breach", 60], ["pending", "firing"], id="`for` includes the wait"),
        pytest.param(killer("r", for_seconds=60), ["breach", 59], ["pending"], id="a kill switch respects `for`"),
        pytest.param(
            cap("r", for_seconds=60), ["breach", 30, "clear", 60], ["pending", "resolved"],
            id="cleared before `for` never fires",
        ),
        pytest.param(
            cap("r", for_seconds=60), ["breach", 30, "clear", "breach", 40], ["pending", "resolved", "pending"],
            id="`for` starts again after a gap",
        ),
        pytest.param(
            cap("r"), ["breach", 3, "clear", 7, 1], ["pending", "firing", "resolved"],
            id="a breach that ended within the wait is told, then resolved",
        ),
        pytest.param(cap("r"), ["breach", 10, "clear"], ["pending", "firing", "resolved"], id="resolves at once"),
        pytest.param(
            cap("r", keep_firing_for_seconds=300), ["breach", 10, "clear", 299], ["pending", "firing"],
            id="goes on firing for keep_firing_for",
        ),
        pytest.param(
            cap("r", keep_firing_for_seconds=300), ["breach", 10, "clear", 300], ["pending", "firing", "resolved"],
            id="and no longer",
        ),
        pytest.param(
            cap("r", keep_firing_for_seconds=300), ["breach", 10, "clear", 200, "breach", 200],
            ["pending", "firing", "firing"], id="a breach within keep_firing_for is the same alert",
        ),
        pytest.param(
            cap("r"), ["breach", 10, "clear", "breach", 10],
            ["pending", "firing", "resolved", "pending", "firing"], id="a breach after the end is a new alert",
        ),
        pytest.param(cap("r"), ["update", 10], ["pending", "firing"], id="an update alone says that it breaches"),
        pytest.param(cap("r"), ["clear"], [], id="a clear of nothing says nothing"),
    ],
)  # fmt: skip
def test_states_that_an_alert_goes_through(rule, steps, states) -> None:
    story = Story([rule])
    for step in steps:
        if isinstance(step, str):
            story.verdict("r", ACME, step)
        else:
            story.wait(step)

    assert states == story.states(ACME)


def test_figures_are_written_once_a_minute_or_when_the_excess_doubled() -> None:
    story = Story([killer()])
    story.verdict("killer", ACME, usd=1.0)
    story.wait(1)
    assert not story.verdict("killer", ACME, "update", usd=1.9).alerts
    assert [a.excess_usd for a in story.verdict("killer", ACME, "update", usd=2.0).alerts] == ["2"]
    story.wait(59)
    assert not story.verdict("killer", ACME, "update", usd=2.1).alerts
    story.wait(1)
    assert [a.excess_usd for a in story.verdict("killer", ACME, "update", usd=2.2).alerts] == ["2.2"]


def test_an_alert_keeps_the_time_at_which_it_began() -> None:
    story = Story([killer()])
    story.verdict("killer", ACME)
    story.wait(30)
    story.verdict("killer", ACME, "update", usd=9.0, starts_ms=story.now_ms)
    story.verdict("killer", ACME, "clear")

    assert {"2025-11-24T15:59:55Z"} == {alert.starts_at for alert in story.alerts()}


def test_seq_grows_and_time_never_goes_back() -> None:
    story = Story([cap(keep_firing_for_seconds=20)])
    for _ in range(3):
        story.verdict("cap", ACME, at_ms=story.now_ms - 8_000)
        story.wait(11)
        story.verdict("cap", ACME, "clear", at_ms=story.now_ms - 8_000)
        story.wait(21)
    alerts = story.alerts()

    assert len(alerts) == 9
    assert all(a.seq < b.seq for a, b in itertools.pairwise(alerts))
    assert all(from_rfc3339(a.at) <= from_rfc3339(b.at) for a, b in itertools.pairwise(alerts))


def test_a_partition_that_stands_still_makes_none_of_its_alerts_fire_or_resolve() -> None:
    story = Story([cap(for_seconds=60)])
    story.verdict("cap", ACME, partition=1)
    story.now_ms += 600_000
    story.tick(0)
    assert story.states(ACME) == ["pending"]

    story.tick(1)
    assert story.states(ACME) == ["pending", "firing"]


def test_flapping_is_said_and_forgotten_after_a_day() -> None:
    story = Story([cap()])
    for _ in range(FIRED_MAX + 5):
        story.verdict("cap", ACME)
        story.wait(10)
        story.verdict("cap", ACME, "clear")
    assert (
        f"fired {FIRED_MAX} times within a day"
        in [a for a in story.alerts() if a.state == "firing"][-1].summary
    )

    story.wait(24 * 3600)
    story.verdict("cap", ACME)
    story.wait(10)
    assert "times within a day" not in story.alerts()[-1].summary


def test_alerts_of_a_removed_rule_are_resolved_with_the_reason() -> None:
    story = Story([cap(), spike()])
    story.verdict("cap", ACME)
    story.verdict("spike", "tenant=other")
    story.wait(10)

    out = story.use(spike())
    assert [(a.rule, a.state) for a in out.alerts] == [("cap", "resolved")]
    assert "rule cap, which was removed" in out.alerts[0].summary
    assert story.verdict("cap", ACME).alerts == []
    assert "unknown_rule" in story.reasons()


def test_alerts_that_a_narrower_rule_no_longer_covers_are_resolved() -> None:
    story = Story([cap()])
    story.verdict("cap", ACME)
    story.verdict("cap", "tenant=other")
    story.wait(10)

    assert [a.scope for a in story.use(cap(match="oth*")).alerts] == [{"tenant": "acme"}]


def test_an_acknowledgement_is_written_and_ends_with_the_alert() -> None:
    story = Story([cap()])
    story.verdict("cap", ACME)
    story.wait(10)
    name = fingerprint("cap", ACME)
    assert [a.acked_by for a in story.command("ack", fingerprint=name).alerts] == ["alice@cli"]
    story.verdict("cap", ACME, "clear")
    assert [a.acked_by for a in story.verdict("cap", ACME).alerts] == [None]


def test_beyond_the_bound_resolved_alerts_make_room_and_then_new_ones_are_refused(monkeypatch) -> None:
    monkeypatch.setattr(lifecycle, "ALERTS_MAX", 2)
    monkeypatch.setattr(lifecycle, "EVICTED", 1)
    story = Story([cap()])
    for tenant in ("a", "b"):
        story.verdict("cap", f"tenant={tenant}")
    story.wait(10)
    story.verdict("cap", "tenant=a", "clear")
    story.verdict("cap", "tenant=c")
    assert "alerts_full" not in story.reasons()

    assert not story.verdict("cap", "tenant=d").alerts
    assert story.reasons() == ["alerts_full"]


@pytest.mark.parametrize("scope", ["tenant", "tenant=a&tenant=b"])
def test_a_verdict_on_no_scope_is_refused(scope) -> None:
    story = Story([cap()])
    story.verdict("cap", scope)

    assert story.reasons() == ["bad_scope"]


def test_a_signal_of_a_partition_that_does_not_exist_is_refused() -> None:
    story = Story([cap()])
    story.verdict("cap", ACME, partition=99)

    assert story.reasons() == ["unknown_partition"]


def test_clocks() -> None:
    """The clock is the latest of the partitions' clocks, the watermark the earliest of their watermarks."""
    story = Story([cap()])
    story.now_ms += 60_000
    story.tick(2)
    assert (story.core.clock_ms, story.core.watermark_ms) == (START_MS + 60_000, START_MS - 10_000)
    story.now_ms -= 90_000
    story.tick(2)
    assert (story.core.clock_ms, story.core.watermark_ms) == (START_MS + 60_000, START_MS - 10_000)

"""Kill switches: engaged by caps and people, never without an end, never more than allowed."""

from __future__ import annotations

import pytest
from tests.unit.decide.decider_log import START_MS, Story, cap, killer, spike

from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.contracts.killswitch import HEARTBEAT, PREFIX_ALL
from tokenfuse.contracts.ruleset import Response

ACME = "tenant=acme"


def after(seconds: int) -> str:
    return to_rfc3339(START_MS + seconds * 1000)


def engaged(story: Story) -> dict[str, str]:
    """Key and end of every switch on the topic, as a compacted read gives it."""
    latest = {change.key: change.value for change in story.switches()}
    return {key: switch.expires_at for key, switch in latest.items() if switch is not None}


def test_a_cap_breach_engages_a_switch_that_says_why_and_until_when() -> None:
    story = Story([killer()])
    out = story.verdict("killer", ACME, usd=2.5)

    (change,) = out.switches
    assert (ACME, len(story.log) - 1) == (change.key, change.generation)
    assert change.value.scope == {"tenant": "acme"}
    assert (change.value.action, change.value.mode, change.value.engaged_by) == ("block", "enforce", "killer")
    assert (after(0), after(600)) == (change.value.engaged_at, change.value.expires_at)
    assert "$12.50" in change.value.reason
    assert "$10.00" in change.value.reason
    (alert,) = out.alerts
    assert change.value.fingerprint == alert.fingerprint
    assert ("block", "enforce", after(600), change.generation) == (
        alert.enforcement.action, alert.enforcement.mode, alert.enforcement.expires_at, alert.enforcement.generation,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "modes"),
    [
        (killer("r"), ["enforce"]),
        (killer("r", mode="shadow"), ["shadow"]),
        (killer("r", mode="warn"), []),
        (cap("r"), []),
        (spike("r", mode="enforce", response=Response(action="throttle", ttl_seconds=60)), ["enforce"]),
    ],
)
def test_modes(rule, modes) -> None:
    story = Story([rule])
    story.verdict("r", ACME)

    assert modes == [change.value.mode for change in story.switches()]


def test_a_pending_alert_engages_nothing() -> None:
    story = Story([killer(for_seconds=30)])
    story.verdict("killer", ACME)
    story.wait(29)
    assert engaged(story) == {}

    story.wait(1)
    assert {ACME: after(630)} == engaged(story)


def test_it_expires_by_the_deciders_clock_with_a_tombstone() -> None:
    story = Story([killer()])
    story.verdict("killer", ACME)
    story.wait(599.9)
    assert {ACME: after(600)} == engaged(story)

    story.wait(0.1)
    assert engaged(story) == {}
    assert story.standing()
    assert [alert.enforcement for alert in story.standing().values()] == [None]


def test_it_is_extended_only_when_less_than_half_of_its_time_is_left() -> None:
    story = Story([killer()])
    story.verdict("killer", ACME)
    for _ in range(5):
        story.wait(60)
        story.verdict("killer", ACME, "update")
    assert {ACME: after(600)} == engaged(story)

    story.wait(1)
    story.verdict("killer", ACME, "update")
    assert {ACME: after(901)} == engaged(story)
    assert after(0) == story.switches()[-1].value.engaged_at


def test_it_ends_with_the_window_and_is_not_extended_beyond() -> None:
    story = Story([killer()])
    end_ms = START_MS + 400_000
    story.verdict("killer", ACME, until_ms=end_ms)
    story.wait(350)
    story.verdict("killer", ACME, "update", until_ms=end_ms)
    assert {ACME: after(400)} == engaged(story)

    story.wait(50)
    assert engaged(story) == {}
    story.verdict("killer", ACME, "update", until_ms=end_ms)
    assert engaged(story) == {}
    assert story.alerts()[-1].switch_refused == "window_over"


def test_it_engages_again_after_its_end_while_the_breach_stands() -> None:
    story = Story([killer()])
    story.verdict("killer", ACME)
    story.wait(700)
    story.verdict("killer", ACME, "update")

    assert {ACME: after(1300)} == engaged(story)


def test_a_clear_leaves_it_engaged_until_its_end() -> None:
    story = Story([killer()])
    story.verdict("killer", ACME)
    story.verdict("killer", ACME, "clear")
    assert {ACME: after(600)} == engaged(story)
    assert "stays engaged until 16:10 UTC" in story.alerts()[-1].summary


@pytest.mark.parametrize(("until_s", "again_s"), [(None, 3600), (7200, 7200)])
def test_what_a_person_released_is_not_engaged_again_by_the_same_rule(until_s, again_s) -> None:
    story = Story([killer()])
    until_ms = None if until_s is None else START_MS + until_s * 1000
    story.verdict("killer", ACME, until_ms=until_ms)
    story.command("release", scope={"tenant": "acme"})
    assert engaged(story) == {}
    assert story.alerts()[-1].switch_refused == "released_by_person"
    assert "a person released" in story.alerts()[-1].summary

    story.wait(again_s - 1)
    story.verdict("killer", ACME, "update", until_ms=until_ms)
    assert engaged(story) == {}
    story.wait(1)
    story.verdict("killer", ACME, "update", until_ms=None)
    assert {ACME: after(again_s + 600)} == engaged(story)
    assert story.alerts()[-1].switch_refused is None


def test_another_rule_may_engage_what_a_person_released() -> None:
    story = Story([killer(), killer("second", window="day")])
    story.verdict("killer", ACME)
    story.command("release", scope={"tenant": "acme"})
    story.verdict("second", ACME)

    assert {ACME: after(600)} == engaged(story)


def test_a_release_writes_a_tombstone_even_if_the_decider_knows_of_no_switch() -> None:
    story = Story([killer()])
    (change,) = story.command("release", scope={"tenant": "ghost"}).switches

    assert ("tenant=ghost", None, len(story.log) - 1) == (change.key, change.value, change.generation)


def test_the_strongest_hold_is_published_and_the_next_takes_its_place() -> None:
    story = Story(
        [killer(), killer("soft", window="day", response=Response(action="throttle", ttl_seconds=1200))]
    )
    story.verdict("soft", ACME)
    story.verdict("killer", ACME)
    story.wait(600)
    story.wait(600)

    assert [
        change.value and (change.value.engaged_by, change.value.action) for change in story.switches()
    ] == [("soft", "throttle"), ("killer", "block"), ("soft", "throttle"), None]


def test_never_more_than_the_rule_set_allows_and_the_alert_says_so() -> None:
    story = Story([killer()], switches_max=2)
    for tenant in "abc":
        story.verdict("killer", f"tenant={tenant}")
    assert sorted(engaged(story)) == ["tenant=a", "tenant=b"]
    refused = story.alerts()[-1]
    assert (refused.switch_refused, refused.enforcement) == ("switches_max", None)
    assert "NOT stopped" in refused.summary

    story.command("release", scope={"tenant": "a"})
    story.verdict("killer", "tenant=c", "update")
    assert sorted(engaged(story)) == ["tenant=b", "tenant=c"]


def test_a_shadow_rule_does_not_use_up_what_real_switches_may() -> None:
    story = Story([killer(), killer("trial", mode="shadow")], switches_max=1)
    story.verdict("trial", "tenant=a")
    story.verdict("trial", "tenant=b")
    story.verdict("killer", "tenant=c")

    assert sorted(engaged(story)) == ["tenant=a", "tenant=c"]


def test_a_person_may_engage_more_than_rules_may() -> None:
    story = Story([killer()], switches_max=1)
    story.verdict("killer", "tenant=a")
    story.command("engage", scope={"tenant": "b"}, ttl_seconds=60)

    assert sorted(engaged(story)) == ["tenant=a", "tenant=b"]


def test_switches_of_a_removed_or_disarmed_rule_are_released() -> None:
    for rules in ([cap()], [killer(mode="warn")], [killer(response=None)]):
        story = Story([killer()])
        story.verdict("killer", ACME)
        story.use(*rules)

        assert engaged(story) == {}


def test_a_rule_that_was_hardened_hardens_its_switch_with_its_next_verdict() -> None:
    story = Story([killer(mode="shadow")])
    story.verdict("killer", ACME)
    story.use(killer())
    story.verdict("killer", ACME, "update")

    assert [change.value.mode for change in story.switches()] == ["shadow", "enforce"]


def test_an_inhibited_or_silenced_alert_engages_its_switch_all_the_same() -> None:
    story = Story([killer(), spike(severity="page")])
    story.command("silence", scope={"tenant": "acme"}, ttl_seconds=600)
    story.verdict("spike", ACME, usd=50.0)
    story.wait(10)
    story.verdict("killer", ACME, usd=0.1)

    assert story.alerts()[-1].inhibited_by
    assert list(engaged(story)) == [ACME]


def test_a_switch_on_everything_has_a_key_that_compaction_can_hold() -> None:
    story = Story([killer(axis="global")])
    story.verdict("killer", "")

    assert list(engaged(story)) == [PREFIX_ALL]
    assert story.switches()[0].value.scope == {}


def test_a_heartbeat_every_five_seconds_of_the_clock() -> None:
    story = Story([killer()])
    for _ in range(12):
        story.wait(1)
    beats = [change for out in story.said for change in out.switches if change.key == HEARTBEAT]

    assert [after(0), after(5), after(10)] == [beat.value.at for beat in beats]
    assert all(beat.generation == beat.value.generation for beat in beats)


def test_engaged_says_what_the_topic_must_say() -> None:
    story = Story([killer()])
    story.verdict("killer", ACME)
    story.command("engage", scope={"user": "u"}, ttl_seconds=60, action="throttle")
    story.wait(60)

    assert engaged(story) == {key: switch.expires_at for key, switch in story.core.engaged().items()}

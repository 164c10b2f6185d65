"""Commands: done once, or refused with a reason, and never an exception."""

from __future__ import annotations

import msgspec
import pytest
from tests.unit.decide.decider_log import START_MS, Story, cap, killer, part, spike

from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.contracts.command import Command
from tokenfuse.contracts.ruleset import decode_ruleset
from tokenfuse.contracts.signal import CommandSignal
from tokenfuse.decide.decider import DeciderCore, commands, silences, switches

ACME = {"tenant": "acme"}


@pytest.mark.parametrize(
    ("kind", "fields", "reason"),
    [
        ("engage", {"ttl_seconds": 60}, "missing_scope"),
        ("engage", {"scope": ACME}, "missing_ttl"),
        ("engage", {"scope": {"planet": "mars"}, "ttl_seconds": 60}, "unknown_axis"),
        ("engage", {"scope": {"labels": "x"}, "ttl_seconds": 60}, "unknown_axis"),
        ("engage", {"scope": {"tenant": ""}, "ttl_seconds": 60}, "bad_scope"),
        ("engage", {"scope": ACME, "ttl_seconds": 60, "at": "yesterday"}, "bad_time"),
        ("engage", {"scope": ACME, "ttl_seconds": 60, "at": "2025-11-24T16:00:00"}, "bad_time"),
        ("engage", {"scope": ACME, "ttl_seconds": 60, "at": "2027-01-01T00:00:00Z"}, "bad_time"),
        ("engage", {"scope": ACME, "ttl_seconds": 60, "action": "downgrade"}, "downgrade_needs_rule"),
        ("release", {}, "missing_scope"),
        ("release", {"scope": {"planet": "mars"}}, "unknown_axis"),
        ("ack", {}, "missing_fingerprint"),
        ("ack", {"fingerprint": "0123456789abcdef"}, "unknown_alert"),
        ("silence", {"ttl_seconds": 60}, "missing_scope"),
        ("silence", {"scope": ACME}, "missing_ttl"),
        ("unsilence", {}, "missing_scope"),
        ("unsilence", {"scope": ACME}, "not_silenced"),
        ("rules", {}, "bad_ruleset"),
        ("rules", {"ruleset": msgspec.Raw(b"{}")}, "bad_ruleset"),
        ("rules", {"ruleset": msgspec.Raw(b"[1")}, "bad_ruleset"),
    ],
)
def test_a_bad_command_is_refused_with_its_reason_and_changes_nothing(kind, fields, reason) -> None:
    story = Story([cap()])
    out = story.command(kind, **fields)

    assert [reason] == [refusal.reason.value for refusal in out.refused]
    assert "alice@cli" in out.refused[0].detail
    assert (out.alerts, out.switches, out.controls) == ([], [], [])


def test_a_person_engages_and_it_ends() -> None:
    story = Story([cap()])
    (change,) = story.command("engage", scope={"labels.team": "x"}, ttl_seconds=60, reason="runaway").switches

    assert (change.key, change.value.action, change.value.mode) == ("labels.team=x", "block", "enforce")
    assert (change.value.engaged_by, change.value.reason, change.value.rule) == ("alice@cli", "runaway", None)
    story.wait(60)
    assert [change, None] == [story.switches()[0], story.switches()[-1].value]


def test_a_command_lives_from_its_own_time_when_the_deciders_clock_has_stood_still() -> None:
    """Nothing is ingested, so nothing ticks; a gateway with a right clock must still obey."""
    story = Story([cap()])
    at = to_rfc3339(START_MS + 7_200_000)
    (change,) = story.command("engage", scope=ACME, ttl_seconds=60, at=at).switches

    assert to_rfc3339(START_MS + 7_260_000) == change.value.expires_at


def test_a_command_before_the_first_clock_is_carried_out() -> None:
    story = Story()
    (change,) = [c for c in story.command("engage", scope=ACME, ttl_seconds=60).switches if c.value]

    assert to_rfc3339(START_MS + 60_000) == change.value.expires_at


def test_the_same_id_is_the_same_action() -> None:
    story = Story([cap()])
    story.command("engage", scope=ACME, ttl_seconds=60, id="one")
    story.command("release", scope=ACME)
    out = story.command("engage", scope=ACME, ttl_seconds=60, id="one")

    assert (out.switches, story.reasons()) == ([], ["replayed"])


def test_ids_are_kept_for_31_days(monkeypatch) -> None:
    story = Story([cap()])
    story.command("unsilence", scope=ACME, id="one")
    story.wait(31 * 86_400 - 1)
    story.command("unsilence", scope={"tenant": "b"})
    assert [r.reason for r in story.command("unsilence", scope=ACME, id="one").refused] == ["replayed"]
    story.wait(1)
    story.command("unsilence", scope={"tenant": "b"})
    assert [r.reason for r in story.command("unsilence", scope=ACME, id="one").refused] == ["not_silenced"]


def test_reaching_the_bound_of_ids_is_visible(monkeypatch) -> None:
    monkeypatch.setattr(commands, "IDS_MAX", 3)
    story = Story()
    for n in range(4):
        story.command("release", scope=ACME, id=f"id{n}")

    assert story.reasons() == ["command_ids_full"]


def test_the_bounds_of_people(monkeypatch) -> None:
    monkeypatch.setattr(switches, "PERSON_SWITCHES_MAX", 1)
    monkeypatch.setattr(silences, "SILENCES_MAX", 1)
    story = Story([cap()])
    for tenant in ("a", "b"):
        story.command("engage", scope={"tenant": tenant}, ttl_seconds=60)
        story.command("silence", scope={"tenant": tenant}, ttl_seconds=60)

    assert story.reasons() == ["switches_full", "silences_full"]


def test_a_rule_set_goes_to_the_deltas_once_with_the_offset_as_generation() -> None:
    story = Story()
    out = story.use(cap(limits={"b": 2, "a": 1}))

    (control,) = out.controls
    assert (control.kind, control.generation) == ("rules", 0)
    assert story.core.ruleset == decode_ruleset(control.body)
    assert story.wait(1).controls == []


def test_a_broken_rule_set_leaves_the_old_one_in_force() -> None:
    story = Story([killer()])
    story.command("rules", ruleset=msgspec.Raw(b'{"id": 1}'))

    assert story.verdict("killer", "tenant=acme").alerts


def test_a_silence_marks_alerts_inside_its_scope_until_it_ends() -> None:
    story = Story([killer(), killer("users", axis="user"), killer("models", axis="model")])
    story.verdict("killer", "tenant=acme")
    until = to_rfc3339(START_MS + 60_000)
    assert [until] == [a.silenced_until for a in story.command("silence", scope=ACME, ttl_seconds=60).alerts]

    inside = story.verdict("users", "user=u", contributors=(part("tenant", "acme", 1.0),)).alerts
    outside = story.verdict("users", "user=v", contributors=(part("tenant", "acme", 0.5, 0.5),)).alerts
    other = story.verdict("killer", "tenant=other").alerts
    assert [until, None, None] == [a.silenced_until for a in (*inside, *outside, *other)]

    spoken = [a for a in story.wait(60).alerts if a.silenced_until is None]
    assert sorted((a.scope for a in spoken), key=str) == [{"tenant": "acme"}, {"user": "u"}]
    assert all(a.at == until for a in spoken)


def test_a_silence_is_lifted() -> None:
    story = Story([killer()])
    story.command("silence", scope={}, ttl_seconds=600)
    assert all(a.silenced_until for a in story.verdict("killer", "tenant=acme").alerts)

    assert [a.silenced_until for a in story.command("unsilence", scope={}).alerts] == [None]


def test_a_silenced_alert_that_resolves_is_resolved() -> None:
    story = Story([spike()])
    story.command("silence", scope=ACME, ttl_seconds=600)
    story.verdict("spike", "tenant=acme")
    story.wait(10)

    assert [a.state for a in story.verdict("spike", "tenant=acme", "clear").alerts] == ["resolved"]


def test_an_offset_that_was_applied_is_not_applied_again() -> None:
    core = DeciderCore(1)
    command = Command(id="1", kind="engage", at="2025-11-24T16:00:00Z", by="a", scope=ACME, ttl_seconds=60)
    assert core.apply(7, CommandSignal(command=command)).switches
    again = core.apply(7, CommandSignal(command=msgspec.structs.replace(command, id="2")))

    assert [refusal.reason.value for refusal in again.refused] == ["replayed"]

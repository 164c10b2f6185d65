"""Scopes, durations and commands as the operators' verbs read them."""

from __future__ import annotations

import pytest
import typer

from tokenfuse.cli.operators import left, new_command, scope_of, seconds_of, whoami
from tokenfuse.cli.publish import key_of
from tokenfuse.contracts.clock import to_rfc3339

NOW_MS = 1_764_000_000_000
EVENT = (
    b'{"id":"e","time":1764000000,"tenant":"%s","feature":"f","model":"m","input_tokens":1,"output_tokens":1}'
)


def test_a_scope_has_the_axes_that_were_named() -> None:
    said = {"tenant": "a", "feature": None}

    assert scope_of(said, ["cost_center=42", "labels.team=x=y"], everything=False) == {
        "tenant": "a",
        "cost_center": "42",
        "labels.team": "x=y",
    }


@pytest.mark.parametrize(
    ("axes", "further", "everything", "says"),
    [
        ({}, None, False, "no scope"),
        ({"tenant": "a"}, None, True, "not both"),
        ({"tenant": ""}, None, False, "tenant is empty"),
        ({}, ["tennant=a"], False, "no axis 'tennant'"),
        ({}, ["cost_center"], False, "NAME=VALUE"),
        ({"tenant": "a"}, ["tenant=b"], False, "once"),
    ],
)
def test_a_scope_that_says_nothing_or_too_much_is_refused(axes, further, everything, says) -> None:
    with pytest.raises(typer.BadParameter, match=says):
        scope_of(axes, further, everything=everything)


def test_everything_must_be_asked_for() -> None:
    assert scope_of({}, None, everything=True) == {}


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("5m", 300), ("1h", 3600), ("31d", 2_678_400)])
def test_durations(text, seconds) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["0s", "32d", "1w", "", "-1h", "5"])
def test_a_duration_that_would_never_end_or_is_none_is_refused(text) -> None:
    with pytest.raises(typer.BadParameter, match="--ttl"):
        seconds_of(text)


def test_a_command_says_who_and_is_its_own() -> None:
    one, other = (new_command("release", None, scope={"tenant": "a"}) for _ in range(2))

    assert one.by == whoami() != ""
    assert one.id != other.id


def test_a_reason_that_the_decider_could_not_read_is_refused_here() -> None:
    with pytest.raises(typer.BadParameter, match="reason"):
        new_command("release", "eve", "x" * 1001, scope={"tenant": "a"})


@pytest.mark.parametrize(
    ("ahead_s", "words"), [(-5, "0s"), (59, "59s"), (60, "1m"), (5400, "1h 30m"), (180_000, "2d 2h")]
)
def test_what_is_left_in_words(ahead_s, words) -> None:
    assert left(to_rfc3339(NOW_MS + ahead_s * 1000), NOW_MS) == words


@pytest.mark.parametrize("tenant", [b"acme", "a & \u00fc".encode()])
def test_a_line_goes_under_its_tenant_in_any_format(tenant) -> None:
    event = EVENT % tenant
    envelope = b'{"specversion":"1.0","id":"e","source":"s","type":"t","tenant":"not-this","data":%s}' % event

    assert key_of(event) == tenant
    assert key_of(envelope) == tenant


@pytest.mark.parametrize("line", [b"nonsense", b"{}", b"[]", b"\xff", b'{"tenant":5}', b"[" * 100_000])
def test_a_line_that_is_no_event_has_no_key(line) -> None:
    assert key_of(line) is None

"""From matching switches to one answer, and what the refused caller reads."""

from __future__ import annotations

import itertools

import pytest

from tokenfuse.contracts.clock import from_rfc3339, to_rfc3339
from tokenfuse.contracts.killswitch import Switch
from tokenfuse.gateway.decision import ALLOWED, ALLOWED_STALE, decided_alone, message, refusal_body
from tokenfuse.gateway.judge import judge
from tokenfuse.gateway.throttle import Throttle
from tokenfuse.gateway.view import Entry

NOW_MS = 1_764_000_000_000
ENDS = to_rfc3339(NOW_MS + 3_600_000)
SHUT = Throttle(0)


def entry(action, *, mode="enforce", tenant="a", **fields) -> Entry:
    switch = Switch(
        scope={"tenant": tenant}, action=action, mode=mode, reason="$120 of $100 today.", engaged_at=ENDS,
        expires_at=ENDS, engaged_by="cap", generation=7, rule="cap", **fields,
    )  # fmt: skip
    return Entry(switch, f"tenant={tenant}", from_rfc3339(ENDS))


def test_without_a_switch_the_call_goes_ahead() -> None:
    assert judge((), SHUT, NOW_MS) is ALLOWED
    assert judge((), SHUT, NOW_MS, stale=True) is ALLOWED_STALE


@pytest.mark.parametrize("order", list(itertools.permutations(["block", "throttle", "downgrade", "warn"])))
def test_the_strongest_action_wins_in_any_order(order) -> None:
    actions = list(order)

    for strongest in ("block", "throttle", "downgrade", "warn"):
        decision = judge([entry(action) for action in actions], SHUT, NOW_MS)
        assert decision.action == strongest
        assert decision.allowed is (strongest in ("downgrade", "warn"))
        actions.remove(strongest)


def test_a_shadow_switch_reports_and_lets_the_call_through() -> None:
    decision = judge([entry("block", mode="shadow"), entry("warn")], SHUT, NOW_MS)

    assert decision.allowed
    assert decision.would_block
    assert decision.action == "warn"
    assert not judge([entry("warn", mode="shadow")], SHUT, NOW_MS).would_block


def test_a_throttle_lets_one_call_an_interval_through_and_the_downgrade_still_counts() -> None:
    throttle = Throttle(calls_per_minute=6)
    found = [entry("throttle"), entry("downgrade", downgrade_to="gpt-4o-mini")]

    admitted = judge(found, throttle, NOW_MS)
    refused = judge(found, throttle, NOW_MS + 9_999)
    later = judge(found, throttle, NOW_MS + 10_000)

    assert (admitted.allowed, admitted.downgrade_to) == (True, "gpt-4o-mini")
    assert (refused.allowed, refused.code) == (False, "tokenfuse_throttled")
    assert later.allowed


def test_a_clock_that_is_set_back_does_not_close_the_throttle() -> None:
    throttle = Throttle(calls_per_minute=6)

    assert throttle.admits("k", NOW_MS)
    assert throttle.admits("k", NOW_MS - 3_600_000)


def test_a_stale_view_refuses_only_where_that_was_asked_for() -> None:
    refused = judge((), SHUT, NOW_MS, stale=True, closed={"tenant": "trial"})

    assert (refused.allowed, refused.code, refused.stale) == (False, "tokenfuse_view_stale", True)
    assert judge([entry("block")], SHUT, NOW_MS, stale=True).code == "tokenfuse_blocked"


@pytest.mark.parametrize(
    ("action", "code", "word"),
    [("block", "tokenfuse_blocked", "Blocked"), ("throttle", "tokenfuse_throttled", "Throttled")],
)
def test_a_refusal_is_one_that_no_sdk_retries_and_says_why_and_until_when(action, code, word) -> None:
    decision = judge([entry(action)], SHUT, NOW_MS)
    body = refusal_body(decision)["error"]

    assert decision.http_status == 402
    assert body["code"] == code
    assert body["retryable"] is False
    assert body["expires_at"] == ENDS
    assert body["scope"] == {"tenant": "a"}
    assert body["message"].startswith(f"{word} by TokenFuse (tenant a) until {ENDS}: $120 of $100 today.")


def test_a_refusal_of_everything_names_everything() -> None:
    switch = entry("block").switch
    everything = Entry(
        Switch(**{f: getattr(switch, f) for f in switch.__struct_fields__} | {"scope": {}}), "~all", 0
    )

    assert "(all calls)" in message(judge([everything], SHUT, NOW_MS))


@pytest.mark.parametrize("action", ["block", "throttle", "downgrade", "warn"])
@pytest.mark.parametrize("mode", ["enforce", "shadow"])
def test_the_answer_kept_ready_for_a_lone_switch_is_the_one_that_would_be_worked_out(action, mode) -> None:
    plain = entry(action, mode=mode)
    ready = Entry(plain.switch, plain.key, plain.expires_ms, decided_alone(plain.switch))

    assert judge([ready], SHUT, NOW_MS) == judge([plain], SHUT, NOW_MS)
    assert judge([ready], SHUT, NOW_MS, stale=True) == judge([plain], SHUT, NOW_MS, stale=True)

"""The view is a function of the log: order across keys, repeats and latecomers change nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from tokenfuse.contracts.axes import bounded
from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.contracts.killswitch import (
    GENERATION_HEADER,
    HEARTBEAT,
    Heartbeat,
    Switch,
    encode_switch,
    switch_key,
)
from tokenfuse.contracts.scope import scope_key
from tokenfuse.gateway.view import Outcome, SwitchView

NOW_MS = 1_764_000_000_000
HOUR_MS = 3_600_000
SCOPES = [
    {},
    {"tenant": "a"},
    {"tenant": "b"},
    {"user": "a"},
    {"tenant": "a", "feature": "chat"},
    {"feature": "chat", "tenant": "b & co"},
]
CALLS = [
    {"tenant": "a"},
    {"tenant": "a", "feature": "chat", "user": "a"},
    {"tenant": "b & co", "feature": "chat", "user": None},
    {"model": "gpt-4o"},
    {},
]


def switch(scope, generation=1, *, action="block", mode="enforce", expires_ms=NOW_MS + HOUR_MS) -> Switch:
    return Switch(
        scope=scope, action=action, mode=mode, reason="over the cap", engaged_at=to_rfc3339(NOW_MS),
        expires_at=to_rfc3339(expires_ms), engaged_by="cap", generation=generation, rule="cap",
    )  # fmt: skip


def headers(generation):
    return [(GENERATION_HEADER, str(generation).encode())]


def record(scope, generation, *, engaged=True, **fields):
    value = encode_switch(switch(scope, generation, **fields)) if engaged else None
    return switch_key(scope_key(scope)).encode(), value, headers(generation)


def view_of(records) -> SwitchView:
    view = SwitchView()
    for each in records:
        view.apply(*each)
    return view


def answers(view: SwitchView) -> list:
    return [{entry.key: entry.switch for entry in view.find(call, NOW_MS)} for call in CALLS]


histories = st.lists(
    st.tuples(st.sampled_from(SCOPES), st.booleans(), st.sampled_from(["warn", "block"])), max_size=25
).map(lambda steps: [record(s, n, engaged=e, action=a) for n, (s, e, a) in enumerate(steps, 1)])


@given(histories, st.data())
@settings(max_examples=200, deadline=None)
def test_repeats_replays_and_latecomers_end_in_the_same_snapshot(history, data) -> None:
    late = data.draw(st.lists(st.sampled_from(history), max_size=10)) if history else []
    begun_again = history[: data.draw(st.integers(0, len(history)))]

    disturbed = view_of([*begun_again, *history, *late, *history])

    assert answers(disturbed) == answers(view_of(history))
    assert disturbed.switches(NOW_MS) == view_of(history).switches(NOW_MS)


@given(histories, st.randoms())
@settings(max_examples=200, deadline=None)
def test_the_newest_generation_of_each_key_decides_in_whatever_order_records_come(history, random) -> None:
    shuffled = history.copy()
    random.shuffle(shuffled)

    assert answers(view_of(shuffled)) == answers(view_of(history))


@given(histories)
@settings(max_examples=200, deadline=None)
def test_the_index_finds_what_a_plain_search_finds(history) -> None:
    last = {key: value for key, value, _ in history}
    view = view_of(history)

    for call in CALLS:
        expected = {
            switch_key(scope_key(scope)).encode()
            for scope in SCOPES
            if last.get(switch_key(scope_key(scope)).encode()) and scope.items() <= call.items()
        }
        assert {entry.key.encode() for entry in view.find(call, NOW_MS)} == expected


@given(histories)
@settings(max_examples=100, deadline=None)
def test_a_log_that_compaction_has_thinned_gives_the_same_snapshot(history) -> None:
    """Only the newest record of each key is left, and tombstones are gone."""
    last = {each[0]: each for each in history}
    compacted = [each for each in history if each is last[each[0]] and each[1] is not None]

    assert answers(view_of(compacted)) == answers(view_of(history))


def test_a_switch_ends_at_its_expiry_whatever_the_topic_says() -> None:
    view = view_of([record({"tenant": "a"}, 1, expires_ms=NOW_MS + 1000)])

    assert view.find({"tenant": "a"}, NOW_MS + 999)
    assert not view.find({"tenant": "a"}, NOW_MS + 1000)
    assert view.switches(NOW_MS + 1000) == []


def test_a_tombstone_of_an_older_generation_releases_nothing() -> None:
    view = view_of([record({"tenant": "a"}, 5)])

    assert view.apply(*record({"tenant": "a"}, 4, engaged=False)) is Outcome.NOT_NEWER
    assert view.find({"tenant": "a"}, NOW_MS)


def test_a_tombstone_that_a_person_wrote_by_hand_releases() -> None:
    """Compaction would take the switch away at every restart: gateways that stay up must agree, also on its repair."""
    view = view_of([record({"tenant": "a"}, 5)])

    assert view.apply(b"tenant=a", None, []) is Outcome.RELEASED
    assert not view.find({"tenant": "a"}, NOW_MS)
    assert view.apply(*record({"tenant": "a"}, 5)) is Outcome.ENGAGED


@pytest.mark.parametrize(
    ("key", "value", "head"),
    [
        (b"tenant=a", b"not json", headers(9)),
        (b"tenant=a", b"{}", headers(9)),
        (b"tenant=b", encode_switch(switch({"tenant": "a"}, 9)), headers(9)),
        (b"tenant=a", encode_switch(switch({"tenant": "a"}, 9)), [(GENERATION_HEADER, b"nine")]),
        (
            b"tenant=a",
            encode_switch(switch({"tenant": "a"}, 9)).replace(b"2025-11-24T17", b"soon"),
            headers(9),
        ),
        (b"\xff", b"{}", headers(9)),
        (None, b"{}", []),
        (HEARTBEAT.encode(), None, headers(9)),
    ],
)
def test_what_is_malformed_is_counted_and_changes_nothing(key, value, head) -> None:
    view = view_of([record({"tenant": "a"}, 1)])

    assert view.apply(key, value, head) is Outcome.MALFORMED
    assert view.counts[Outcome.MALFORMED] == 1
    assert repr(key) in view.last_fault
    assert view.find({"tenant": "a"}, NOW_MS)
    assert view.apply(*record({"tenant": "a"}, 2, engaged=False)) is Outcome.RELEASED


def test_the_heartbeat_is_no_switch_and_an_older_one_is_no_sign_of_life() -> None:
    view = SwitchView()
    beats = [
        (HEARTBEAT.encode(), encode_switch(Heartbeat(at=to_rfc3339(NOW_MS), generation=g)), headers(g))
        for g in (3, 3, 2)
    ]

    assert [view.apply(*beat) for beat in beats] == [
        Outcome.HEARTBEAT,
        Outcome.HEARTBEAT,
        Outcome.NOT_NEWER,
    ]
    assert view.switches(NOW_MS) == []
    assert not view.find({}, NOW_MS)


@pytest.mark.parametrize("value", ["u" * 256, "u" * 257, "ü" * 10_000, "u" * 200 + "~" + "0" * 16])
def test_a_long_value_is_asked_for_as_ingest_counts_it(value) -> None:
    view = view_of([record({"user": bounded(value)}, 1)])

    assert view.find({"user": value}, NOW_MS)


def test_values_that_are_no_text_never_raise() -> None:
    view = view_of([record({"user": "42"}, 1)])

    assert view.find({"user": 42, "tenant": None, "feature": ["x"]}, NOW_MS)

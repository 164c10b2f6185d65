"""The hot path gives what the decoder gives message by message, or declines; and the columns give the calls back."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given, settings, strategies as st

from tokenfuse.contracts.axes import AXES
from tokenfuse.ingest import hot
from tokenfuse.ingest.columns import pack
from tokenfuse.ingest.decode import Decoder
from tokenfuse.ingest.hot import HotPath
from tokenfuse.ingest.names import Names
from tokenfuse.ingest.table import CallTable
from tokenfuse.pricing.book import PriceBook

NOON_MS = 1_764_000_000_000
FURTHER = ("cost_center", "labels.squad", "provider")
BOOK = PriceBook()
DECODER = Decoder(FURTHER, 30 * 86_400, 600, BOOK)
BASE = {
    "id": "e-1", "time": NOON_MS, "tenant": "acme", "feature": "chat", "model": "gpt-4o", "input_tokens": 100,
    "output_tokens": 50,
}  # fmt: skip

tokens = st.one_of(st.integers(0, 300_000), st.sampled_from([10**15, 10**15 + 1, -1]))
names = st.sampled_from(["a", "é", "a&b", "a%26", "x" * 300, "x" * 1025, ""])
MODELS = (
    "gpt-4o", "deepseek-reasoner", "claude-sonnet-4-5", "gemini-2.5-pro", "o3-mini", "nobody-knows", "text-embedding-3-small",
    "gpt-4o" + "x" * 400,
)  # fmt: skip
CHANGES = {
    "id": names,
    "time": st.one_of(
        st.integers(NOON_MS - 4_000_000_000, NOON_MS + 1_000_000),
        st.integers(0, 2 * 10**12),
        st.sampled_from([
            1_764_000_000, 1_763_999_999.9996, "2025-11-24T16:00:00.9999+01:00", "2025-11-24", 10**30, -(10**18), -5, 1e300,
        ]),
    ),
    "tenant": names,
    "feature": names,
    "model": st.sampled_from(MODELS),
    "provider": st.sampled_from([None, "openai", "deepseek", "azure", "nobody"]),
    "input_tokens": tokens,
    "output_tokens": tokens,
    "cost_usd": st.one_of(st.none(), st.sampled_from(["0.0000000015", "-0", "1000000", "1000000.1", "1e-60", "NaN", 0.5, -1])),
    "cache_read_tokens": st.integers(0, 300),
    "cache_write_tokens": st.integers(0, 300),
    "reasoning_tokens": st.integers(0, 100),
    "context_tokens": tokens,
    "attempt": st.integers(0, 3),
    "status": st.sampled_from(["ok", "error", "aborted", "blocked", "lost"]),
    "response_cache_hit": st.booleans(),
    "tier": st.sampled_from([None, "small", "reasoning", "huge"]),
    "latency_ms": st.one_of(st.none(), st.floats(0, 10**12), st.sampled_from([0.5, 1.5, 2.5, -1])),
    "tool_calls": st.integers(0, 5),
    "step": st.one_of(st.none(), tokens),
    "depth": st.one_of(st.none(), tokens),
    "user": st.one_of(st.none(), names),
    "run_id": st.one_of(st.none(), names),
    "prompt_template": st.one_of(st.none(), names),
    "cost_center": st.one_of(st.none(), names),
    "batch": st.booleans(),
    "labels": st.sampled_from([None, {}, {"squad": ""}, {"squad": "blue"}, {"service_tier": "flex"}, {"service_tier": "x" * 99}, {"service_tier": 1}]),
    "parent_run_id": st.one_of(st.none(), names),
    "tool_signature": st.sampled_from([None, "search:a", "search:b", ""]),
    "trace_id": st.sampled_from([None, "t", "", 5]),
    "quality_score": st.sampled_from([None, 0.5, 2]),
    "revision": st.integers(0, 2),
    "replaces": st.sampled_from([None, {key: value for key, value in BASE.items() if key != "id"}, {"time": 1}]),
    "surplus": st.just([{}]),
}  # fmt: skip


@st.composite
def messages(draw) -> bytes | None:
    """Canonical events, mostly good; few of their fields at a time, so that most combinations stay acceptable."""
    chosen = draw(st.lists(st.sampled_from(sorted(CHANGES)), max_size=5, unique=True))
    body = {**BASE, **{name: draw(CHANGES[name]) for name in chosen}}
    value = json.dumps(body, ensure_ascii=draw(st.booleans())).encode()
    return draw(
        st.sampled_from([value] * 12 + [None, b"", b"[]", value + b"\xff", value[:-1], b"[" + value + b"]"])
    )


headers = st.sampled_from([(), (), (), (("traceparent", b"00"),), (("ce_specversion", b"0.3"),)])
stamps = st.sampled_from([NOON_MS, NOON_MS, NOON_MS + 10**9, None])


def calls_of(decoded, count: int) -> list:
    found = [decoded.faults.get(number, ()) for number in range(count)]
    for number, call in zip(decoded.of_call.tolist(), decoded.calls.calls(), strict=True):
        found[number] += (call,)
    return found


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(messages(), headers, stamps), min_size=1, max_size=12))
def test_many_messages_give_what_each_gives_alone(given_messages) -> None:
    values, heads, record_ms = zip(*given_messages, strict=True)
    said = [-1 if at_ms is None else at_ms for at_ms in record_ms]

    decoded = DECODER.decode_many(values, heads, said)

    assert calls_of(decoded, len(values)) == [DECODER.decode(*message) for message in given_messages]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(messages(), headers, stamps), min_size=1, max_size=12), st.data())
def test_a_part_is_what_its_messages_give(given_messages, data) -> None:
    values, heads, record_ms = zip(*given_messages, strict=True)
    said = [-1 if at_ms is None else at_ms for at_ms in record_ms]
    last = data.draw(st.integers(0, len(values)))
    first = data.draw(st.integers(0, last))

    part = DECODER.decode_many(values, heads, said).part(first, last)

    assert calls_of(part, last - first) == [
        DECODER.decode(*message) for message in given_messages[first:last]
    ]


def taken(*changes: dict) -> list[int]:
    values = [json.dumps({**BASE, **change}).encode() for change in changes]
    path = HotPath(FURTHER, 30 * 86_400, 600, BOOK)
    return path.table(values, [()] * len(values), np.full(len(values), NOON_MS))[1].tolist()


def test_plain_events_are_taken_and_what_needs_a_reason_or_a_call_of_its_own_is_not() -> None:
    plain = [
        {},
        {"cost_usd": "0.5"},
        {"time": "2025-11-24T16:00:00Z"},
        {"model": "nobody-knows"},
        {"revision": 1},
    ]
    odd = [
        {"cost_usd": -1},
        {"time": "yesterday"},
        {"tenant": ""},
        {"cache_read_tokens": 101},
        {"trace_id": 5},
    ]

    assert taken(*plain) == [0, 1, 2, 3, 4]
    assert taken(*odd) == []
    assert taken(*odd, {}, *odd) == [len(odd)]


def test_one_odd_message_in_a_chunk_leaves_the_others_on_the_hot_path() -> None:
    odd = {"tenant": ""}
    changes = [odd if number % 100 == 7 else {"id": f"e-{number}"} for number in range(3 * hot.CHUNK)]

    assert taken(*changes) == [number for number, change in enumerate(changes) if change is not odd]


def test_full_tables_of_names_are_replaced_and_change_nothing(monkeypatch) -> None:
    values = [json.dumps({**BASE, "user": f"u{number}"}).encode() for number in range(9)]
    ask = (values, [()] * 9, [NOON_MS] * 9)
    expected = calls_of(Decoder(FURTHER, 30 * 86_400, 600, BOOK).decode_many(*ask), 9)
    monkeypatch.setattr("tokenfuse.ingest.names.TABLE_ENTRIES_MAX", 5)
    decoder = Decoder(FURTHER, 30 * 86_400, 600, BOOK)

    first, second = decoder.decode_many(*ask), decoder.decode_many(*ask)

    assert first.calls.names is not second.calls.names
    assert calls_of(first, 9) == calls_of(second, 9) == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(messages(), headers, stamps), min_size=1, max_size=12))
def test_calls_survive_columns(given_messages) -> None:
    results = [DECODER.decode(*message) for message in given_messages]
    calls = [call for result in results if isinstance(result, tuple) for call in result]

    assert list(CallTable.of(calls, Names((*AXES, *FURTHER))).calls()) == calls


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from([-(2**40), -1, 0, 1, 2**40])] * 4), min_size=1, max_size=20))
def test_packed_numbers_compare_as_their_columns_do(rows) -> None:
    packed = pack([np.array(column, np.int64) for column in zip(*rows, strict=True)]).tolist()

    assert min(packed) >= 0
    assert [a < b for a in packed for b in packed] == [a < b for a in rows for b in rows]

"""From bytes to calls: what is taken, and the named reason for everything that is not."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings, strategies as st

from tokenfuse.contracts.axes import VALUE_CHARS_MAX
from tokenfuse.contracts.deadletter import Reason
from tokenfuse.ingest.call import Call
from tokenfuse.ingest.decode import Decoder
from tokenfuse.ingest.fault import DeadLetterFault
from tokenfuse.pricing.book import PriceBook

NOON_MS = int(datetime(2025, 11, 24, 12, tzinfo=UTC).timestamp()) * 1000
DAY_MS = 86_400_000
BOOK = PriceBook()
DECODER = Decoder(("cost_center", "labels.squad", "provider"), 30 * 86_400, 600, BOOK)
BASE = {
    "id": "e-1",
    "time": "2025-11-24T12:00:00Z",
    "tenant": "acme",
    "feature": "chat",
    "model": "gpt-4o",
    "input_tokens": 100,
    "output_tokens": 50,
}


def text(**changes) -> bytes:
    return json.dumps({**BASE, **changes}).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in BASE.items() if key != name}).encode()


def one(value: bytes, record_ms: int | None = NOON_MS, headers=()) -> Call:
    (call,) = DECODER.decode(value, headers, record_ms)
    return call


def fault(value: bytes | None, record_ms: int | None = NOON_MS, headers=()) -> DeadLetterFault:
    result = DECODER.decode(value, headers, record_ms)
    assert isinstance(result, DeadLetterFault), result
    return result


def test_a_canonical_event_becomes_a_call_of_integers():
    call = one(
        text(
            attempt=2, status="aborted", cost_usd="0.0000000015", latency_ms=812.5, tier="small", depth=2, step=3,
            cache_read_tokens=40, cache_write_tokens=10, reasoning_tokens=7, context_tokens=30, tool_calls=1,
            prompt_template="t-1", user="u-1", run_id="r-1", cost_center="cc", labels={"squad": "blue"}, revision=4,
        )
    )  # fmt: skip
    assert call == Call(
        id="e-1", revision=4, time_ms=NOON_MS, tenant="acme", feature="chat", model="gpt-4o", prompt_template="t-1",
        user="u-1", run_id="r-1", further=("cc", "blue", "openai"), cost_nanousd=2, unpriced=False, input_tokens=100,
        output_tokens=50, cache_read_tokens=40, cache_write_tokens=10, reasoning_tokens=7, context_tokens=30,
        retry=True, error=True, response_cache_hit=False, tool_calls=1, tier=0, latency_ms=812, depth=2, step=3,
        off_book_nanousd=2 - 700_000,
    )  # fmt: skip


def test_what_the_producer_does_not_say_is_priced_inferred_or_marked_unknown():
    call = one(text())
    assert call.cost_nanousd == 100 * 2500 + 50 * 10_000
    assert (call.tier, call.latency_ms, call.depth, call.step) == (1, -1, 0, 0)
    assert call.further == (None, None, "openai")
    assert one(text(model="in-house-7")).unpriced


@pytest.mark.parametrize(
    "time",
    [
        "2025-11-24T12:00:00Z", "2025-11-24T13:00:00+01:00", "2025-11-24T12:00:00.000Z", 1763985600,
        1763985600000, "2025-11-24T12:00:00.000999999Z",
    ],
)  # fmt: skip
def test_times_are_rfc3339_or_epoch_seconds_or_milliseconds(time):
    assert one(text(time=time)).time_ms == NOON_MS


def test_a_fraction_of_a_second_is_kept_to_the_millisecond():
    assert one(text(time="2025-11-24T12:00:00.250Z")).time_ms == NOON_MS + 250
    assert one(text(time=1763985600.001)).time_ms == NOON_MS + 1


REFUSED = [
    (None, Reason.EMPTY, ""),
    (b"", Reason.EMPTY, ""),
    (b"[]", Reason.EMPTY, ""),
    (text(note="x" * 2_000_000), Reason.TOO_LARGE, ""),
    (text(tenant="acme").replace(b"acme", b"\xff"), Reason.INVALID_UTF8, ""),
    (text(unknown="acme").replace(b'"unknown": "acme"', b'"unknown": "\xff"'), Reason.INVALID_UTF8, ""),
    (b'{"id": ', Reason.MALFORMED_JSON, ""),
    (text() + b"x", Reason.MALFORMED_JSON, ""),
    (b"[" * 200_000, Reason.MALFORMED_JSON, ""),
    (b"5", Reason.NOT_AN_OBJECT, ""),
    (b"null", Reason.NOT_AN_OBJECT, ""),
    (b'["x"]', Reason.NOT_AN_OBJECT, "[0]"),
    (b"{}", Reason.UNKNOWN_FORMAT, ""),
    (b'{"level": "info", "message": "hello"}', Reason.UNKNOWN_FORMAT, ""),
    *((without(name), Reason.MISSING_FIELD, name) for name in BASE),
    (text(tenant=None), Reason.WRONG_TYPE, "tenant"),
    (text(input_tokens=5.0), Reason.WRONG_TYPE, "input_tokens"),
    (text(input_tokens=True), Reason.WRONG_TYPE, "input_tokens"),
    (text(input_tokens="5"), Reason.WRONG_TYPE, "input_tokens"),
    (text(cost_usd="a lot"), Reason.WRONG_TYPE, "cost_usd"),
    (text(cost_usd=[1]), Reason.WRONG_TYPE, "cost_usd"),
    (text(labels={"squad": 1}), Reason.WRONG_TYPE, "labels.squad"),
    (text(time=True), Reason.WRONG_TYPE, "time"),
    (text(input_tokens=2**63), Reason.OUT_OF_RANGE, "input_tokens"),
    (text(input_tokens=-1), Reason.OUT_OF_RANGE, "input_tokens"),
    (text(attempt=0), Reason.OUT_OF_RANGE, "attempt"),
    (text(id="x" * 129), Reason.OUT_OF_RANGE, "id"),
    (text(tenant=""), Reason.OUT_OF_RANGE, "tenant"),
    (text(status="fine"), Reason.OUT_OF_RANGE, "status"),
    (text(labels={str(n): "" for n in range(17)}), Reason.OUT_OF_RANGE, "labels"),
    (text(latency_ms=1e300), Reason.OUT_OF_RANGE, "latency_ms"),
    (text(cost_usd=float("nan")), Reason.NOT_FINITE, "cost_usd"),
    (text(input_tokens=float("inf")), Reason.NOT_FINITE, "input_tokens"),
    (text(labels={"squad": float("nan")}), Reason.NOT_FINITE, "labels.squad"),
    (text(cost_usd="NaN"), Reason.NOT_FINITE, "cost_usd"),
    (text(cost_usd="Infinity"), Reason.NOT_FINITE, "cost_usd"),
    (text(cost_usd=-0.01), Reason.NEGATIVE_COST, "cost_usd"),
    (text(cost_usd="1000000.01"), Reason.COST_TOO_LARGE, "cost_usd"),
    (text(cost_usd="x").replace(b'"x"', b"1e400"), Reason.COST_TOO_LARGE, "cost_usd"),
    (text(input_tokens=10**15), Reason.COST_TOO_LARGE, "input_tokens"),
    (text(time="yesterday"), Reason.BAD_TIME, "time"),
    (text(time="2025-11-24T12:00:00"), Reason.BAD_TIME, "time"),
    (text(time="2025-11-24"), Reason.BAD_TIME, "time"),
    (text(time="20251124T120000Z"), Reason.BAD_TIME, "time"),
    (text(time=0), Reason.TIME_TOO_OLD, "time"),
    (text(time="1970-01-01T00:00:00Z"), Reason.TIME_TOO_OLD, "time"),
    (text(time="2025-10-24T11:59:59Z"), Reason.TIME_TOO_OLD, "time"),
    (text(time="2026-11-24T12:00:00Z"), Reason.TIME_IN_FUTURE, "time"),
    (text(time="2025-11-24T12:10:01Z"), Reason.TIME_IN_FUTURE, "time"),
    (text(time=1e300), Reason.TIME_IN_FUTURE, "time"),
    (text(cache_read_tokens=60, cache_write_tokens=41), Reason.TOKENS_INCONSISTENT, "cache_read_tokens"),
    (text(reasoning_tokens=51), Reason.TOKENS_INCONSISTENT, "reasoning_tokens"),
    (text(replaces={"time": 1}), Reason.MISSING_FIELD, "replaces.tenant"),
    (text(replaces={**BASE, "time": "1970-01-01T00:00:00Z"}), Reason.TIME_TOO_OLD, "replaces.time"),
    (text(replaces={**BASE, "reasoning_tokens": 51}), Reason.TOKENS_INCONSISTENT, "replaces.reasoning_tokens"),
    (b'{"specversion": "0.3", "data": {}}', Reason.UNSUPPORTED_CLOUDEVENT, "specversion"),
    (json.dumps([BASE, {**BASE, "input_tokens": -1}]).encode(), Reason.OUT_OF_RANGE, "[1].input_tokens"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "reason", "path"), REFUSED, ids=lambda v: v.value if isinstance(v, Reason) else ""
)
def test_what_cannot_be_counted_has_a_reason_a_path_and_a_sentence(value, reason, path):
    refused = fault(value)
    assert (refused.reason, refused.path) == (reason, path)
    assert 5 < len(refused.detail) <= 300


def test_reasons_of_the_decoder_are_all_reached():
    """The others: original_unknown (de-duplication), missing_attribution (vendor formats), internal_error (below), batch_* (test_batches)."""
    elsewhere = {
        Reason.BATCH_TOO_LARGE,
        Reason.BATCH_UNREADABLE,
        Reason.ORIGINAL_UNKNOWN,
        Reason.MISSING_ATTRIBUTION,
        Reason.INTERNAL_ERROR,
    }
    assert {reason for _, reason, _ in REFUSED} == set(Reason) - elsewhere


def test_a_fault_of_our_own_refuses_the_message_and_does_not_stop_the_stream():
    class BrokenBook(PriceBook):
        def entry_of(self, *_):
            raise ZeroDivisionError

    result = Decoder((), 60, 60, BrokenBook()).decode_many([text()], [()], [NOON_MS])
    assert result.faults[0].reason is Reason.INTERNAL_ERROR


def test_replay_asks_only_that_a_time_lies_between_2015_and_2100():
    assert one(text(time="2016-01-01T00:00:00Z"), None)
    assert one(text(time="2099-12-31T00:00:00Z"), None)
    assert fault(text(time="2014-12-31T23:59:59Z"), None).reason is Reason.TIME_TOO_OLD
    assert fault(text(time="2100-01-02T00:00:00Z"), None).reason is Reason.TIME_IN_FUTURE


def test_the_bounds_of_event_time_belong_to_the_range():
    assert one(text(time="2025-10-25T12:00:00Z"))
    assert one(text(time="2025-11-24T12:10:00Z"))


def test_a_long_scope_value_is_cut_and_stays_distinct():
    long_a, long_b = "x" * 300 + "a", "x" * 300 + "b"
    calls = [one(text(tenant=v, feature=v, model=v, prompt_template=v, user=v, run_id=v, cost_center=v))
             for v in (long_a, long_b)]  # fmt: skip
    for call in calls:
        for value in (call.tenant, call.feature, call.model, call.prompt_template, call.user, call.run_id,
                      call.further[0]):  # fmt: skip
            assert len(value) <= VALUE_CHARS_MAX
            assert value.startswith("x" * 200 + "~")
    assert calls[0].tenant != calls[1].tenant
    assert one(text(tenant="x" * VALUE_CHARS_MAX)).tenant == "x" * VALUE_CHARS_MAX


def test_a_correction_says_what_it_replaces_priced_at_its_own_time():
    call = one(text(revision=2, replaces={**BASE, "time": "2025-01-01T00:00:00Z", "input_tokens": 10,
                                          "labels": {"squad": "red"}, "latency_ms": 3}))  # fmt: skip
    before = call.replaces
    assert (before.id, before.revision, before.input_tokens, before.latency_ms) == ("e-1", 1, 10, 3)
    assert before.time_ms == int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()) * 1000
    assert before.further == (None, "red", "openai")
    assert before.cost_nanousd == 10 * 2500 + 50 * 10_000


def test_an_array_is_as_many_calls_all_or_none():
    calls = DECODER.decode(json.dumps([BASE, {**BASE, "id": "e-2"}]).encode(), (), NOON_MS)
    assert [call.id for call in calls] == ["e-1", "e-2"]


def test_cloudevents_are_read_in_both_modes_and_out_of_files():
    envelope = {"specversion": "1.0", "id": "ce", "source": "s", "type": "t", "data": BASE}
    structured = json.dumps(envelope).encode()
    assert one(structured, headers=[("content-type", b"application/cloudevents+json")]).id == "e-1"
    assert one(structured).id == "e-1"
    binary = [("ce_specversion", b"1.0"), ("ce_id", b"ce"), ("content-type", b"application/json")]
    assert one(text(), headers=binary).id == "e-1"
    assert one(without("id"), headers=binary).id == "ce"
    assert fault(text(), headers=[("ce_specversion", b"0.3")]).reason is Reason.UNSUPPORTED_CLOUDEVENT


def many(decoder, values, headers, stamps):
    decoded = decoder.decode_many(values, headers, stamps)
    found = [decoded.faults.get(number, ()) for number in range(len(values))]
    for number, call in zip(decoded.of_call.tolist(), decoded.calls.calls(), strict=True):
        found[number] += (call,)
    return found


def test_many_give_what_each_gives_alone():
    values = [text(), *(value for value, _, _ in REFUSED), text(id="e-2"), json.dumps([BASE, BASE]).encode()]
    headers = [()] * (len(values) - 1) + [[("traceparent", b"00-x")]]
    assert many(DECODER, values, headers, [NOON_MS] * len(values)) == [
        DECODER.decode(v, h, NOON_MS) for v, h in zip(values, headers, strict=True)
    ]


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode),
                 st.tuples(st.integers(0, 200), st.integers(0, 255))))  # fmt: skip
def test_no_bytes_whatever_stop_the_decoder(junk):
    if isinstance(junk, tuple):
        at, byte = junk
        damaged = bytearray(text())
        damaged[at % len(damaged)] = byte
        junk = bytes(damaged)
    result = DECODER.decode(junk, (), NOON_MS)
    assert isinstance(result, tuple) or result.reason is not Reason.INTERNAL_ERROR


def test_the_same_bytes_give_the_same_call():
    assert one(text(model="in-house-7")) == one(text(model="in-house-7"))


def test_contracts_import_neither_prices_nor_pydantic():
    import subprocess
    import sys

    check = (
        "import sys, tokenfuse.contracts.event, tokenfuse.contracts.cloudevents\n"
        "print([m for m in ('pydantic', 'genai_prices', 'numpy') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"

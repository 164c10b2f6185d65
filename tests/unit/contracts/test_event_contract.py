"""The hot-path struct and the public model are one contract: they accept and refuse the same JSON, and read it alike."""

import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError

from tokenfuse.contracts.event import CostEvent, Replaces, decode_event, encode_event
from tokenfuse.contracts.public import event as public

BASE = {
    "id": "e-1",
    "time": "2025-11-24T16:00:00Z",
    "tenant": "acme",
    "feature": "chat",
    "model": "gpt-4o",
    "input_tokens": 100,
    "output_tokens": 50,
}
FIELDS = [field.name for field in msgspec.structs.fields(CostEvent)]

# Raw JSON texts, so that the tests reach what no Python value can say.
SCALARS = [
    "0", "-0", "1", "-1", "5.0", "5e0", "1e2", "0.1", "-0.5", "2.5", "10001", "1000000000000000", "1000000000000001",
    "9223372036854775807", "9223372036854775808", "18446744073709551616", "123456789012345678901234567890",
    "1e15", "1e400", "-1e400", "1e-400", "0.00000000049999999999999999999999999999999", "1000000", "1000000.000001",
    "true", "false", "null", '""', '"x"', '"ok"', '"mid"', '"exact"', '"5"', '"0.5"', '" 0.5"', '"1_0"', '"-1"', '"NaN"',
    '"sNaN"', '"Infinity"', '"1e400"', '"1e-400"', '"1e99999999999999999999"', '"2025-11-24T16:00:00Z"', "NaN", "Infinity",
    "-Infinity", '"\\ud800"', '"\\u0000"', '"é"', "[]", "{}", "[null]", '{"a": null}', '{"a": "b"}', '{"a": 1}', "[[[1]]]",
    '"' + "x" * 128 + '"', '"' + "x" * 129 + '"', '"' + "é" * 1024 + '"', '"' + "é" * 1025 + '"',
    json.dumps({str(n): "v" for n in range(16)}), json.dumps({str(n): "v" for n in range(17)}),
]  # fmt: skip


def same(struct: CostEvent | Replaces, model: public.CostEvent | public.Replaces) -> bool:
    for field in msgspec.structs.fields(struct):
        mine, theirs = getattr(struct, field.name), getattr(model, field.name)
        if isinstance(mine, Replaces):
            if not same(mine, theirs):
                return False
        elif mine != theirs or type(mine) is not type(theirs):
            return False
    return True


def assert_agree(text: str) -> None:
    data = text.encode()
    try:
        struct = decode_event(data)
    except msgspec.DecodeError:
        with pytest.raises((ValidationError, msgspec.DecodeError)):
            public.CostEvent.from_json(data)
    else:
        assert same(struct, public.CostEvent.from_json(data))


def document(fields: dict[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in fields.items()) + "}"


RAW = {name: json.dumps(value) for name, value in BASE.items()}


@pytest.mark.parametrize("name", [*FIELDS, "unknown_field"])
def test_both_agree_on_every_odd_value_of_every_field(name):
    for text in SCALARS:
        assert_agree(document({**RAW, name: text}))
        if name in ("time", "cost_usd", "input_tokens", "latency_ms", "status", "labels"):
            original = {key: value for key, value in RAW.items() if key != "id"}
            assert_agree(document({**RAW, "replaces": document({**original, name: text})}))


@pytest.mark.parametrize("name", list(BASE))
def test_both_agree_that_a_field_is_missing(name):
    assert_agree(document({key: text for key, text in RAW.items() if key != name}))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.decimals(-2, 2_000_000).map(str)
    | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
counts = st.integers(0, 200)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=4),
    st.fixed_dictionaries(
        {},
        optional={
            "cache_read_tokens": counts,
            "cache_write_tokens": counts,
            "reasoning_tokens": counts,
            "cost_usd": st.decimals(0, 10, places=12).map(str) | st.floats(0, 10),
            "latency_ms": st.floats(0, 1e6) | st.integers(0, 10**6),
            "labels": st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=18),
        },
    ),
)
def test_both_agree_on_any_object(odd, likely):
    assert_agree(json.dumps({**BASE, **likely, **odd}))


def test_a_subset_larger_than_its_total_is_refused():
    for fields in ({"cache_read_tokens": 60, "cache_write_tokens": 41}, {"reasoning_tokens": 51}):
        with pytest.raises(msgspec.ValidationError, match="of which"):
            decode_event(json.dumps({**BASE, **fields}).encode())
        assert_agree(json.dumps({**BASE, **fields}))
    assert_agree(
        json.dumps({**BASE, "cache_read_tokens": 60, "cache_write_tokens": 40, "reasoning_tokens": 50})
    )


def test_encoding_keeps_every_digit_and_what_was_not_said_stays_unsaid():
    event = decode_event(
        json.dumps({**BASE, "cost_usd": "0.00022500000000000002", "labels": {"a": "b"}}).encode()
    )
    record = json.loads(encode_event(event))
    assert record["cost_usd"] == "0.00022500000000000002"
    assert "user" not in record
    assert json.loads(encode_event(decode_event(json.dumps(BASE).encode())))["cost_usd"] is None
    assert decode_event(encode_event(event)) == event


def test_encoding_writes_money_without_exponent_and_never_at_absurd_length():
    for usd, text in (("2.5E-5", "0.000025"), ("1E+2", "100"), ("1e-999999", "0.000000000")):
        event = msgspec.structs.replace(decode_event(json.dumps(BASE).encode()), cost_usd=Decimal(usd))
        assert json.loads(encode_event(event))["cost_usd"] == text


def test_a_correction_survives_encoding():
    original = {key: value for key, value in BASE.items() if key != "id"} | {
        "cost_usd": "1.5",
        "labels": {"a": "b"},
    }
    event = decode_event(json.dumps({**BASE, "revision": 1, "replaces": original}).encode())
    assert decode_event(encode_event(event)) == event

"""What bad events get, through a real ingest process on both brokers: a dead letter each, and the stream goes on."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.ingest_role import MEBIBYTE, global_totals, ingest, publish, read
from tests.support.processes import wait_until

from tokenfuse.contracts.topics import DEADLETTER, EVENT_BYTES_MAX

NOW = datetime.now(UTC)
GOOD = {
    "id": "good", "time": NOW.isoformat(), "tenant": "acme", "feature": "chat", "model": "gpt-4o",
    "input_tokens": 10, "output_tokens": 5, "cost_usd": "0.25",
}  # fmt: skip
GOOD_CALLS = 40


def event(**changes: Any) -> bytes:
    return json.dumps(GOOD | {"id": "bad"} | changes).encode()


def spelt(field: str, text: str) -> bytes:
    """A field whose value is written as given, JSON or not."""
    return json.dumps(GOOD | {"id": "bad", field: "@"}).replace('"@"', text).encode()


BAD: list[tuple[str, bytes | None, str, str]] = [
    ("cut off", b'{"id": "x", "tenant":', "malformed_json", ""),
    ("Latin-1", event().replace(b"chat", b"caf\xe9"), "invalid_utf8", ""),
    ("2 MB", event(labels={"text": "x" * 2 * MEBIBYTE}), "too_large", ""),
    ("2^63 tokens", spelt("input_tokens", str(2**63)), "out_of_range", "input_tokens"),
    ("a hundred thousand digits", spelt("input_tokens", "9" * 100_000), "malformed_json", ""),
    ("NaN", spelt("cost_usd", "NaN"), "not_finite", "cost_usd"),
    ("a NaN under a name that is no UTF-8", b'{"\\ud800": NaN}', "not_finite", "\\ud800"),
    ("half a surrogate pair", spelt("tenant", '"\\ud800"'), "malformed_json", ""),
    ("negative price", event(cost_usd=-0.01), "negative_cost", "cost_usd"),
    ("a price with a huge exponent", spelt("cost_usd", "1e999999999"), "cost_too_large", "cost_usd"),
    ("1970", event(time="1970-01-01T00:00:00Z"), "time_too_old", "time"),
    ("next year", event(time=(NOW + timedelta(days=365)).isoformat()), "time_in_future", "time"),
    ("last year", event(time=(NOW - timedelta(days=365)).isoformat()), "time_too_old", "time"),
    ("null", None, "empty", ""),
    ("no bytes", b"", "empty", ""),
    ("a number", b"42", "not_an_object", ""),
    ("something else", b'{"hello": {"world": [1, {"x": null}]}}', "unknown_format", ""),
    ("an object for a string", event(tenant={"a": [{"b": []}]}), "wrong_type", "tenant"),
    ("no tenant", json.dumps({k: v for k, v in GOOD.items() if k != "tenant"}).encode(), "missing_field", "tenant"),
    ("1 MB of brackets", b"[" * EVENT_BYTES_MAX, "malformed_json", ""),
    ("deep nesting", spelt("note", "[" * 5_000 + "]" * 5_000), "malformed_json", ""),
    ("one bad of two", b"[" + event(id="one") + b"," + event(output_tokens=-1) + b"]", "out_of_range", "[1].output_tokens"),
    ("almost more than the source takes", event(labels={"x": "y" * (4 * MEBIBYTE - 800)}), "too_large", ""),
    ("a name of 900 kB", event(labels={"k" * 900_000: 1}), "wrong_type", ("labels." + "k" * 300)[:300]),
]  # fmt: skip


def test_each_bad_event_is_a_dead_letter_and_the_good_ones_between_are_counted(
    broker, topic_prefix, tmp_path
):
    good: list[bytes | None] = [json.dumps(GOOD | {"id": f"g{n}"}).encode() for n in range(GOOD_CALLS)]
    mixed = [*good[:20], *(value for _, value, _, _ in BAD), *good[20:]]
    with ingest(broker, topic_prefix, tmp_path) as running:
        publish(running, mixed)
        counted = 'tokenfuse_events_total{result="counted"}'
        wait_until(
            lambda: running.metric(counted) == GOOD_CALLS, f"good events counted: {running.logged()[-1:]}", 60
        )
        letters = {int(dict(r.headers)["source_offset"]): r for r in read(running, DEADLETTER)}
        got = [letters.get(20 + place) for place in range(len(BAD))]
        by_reason = {
            reason: running.metric(f'tokenfuse_dead_letters_total{{reason="{reason}"}}')
            for _, _, reason, _ in BAD
        }
        totals = global_totals(running)

    assert None not in got
    told = [(name, (h := dict(r.headers))["reason"].decode(), h["path"].decode()) for (name, *_), r in zip(BAD, got, strict=True)]  # fmt: skip
    assert told == [(name, reason, path) for name, _, reason, path in BAD]
    assert [(r.value or b"") == (value or b"") for r, (_, value, _, _) in zip(got, BAD, strict=True)] == [
        True
    ] * len(BAD)
    assert sum(by_reason.values()) == len(BAD)
    assert (totals["calls"], totals["cost_nanousd"]) == (GOOD_CALLS, GOOD_CALLS * 250_000_000)
    assert (totals["input_tokens"], totals["output_tokens"]) == (GOOD_CALLS * 10, GOOD_CALLS * 5)


def test_when_everything_is_bad_it_is_counted_and_said_once(broker, topic_prefix, tmp_path):
    with ingest(broker, topic_prefix, tmp_path) as running:
        refused = 'tokenfuse_dead_letters_total{reason="malformed_json"}'
        for batch in range(1, 4):
            publish(running, [b"{"] * 100)
            wait_until(lambda wanted=100 * batch: running.metric(refused) == wanted, "all refused", 60)
        lines = [line for line in running.logged() if "refused" in line]

    assert [line["level"] for line in lines] == ["warning"]
    assert lines[0]["reasons"] == {"malformed_json": lines[0]["refused"]}
    assert lines[0]["last"]["detail"]


def test_a_compressed_record_that_unfolds_beyond_every_limit_stops_nothing(
    kafka_broker, topic_prefix, tmp_path
):
    bomb = b"[" + b" " * 32 * MEBIBYTE + b"]"
    assert len(gzip.compress(bomb)) < EVENT_BYTES_MAX
    with ingest(kafka_broker, topic_prefix, tmp_path) as running:
        publish(running, [bomb], compression_type="gzip")
        publish(running, [event(id="after")])
        counted = 'tokenfuse_events_total{result="counted"}'
        wait_until(lambda: running.metric(counted) == 1, "the event after it is counted", 60)
        (letter,) = read(running, DEADLETTER)

    assert dict(letter.headers)["reason"] == b"too_large"
    assert dict(letter.headers)["original_bytes"] == str(len(bomb)).encode()
    assert bomb.startswith(letter.value)

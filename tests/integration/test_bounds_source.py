"""Record batches that no client library writes, on a real Kafka: ingest takes what it can, keeps the rest and goes on."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

from tests.support.ingest_role import MEBIBYTE, global_totals, ingest, publish, read
from tests.support.processes import wait_until
from tests.support.raw_batches import RawName, batch_of, produce, repeated

from tokenfuse.contracts.topics import DEADLETTER, EVENTS

GZIP = 1
COUNTED = 'tokenfuse_events_total{result="counted"}'


def event(id_: str) -> bytes:
    return json.dumps(
        {
            "id": id_, "time": datetime.now(UTC).isoformat(), "tenant": "acme", "feature": "chat",
            "model": "gpt-4o", "input_tokens": 10, "output_tokens": 5, "cost_usd": "0.25",
        }
    ).encode()  # fmt: skip


def test_a_header_name_that_is_not_utf8_stops_nothing_and_its_event_is_counted(
    kafka_broker, topic_prefix, tmp_path
):
    odd = [(RawName(b"trac\xe9"), b"1")]
    batch = batch_of([(b"acme", event("before"), []), (b"acme", event("odd"), odd), (b"acme", b"{", odd)])
    with ingest(kafka_broker, topic_prefix, tmp_path) as running:
        asyncio.run(produce(kafka_broker.bootstrap_servers, topic_prefix + EVENTS, batch))
        publish(running, [event("after")])
        wait_until(lambda: running.metric(COUNTED) == 3, f"three counted: {running.logged()[-1:]}", 60)
        mended = running.metric("tokenfuse_header_names_mended_total")
        (letter,) = read(running, DEADLETTER)
        totals = global_totals(running)

    assert (totals["calls"], totals["cost_nanousd"]) == (3, 750_000_000)
    assert mended == 2
    assert (letter.value, dict(letter.headers)["trac\\xe9"]) == (b"{", b"1")


def test_a_batch_of_four_megabytes_that_unfolds_to_half_a_gigabyte_is_one_dead_letter_in_bounded_memory(
    kafka_broker, topic_prefix, tmp_path
):
    # The broker unfolds it record by record, and takes it.
    batch = repeated(batch_of([(b"acme", bytes(32 * MEBIBYTE), [])]), 16, GZIP)
    assert len(batch) < 4 * MEBIBYTE
    with ingest(kafka_broker, topic_prefix, tmp_path) as running:
        before = running.rss_peak_bytes
        asyncio.run(produce(kafka_broker.bootstrap_servers, topic_prefix + EVENTS, batch))
        publish(running, [event("after")])
        wait_until(lambda: running.metric(COUNTED) == 1, f"one counted: {running.logged()[-1:]}", 120)
        grown = running.rss_peak_bytes - before
        refused = running.metric('tokenfuse_dead_letters_total{reason="batch_too_large"}')
        (letter,) = read(running, DEADLETTER)
        errors = [line for line in running.logged() if line["level"] == "error"]

    assert grown < 256 * MEBIBYTE
    assert refused == 1
    assert letter.value[61:] == batch[61:], "what the producer sent is kept"
    assert dict(letter.headers)["source_offset"] == b"15"
    assert "16 records, offsets 0 to 15" in dict(letter.headers)["detail"].decode()
    assert [line["reason"] for line in errors] == ["batch_too_large"]

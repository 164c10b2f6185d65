"""What bad events get, through a real ingest process on both brokers: a dead letter each, and the stream goes on."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer
from tests.support.blocks import sums_of
from tests.support.processes import wait_until
from tests.support.topic_reader import read_topic

from tokenfuse.contracts.axes import GLOBAL
from tokenfuse.contracts.block import DeltaBlock, decode_block
from tokenfuse.contracts.measures import MEASURES
from tokenfuse.contracts.topics import DEADLETTER, DELTAS, EVENT_BYTES_MAX, EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime.now(UTC)
GOOD = {
    "id": "good", "time": NOW.isoformat(), "tenant": "acme", "feature": "chat", "model": "gpt-4o",
    "input_tokens": 10, "output_tokens": 5, "cost_usd": "0.25",
}  # fmt: skip
GOOD_CALLS = 40
MEBIBYTE = 1024 * 1024


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


@contextmanager
def ingest(broker: Any, prefix: str, directory: Path) -> Iterator[Ingest]:
    """One `tokenfuse run --role ingest` as an operator would start it."""
    running = Ingest(broker.bootstrap_servers, prefix, directory)
    try:
        running.command("topics", "create")
        running.start()
        yield running
    finally:
        running.stop()


class Ingest:
    """The process, its log and its metrics."""

    def __init__(self, bootstrap_servers: str, prefix: str, directory: Path) -> None:
        self.bootstrap_servers, self.prefix, self._directory = bootstrap_servers, prefix, directory
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TOKENFUSE_")}
        self._environment = kept | {
            "TOKENFUSE_BOOTSTRAP_SERVERS": bootstrap_servers, "TOKENFUSE_TOPIC_PREFIX": prefix,
            "TOKENFUSE_STATE_DIR": str(directory / "state"), "TOKENFUSE_SOURCE_PARTITIONS": "1",
            "TOKENFUSE_DELTAS_PARTITIONS": "2", "TOKENFUSE_SLICE_MS": "50", "TOKENFUSE_INSTANCE_ID": prefix,
        }  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str) -> None:
        subprocess.run(
            self._command(*arguments), env=self._environment, check=True, capture_output=True, timeout=60
        )

    def start(self) -> None:
        with (self._directory / "ingest.log").open("ab") as log:
            command = self._command("run", "--role", "ingest")
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        wait_until(lambda: self._get("readyz") == "ok\n", "ingest is ready", 60)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self._directory / "ingest.log").read_text().splitlines()]

    def metric(self, name: str) -> float:
        """One sample by its name with labels; 0 where there is none yet."""
        lines = [line.rpartition(" ") for line in self._get("metrics").splitlines()]
        return sum(float(value) for sample, _, value in lines if sample == name)

    def _get(self, path: str) -> str:
        try:
            where = json.loads((self._directory / "state" / f"{self.prefix}ingest.json").read_text())
            with urllib.request.urlopen(f"http://127.0.0.1:{where['port']}/{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except (OSError, ValueError):
            return ""

    @staticmethod
    def _command(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "tokenfuse.cli.main", *arguments]


def publish(running: Ingest, values: list[bytes | None], **options: Any) -> None:
    asyncio.run(_publish(running, values, options))


async def _publish(running: Ingest, values: list[bytes | None], options: dict[str, Any]) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=running.bootstrap_servers, max_request_size=64 * MEBIBYTE, **options
    )
    async with producer:
        for value in values:
            await producer.send_and_wait(running.prefix + EVENTS, value, key=b"acme", partition=0)


def read(running: Ingest, topic: str) -> list[Any]:
    records = asyncio.run(read_topic(running.bootstrap_servers, running.prefix + topic))
    return [record for partition in records.values() for record in partition]


def global_totals(running: Ingest) -> dict[str, int]:
    """Sums over everything that was counted."""
    values = [record.value for record in read(running, DELTAS)]
    blocks = [value for value in values if isinstance(decode_block(value), DeltaBlock)]
    rows = [sums for (axis, _, _), sums in sums_of(blocks).items() if axis == GLOBAL]
    return {name: sum(row[place] for row in rows) for place, name in enumerate(MEASURES)}


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

"""Floods: of new users, of dead letters, of one tenant with nearly all calls. Memory is bounded, totals are exact."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from tests.support.ingest_role import MEBIBYTE, Ingest, global_totals, ingest, publish, read
from tests.support.processes import wait_until

from tokenfuse.contracts.topics import DEADLETTER, EVENTS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
USERS = 200_000
REFUSED = 15_000


def test_a_flood_of_users_folds_into_other_in_bounded_memory_and_every_total_is_exact():
    """99 % of the calls are one tenant's; each has a user of its own, far more than there is room for."""
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.chaos.flood", "--users", str(USERS), "--scopes-max", "2000",
            "--partitions", "4", "--limit-mb", "240",
        ],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert found["exact"]
    assert found["scopes"] <= 4 * (2000 + 1)
    assert found["folded"] >= USERS - 4 * 2000, "the metric counts what was folded"
    assert found["other_rollups"] > 0, "what was folded is told as ~other"
    assert "an axis is full" in done.stdout, "and said in the log"


async def _flood(running: Ingest, count: int) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=running.bootstrap_servers, linger_ms=20, max_batch_size=MEBIBYTE
    )
    async with producer:
        value = b'{"id": "' + b"x" * 2000
        acks = [
            await producer.send(running.prefix + EVENTS, value, key=b"k", partition=0) for _ in range(count)
        ]
        for ack in acks:
            await ack


def test_when_every_event_is_refused_at_full_speed_each_is_kept_and_memory_and_log_stay_small(
    kafka_broker, topic_prefix, tmp_path
):
    good: dict[str, Any] = {
        "id": "good", "time": 1_764_000_000, "tenant": "acme", "feature": "chat", "model": "gpt-4o", "input_tokens": 1,
        "output_tokens": 1, "cost_usd": "1",
    }  # fmt: skip
    with ingest(kafka_broker, topic_prefix, tmp_path, event_age_seconds_max=10**10) as running:
        asyncio.run(_flood(running, REFUSED))
        publish(running, [json.dumps(good).encode()])
        counted = 'tokenfuse_events_total{result="counted"}'
        wait_until(lambda: running.metric(counted) == 1, f"the good one: {running.logged()[-1:]}", 120)
        peak = running.rss_peak_bytes
        refused = running.metric('tokenfuse_dead_letters_total{reason="malformed_json"}')
        letters = read(running, DEADLETTER)
        totals = global_totals(running)
        lines = [line for line in running.logged() if "refused" in line]

    assert (refused, len(letters)) == (REFUSED, REFUSED)
    assert {int(dict(r.headers)["source_offset"]) for r in letters} == set(range(REFUSED))
    assert max(sum(len(value) for _, value in r.headers) for r in letters) < 1000, "what we add is short"
    assert (totals["calls"], totals["cost_nanousd"]) == (1, 10**9)
    assert peak < 400 * MEBIBYTE
    assert len(lines) <= 4, "one line a minute"

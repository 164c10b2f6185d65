"""Topics as an outside reader sees them; rollups as a warehouse does: the latest revision per key is the truth."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from tokenfuse.runtime.broker import end_offsets

MEASURES = (
    "calls",
    "cost_nanousd",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "retries",
)

Totals = dict[tuple[str, str], tuple[int, ...]]


async def read_rollups(bootstrap_servers: str, topic: str) -> dict[bytes, dict[str, Any]]:
    """The whole topic, upserted by key and revision."""
    latest: dict[bytes, dict[str, Any]] = {}
    for records in (await read_topic(bootstrap_servers, topic)).values():
        for record in records:
            _upsert(latest, record.key, json.loads(record.value))
    return latest


async def read_topic(bootstrap_servers: str, topic: str) -> dict[int, list[ConsumerRecord]]:
    """Every record of a topic that is there now, by partition."""
    records: dict[int, list[ConsumerRecord]] = defaultdict(list)
    async with AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers, max_partition_fetch_bytes=8 << 20
    ) as consumer:
        ends = await _ends(consumer, topic)
        consumer.assign(list(ends))
        for tp, beginning in (await consumer.beginning_offsets(list(ends))).items():
            consumer.seek(tp, beginning)
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for tp, batch in (await consumer.getmany(timeout_ms=200)).items():
                records[tp.partition].extend(batch)
    return records


async def records_in(bootstrap_servers: str, topic: str) -> int:
    """How many records a topic has had."""
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap_servers) as consumer:
        return sum((await _ends(consumer, topic)).values())


async def _ends(consumer: AIOKafkaConsumer, topic: str) -> dict[TopicPartition, int]:
    await consumer._client.set_topics([topic])
    numbers = consumer._client.cluster.partitions_for_topic(topic) or set()
    return await end_offsets(consumer, [TopicPartition(topic, number) for number in sorted(numbers)])


def _upsert(latest: dict[bytes, dict[str, Any]], key: bytes, value: dict[str, Any]) -> None:
    known = latest.get(key)
    if known is None or value["revision"] >= known["revision"]:
        latest[key] = value


def totals(rollups: dict[bytes, dict[str, Any]], granularity: str) -> Totals:
    """Sums per scope over one granularity and what came too late for its panes."""
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * len(MEASURES))
    for rollup in rollups.values():
        if rollup["granularity"] in {granularity, f"late_{granularity}"}:
            row = sums[rollup["axis"], rollup["value"]]
            for place, name in enumerate(MEASURES):
                row[place] += rollup[name]
    return {scope: tuple(row) for scope, row in sums.items() if any(row)}

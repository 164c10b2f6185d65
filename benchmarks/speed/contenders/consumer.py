"""A bare aiokafka consumer: what Kafka and JSON alone cost. `job` says what it does with a batch.

decode  decode with msgspec the fields that a job of this kind needs, and nothing else
contract  decode every field into TokenFuse's own struct, which checks it
bare    bare sums of each slice, sent on as one block, then committed: TokenFuse's first prototype, without its exactness
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from benchmarks.speed.contenders.bare import BareSums
from benchmarks.speed.contenders.common import Stopwatch, arguments, decode
from benchmarks.speed.stage import PARTITIONS
from benchmarks.speed.truth import write_totals

from tokenfuse.contracts.event import decode_event
from tokenfuse.runtime.ingest.source import FETCH_RECORDS_MAX

FETCH_BYTES = 8 << 20


def consumer(given: dict[str, Any]) -> AIOKafkaConsumer:
    """With the sizes of TokenFuse's worker."""
    return AIOKafkaConsumer(
        bootstrap_servers=given["servers"], group_id=f"bench-{os.getpid()}", enable_auto_commit=False,
        auto_offset_reset="earliest", max_partition_fetch_bytes=FETCH_BYTES, fetch_max_bytes=4 * FETCH_BYTES,
    )  # fmt: skip


async def decode_only(given: dict[str, Any], watch: Stopwatch) -> tuple[int, None]:
    """Every message once."""
    count, decode_one = 0, decode_event if given["job"] == "contract" else decode
    reader = consumer(given)
    await reader.start()
    reader.assign([TopicPartition(given["topic"], p) for p in range(PARTITIONS)])
    while count < given["count"]:
        for messages in (await reader.getmany(timeout_ms=1000, max_records=FETCH_RECORDS_MAX)).values():
            watch.start()
            for message in messages:
                decode_one(message.value)
            count += len(messages)
    watch.stop()
    await reader.stop()
    return count, None


async def bare_sums(given: dict[str, Any], watch: Stopwatch) -> tuple[int, BareSums]:
    """A block and a commit per fetch."""
    count, total = 0, BareSums()
    reader = consumer(given)
    producer = AIOKafkaProducer(bootstrap_servers=given["servers"], max_request_size=FETCH_BYTES, linger_ms=0)
    await reader.start()
    await producer.start()
    reader.assign([TopicPartition(given["topic"], p) for p in range(PARTITIONS)])
    while count < given["count"]:
        fetched = await reader.getmany(timeout_ms=1000, max_records=FETCH_RECORDS_MAX)
        if not fetched:
            continue
        watch.start()
        slice_ = BareSums()
        for messages in fetched.values():
            values = [message.value for message in messages]
            slice_.take(values)
            count += len(values)
        block = slice_.totals()
        await producer.send_and_wait(given["out"], msgspec.msgpack.encode(list(block.items())))
        await reader.commit()
        total.merge(block)
    watch.stop()
    await producer.stop()
    await reader.stop()
    return count, total


def main() -> None:
    """The process."""
    given, watch = arguments(), Stopwatch()
    job = {"decode": decode_only, "contract": decode_only, "bare": bare_sums}[given["job"]]
    count, sums = asyncio.run(job(given, watch))
    if given.get("totals") and sums is not None:
        write_totals(Path(given["totals"]), sums.merged)
    watch.report(count)


if __name__ == "__main__":
    main()

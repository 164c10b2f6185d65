"""A bare consumer that reads a whole topic once."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from benchmarks.speed.contenders.common import Stopwatch, arguments
from benchmarks.speed.contenders.consumer import FETCH_BYTES


async def read(given: dict[str, Any], watch: Stopwatch) -> tuple[int, int]:
    """Messages and bytes; the clock runs from the consumer's start on."""
    watch.start()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=given["servers"],
        max_partition_fetch_bytes=FETCH_BYTES,
        fetch_max_bytes=4 * FETCH_BYTES,
    )
    await consumer.start()
    partitions = [TopicPartition(given["topic"], number) for number in range(given["partitions"])]
    consumer.assign(partitions)
    await consumer.seek_to_beginning()
    left = {tp for tp, end in (await consumer.end_offsets(partitions)).items() if end}
    ends = await consumer.end_offsets(partitions)
    count = size = 0
    while left:
        for tp, messages in (await consumer.getmany(timeout_ms=200)).items():
            count += len(messages)
            size += sum(len(message.value or b"") for message in messages)
            if messages[-1].offset + 1 >= ends[tp]:
                left.discard(tp)
    watch.stop()
    await consumer.stop()
    return count, size


def main() -> None:
    """The process."""
    watch = Stopwatch()
    count, size = asyncio.run(read(arguments(), watch))
    watch.report(count, bytes=size)


if __name__ == "__main__":
    main()

"""Bytewax doing the job, in the variants that were tried; the report takes the fastest that uses its own Kafka source.

columns    its Kafka source, one `flat_map_batch` that keeps numpy sums: 25 per scope, as TokenFuse
lean       the same with six sums per scope
plain      the same with dictionaries and six sums per scope
operators  as its documentation writes it: a stateful operator per tenant for ids, one per scope for sums; six sums
own-source a source that hands on what librdkafka fetched without an object per message; else `columns`
bare       bare sums
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bytewax.operators as op
from benchmarks.speed.contenders.bare import BareSums
from benchmarks.speed.contenders.columns import Horizon, Job, Prices, _cell
from benchmarks.speed.contenders.common import Stopwatch, arguments, decode
from benchmarks.speed.contenders.plain import PlainJob, measures, scopes
from benchmarks.speed.stage import PARTITIONS
from benchmarks.speed.truth import write_totals
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow, Stream
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.run import cli_main
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

BATCH = 10_000
CONSUMER = {"fetch.message.max.bytes": str(8 << 20), "queued.max.messages.kbytes": str(256 << 10)}
WATCH = Stopwatch()


class Counted:
    """Counts messages and starts the clock with the first."""

    def __init__(self, take: Any) -> None:
        """Around the job's `take`."""
        self._take, self.count = take, 0

    def __call__(self, batch: list[Any]) -> list[int]:
        """For `flat_map_batch`."""
        WATCH.start()
        self.count += len(batch)
        return [self._take([message.value for message in batch])]


class Discard(DynamicSink[Any]):
    """Where counts of batches go."""

    def build(self, _step_id: str, _worker_index: int, _worker_count: int) -> StatelessSinkPartition[Any]:
        """One per worker."""
        return _DiscardPartition()


class _DiscardPartition(StatelessSinkPartition[Any]):
    def write_batch(self, items: list[Any]) -> None:
        """Nothing."""


class RawSource(DynamicSource[list[bytes]]):
    """Lists of values as librdkafka fetched them, from all partitions, until as many came as there are."""

    def __init__(self, servers: str, topic: str, count: int) -> None:
        """Nothing connects yet."""
        self._servers, self._topic, self._count = servers, topic, count

    def build(
        self, _step_id: str, _worker_index: int, _worker_count: int
    ) -> StatelessSourcePartition[list[bytes]]:
        """One worker."""
        return _RawPartition(self._servers, self._topic, self._count)


class _RawPartition(StatelessSourcePartition[list[bytes]]):
    def __init__(self, servers: str, topic: str, count: int) -> None:
        self._consumer = Consumer({"bootstrap.servers": servers, "group.id": "unused", **CONSUMER})
        self._consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(PARTITIONS)])
        self._left = count

    def next_batch(self) -> list[list[bytes]]:
        """One list, or none."""
        if self._left <= 0:
            raise StopIteration
        messages = self._consumer.consume(BATCH, 0.001)
        self._left -= len(messages)
        return [[message.value() for message in messages]] if messages else []


def kafka_input(flow: Dataflow, given: dict[str, Any]) -> Stream[Any]:
    """Bytewax's own source; `tail=False` ends it at the end of the topic."""
    source = KafkaSource(
        [given["servers"]], [given["topic"]], tail=False, starting_offset=OFFSET_BEGINNING, batch_size=BATCH,
        add_config=dict(CONSUMER),
    )  # fmt: skip
    return op.input("events", flow, source)


def batched(given: dict[str, Any], job: Any) -> int:
    """Variants with one operator."""
    flow, counted = Dataflow("job"), Counted(job.take)
    op.output("out", op.flat_map_batch("sum", kafka_input(flow, given), counted), Discard())
    cli_main(flow)
    return counted.count


def own_source(given: dict[str, Any], job: Any) -> int:
    """The variant with a source of one's own."""
    flow, count = Dataflow("job"), 0

    def take(values: list[bytes]) -> int:
        nonlocal count
        WATCH.start()
        count += len(values)
        return job.take(values)

    source = RawSource(given["servers"], given["topic"], given["count"])
    op.output("out", op.map("sum", op.input("events", flow, source), take), Discard())
    cli_main(flow)
    return count


def operators(given: dict[str, Any], sums: dict[tuple[str, object, int], list[int]]) -> int:
    """The variant of the documentation. Final sums go to `sums` beside the flow, which costs nothing."""
    flow, prices, count = Dataflow("job"), Prices(), 0

    def decoded(message: Any) -> Any:
        nonlocal count
        WATCH.start()
        count += 1
        return decode(message.value)

    def fresh(horizon: Horizon | None, event: Any) -> tuple[Horizon, list[Any]]:
        horizon = horizon or Horizon()
        return horizon, horizon.fresh([event])

    def spread(keyed: tuple[str, Any]) -> list[tuple[str, Any]]:
        row = measures(keyed[1], prices)
        return [(f"{scope}", (scope, row)) for scope in scopes(keyed[1])]

    def add(state: list[int] | None, item: Any) -> tuple[list[int], int]:
        scope, row = item
        if state is None:
            state = sums[scope] = [0] * len(row)
        for place, amount in enumerate(row):
            state[place] += amount
        return state, 1

    events = op.key_on(
        "tenant", op.map("decode", kafka_input(flow, given), decoded), lambda event: event.tenant
    )
    once = op.stateful_flat_map("once", events, fresh)
    op.output("out", op.stateful_map("sum", op.flat_map("scopes", once, spread), add), Discard())
    cli_main(flow)
    return count


def main() -> None:
    """The process."""
    given = arguments()
    variant = given["variant"]
    if variant == "operators":
        sums: dict[tuple[str, object, int], list[int]] = {}
        count = operators(given, sums)
        totals = {(a, _cell(v) if a == "cell" else v, p): tuple(row) for (a, v, p), row in sums.items()}
    else:
        job = {
            "columns": lambda: Job(decode), "lean": lambda: Job(decode, lean=True), "plain": lambda: PlainJob(decode),
            "own-source": lambda: Job(decode), "bare": BareSums,
        }[variant]()  # fmt: skip
        count = (own_source if variant == "own-source" else batched)(given, job)
        totals = None
    WATCH.stop()
    if given.get("totals"):
        write_totals(Path(given["totals"]), job.totals() if totals is None else totals)
    WATCH.report(count)


if __name__ == "__main__":
    main()

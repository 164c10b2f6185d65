"""Sums of everything on a deltas topic, as its readers would have them."""

from __future__ import annotations

from aiokafka import TopicPartition
from benchmarks.speed.truth import MEASURES, Totals

from tokenfuse.contracts import topics
from tokenfuse.contracts.axes import GLOBAL
from tokenfuse.contracts.block import AxisRows, DeltaBlock, decode_block
from tokenfuse.contracts.measures import INDEX
from tokenfuse.runtime import kafka
from tokenfuse.runtime.broker.quirks import end_offsets
from tokenfuse.runtime.settings import Settings
from tokenfuse.windows.rows import decode_rows

COLUMNS = [INDEX[name] for name in MEASURES]


async def deltas_totals(settings: Settings) -> Totals:
    """Sums by axis, value and pane. A cell stands in several partitions: each is counted once per slice."""
    sums: dict[tuple[str, str, int], list[int]] = {}
    seen: set[tuple[int, int, str, str, int]] = set()
    async with kafka.consumer(settings) as consumer:
        parts = [TopicPartition(settings.topic(topics.DELTAS), p) for p in range(settings.deltas_partitions)]
        ends = await end_offsets(consumer, parts)
        for part in (p for p in parts if ends[p]):
            consumer.assign([part])
            consumer.seek(part, 0)
            while await consumer.position(part) < ends[part]:
                for message in (await consumer.getmany(part, timeout_ms=500)).get(part, ()):
                    block = decode_block(message.value)
                    if isinstance(block, DeltaBlock):
                        _add(block, sums, seen)
    return {key: tuple(row) for key, row in sums.items() if any(row)}


def _add(
    block: DeltaBlock, sums: dict[tuple[str, str, int], list[int]], seen: set[tuple[int, int, str, str, int]]
) -> None:
    for rows in block.rows:
        if rows.axis == GLOBAL:
            continue
        for value, pane, row in _rows(rows):
            place = (block.source, block.a, rows.axis, value, pane)
            if place in seen:
                continue
            seen.add(place)
            total = sums.setdefault((rows.axis, value, pane), [0] * len(MEASURES))
            for at, amount in enumerate(row):
                total[at] += amount


def _rows(axis_rows: AxisRows) -> list[tuple[str, int, list[int]]]:
    rows = decode_rows(axis_rows)
    columns = (rows.scope.tolist(), rows.pane_s.tolist(), rows.sums[:, COLUMNS].tolist())
    return [(rows.values[scope], pane, row) for scope, pane, row in zip(*columns, strict=True)]

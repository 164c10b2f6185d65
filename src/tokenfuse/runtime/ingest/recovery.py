"""A source partition taken over: its position, clocks and de-duplication index as they stood before the next slice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog
from aiokafka import TopicPartition

from tokenfuse.contracts import topics
from tokenfuse.contracts.block import DeltaBlock, Tick, decode_block
from tokenfuse.contracts.formats import UnknownFormatError
from tokenfuse.contracts.ids import GENERATION_MS, SliceIds, decode_ids
from tokenfuse.ingest.slices import homogeneous
from tokenfuse.runtime.ingest.errors import (
    CountedBeforeError,
    FenceLostError,
    LostRecordsError,
    SourceRecreatedError,
    UnfinishedSliceError,
    UnreadableIdsError,
)
from tokenfuse.runtime.ingest.fence import Fence
from tokenfuse.runtime.ingest.holding import Holding
from tokenfuse.runtime.ingest.outbox import ENDS_PARTITION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tokenfuse.ingest.slices import SliceCutter
    from tokenfuse.runtime.ingest.reader import LogReader
    from tokenfuse.runtime.ingest.recipe import Recipe
    from tokenfuse.runtime.settings import Settings

log = structlog.get_logger(__name__)

DELTAS_LOOKED_BACK: Final = (100, 1_000, 10_000, 100_000)
"""Records of the deltas topic in which the end of a source is looked for; every source that is held ticks in it."""

IN_HAND_MAX: Final = 2
"""Partitions at a time: one is read, one is built. Each takes its ids twice meanwhile, as messages and as index."""

CLOCK_SKEW_MS: Final = 5 * 60_000
"""How far the clocks of brokers and workers may differ when ids are looked for by the time they were written."""


class Recovery:
    """Makes holdings of partitions that were assigned.

    Args:
        reader: used by nobody else meanwhile.
    """

    def __init__(self, reader: LogReader, recipe: Recipe, settings: Settings) -> None:
        self._reader, self._recipe, self._settings = reader, recipe, settings
        self._events, self._ids = settings.topic(topics.EVENTS), settings.topic(topics.IDS)
        self._deltas = settings.topic(topics.DELTAS)
        self._in_hand, self._reading = asyncio.Semaphore(IN_HAND_MAX), asyncio.Lock()

    async def holdings(self, claims: Mapping[int, Fence | None]) -> dict[int, Holding]:
        """Several partitions; while the index of one is built, the ids of the next are read.

        Args:
            claims: the last fence of each, as for `holding`.

        Raises:
            IngestError: see `errors`.
        """
        tasks = {source: asyncio.create_task(self.holding(source, fence)) for source, fence in claims.items()}
        try:
            return {source: await task for source, task in tasks.items()}
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

    async def holding(self, source: int, fence: Fence | None) -> Holding:
        """The partition as it stood at the fence.

        Args:
            source: partition of the source topic.
            fence: its last fence; None: it was never read, and starts at its first record.

        Raises:
            IngestError: see `errors`.
        """
        async with self._in_hand:
            async with self._reading:
                beginning = await self._reader.beginning(self._tp(source))
                fence = await self._checked(source, fence, beginning)
                cutter, chain = await self._remembered(source, fence, beginning)
            # In a thread: numpy sorts without the interpreter's lock, and heartbeats go on.
            await asyncio.to_thread(cutter.restore, _let_go(chain))
        cutter.index.forget(cutter.record_ms // GENERATION_MS)
        log.info("partition taken", source=source, position=fence.a, again_to=fence.b, ids=len(cutter.index))
        unfinished = fence if fence.b > fence.a else None
        return Holding(cutter, unfinished, self._settings.slice_records_max, fence.first)

    async def _checked(self, source: int, fence: Fence | None, beginning: int) -> Fence:
        """Where to begin, if what follows is all there and can be cut as it was."""
        if fence is None or not fence.recipe:
            fence = await self._joined(source, fence, beginning)
        end = await self._reader.end(self._tp(source))
        if max(fence.a, fence.first) < beginning:
            raise LostRecordsError(self._events, source, fence.a, beginning)
        if max(fence.a, fence.b) > end:
            raise SourceRecreatedError(self._events, source, max(fence.a, fence.b), end)
        if fence.b > fence.a and fence.recipe != str(self._recipe):
            raise UnfinishedSliceError(source, fence.a, fence.b, fence.recipe, str(self._recipe))
        return fence

    async def _joined(self, source: int, fence: Fence | None, beginning: int) -> Fence:
        """Where to begin without a fence of ours: behind what the agents have of this source, who take no hole."""
        last = await self._last_cut(source)
        if last is None or (fence is None and last == beginning):
            return fence or Fence(beginning, beginning)
        if fence is None and last < beginning:
            raise LostRecordsError(self._events, source, last, beginning)
        if fence is None:
            raise FenceLostError(self._events, source, last)
        if fence.a < last:
            raise CountedBeforeError(self._events, source, fence.a, last)
        if fence.a > last:
            log.warning("records left out by an operator's offset", source=source, start=last, end=fence.a)
        return Fence(last, last, first=fence.a)

    async def _last_cut(self, source: int) -> int | None:
        """Source offset up to which `tokenfuse.deltas` goes, by its newest block or tick of this source."""
        tp = TopicPartition(self._deltas, ENDS_PARTITION)
        beginning, end = await self._reader.beginning(tp), await self._reader.end(tp)
        for stretch in DELTAS_LOOKED_BACK:
            ends = [
                block.b if isinstance(block, DeltaBlock) else block.position
                async for records in self._reader.scan(tp, max(beginning, end - stretch), end)
                for block in (decode_block(record.value or b"") for record in records)
                if isinstance(block, DeltaBlock | Tick) and block.source == source
            ]
            if ends or end - stretch <= beginning:
                return max(ends, default=None)
        log.warning("no newer block of this source was found", source=source, records=DELTAS_LOOKED_BACK[-1])
        return None

    async def _remembered(
        self, source: int, fence: Fence, beginning: int
    ) -> tuple[SliceCutter, list[SliceIds]]:
        """A cutter at the fence, and the ids of the horizon before it, which it is yet to restore."""
        chain = await self._chain(source, fence)
        record_ms, event_ms = fence.record_ms, fence.event_ms
        if (
            record_ms < 0 and chain
        ):  # an operator set the offset: the clocks of the last slice before it are known
            record_ms, event_ms = chain[-1].record_ms, chain[-1].event_ms
        start = await self._horizon_start(source, fence.a, record_ms, beginning)
        missing_to = chain[0].a if chain else fence.a
        cutter = self._recipe.cutter(source, start)
        if start < missing_to:
            log.warning("ids expired: decoding events again", source=source, start=start, end=missing_to)
            await self._reread(cutter, start, missing_to)
        cutter.position, cutter.record_ms, cutter.event_ms = fence.a, record_ms, event_ms
        return cutter, chain

    async def _chain(self, source: int, fence: Fence) -> list[SliceIds]:
        """The ids of the slices that end at the fence, without a gap, as far back as the horizon needs and they reach."""
        tp = TopicPartition(self._ids, source)
        end = await self._reader.end(tp)
        since = self._horizon_start_ms(fence.record_ms) - CLOCK_SKEW_MS
        start = await self._reader.first_since(tp, since) if since > 0 else await self._reader.beginning(tp)
        by_end: dict[int, SliceIds] = {}
        async for records in self._reader.scan(tp, end if start is None else start, end):
            for record in records:
                ids = self._decode(source, record.value or b"")
                by_end[ids.b] = ids  # a slice that was cut again wrote the same ids again
        chain: list[SliceIds] = []
        position = fence.a
        while (before := by_end.get(position)) is not None:
            chain.append(before)
            position = before.a
        return chain[::-1]

    @staticmethod
    def _decode(source: int, data: bytes) -> SliceIds:
        try:
            return decode_ids(data)
        except UnknownFormatError as error:
            raise UnreadableIdsError(source, str(error)) from error

    async def _reread(self, cutter: SliceCutter, start: int, end: int) -> None:
        """Counts records again for their ids alone. Takes minutes for what the ids topic gives in seconds."""
        async for fetched in self._reader.scan(self._tp(cutter.source), start, end):
            records = fetched
            while records:
                part = records[: homogeneous(records)]
                cutter.remember(part)
                records = records[len(part) :]

    async def _horizon_start(self, source: int, position: int, record_ms: int, beginning: int) -> int:
        """Offset of the first record whose id the record at `position` can still see."""
        if record_ms < 0:
            return position if position == beginning else beginning
        first = await self._reader.first_since(self._tp(source), self._horizon_start_ms(record_ms))
        return position if first is None else min(max(first, beginning), position)

    def _horizon_start_ms(self, record_ms: int) -> int:
        horizon = -(-self._settings.dedup_horizon_seconds * 1000 // GENERATION_MS)
        return max(record_ms // GENERATION_MS - horizon, 0) * GENERATION_MS

    def _tp(self, source: int) -> TopicPartition:
        return TopicPartition(self._events, source)


def _let_go(chain: list[SliceIds]) -> Iterator[SliceIds]:
    """One after the other, and kept no longer: together they are as large as the index that is made of them."""
    chain.reverse()
    while chain:
        yield chain.pop()

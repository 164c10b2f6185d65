"""What one deltas partition knows of its source partitions: how far each was read, and what time it is (DESIGN 5)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from tokenfuse.contracts.block import DeltaBlock, Tick

IDLE_MS: Final = 30_000
"""A source partition whose event time did not move for so long does not hold the watermark back: it only ticked, or
all that came was rejected or late."""
STEP_MS: Final = 10_000
"""A gap between two ticks counts as so much idle time: after an outage the backlog comes first, however long it was."""
AHEAD_MS: Final = 5_000
"""An event time is believed up to so far ahead of its record's clock."""
GAP_MS: Final = 2 * 3_600_000
"""Time that jumps so far was not watched: the log did not grow, or history ended before live calls began. A replay passes time
through its gaps in steps of an hour at most."""
LATENESS_MS: Final = 10_000
"""Panes close so long after the newest event: later ones revise their pane, not past verdicts."""


class Contiguity(StrEnum):
    """What a block's [a, b) is to what was read before."""

    NEW = "new"
    PASSED = "passed"


class SliceGapError(RuntimeError):
    """A slice overlaps what was read or leaves a hole: this partition must be recovered, not guessed."""


@dataclass
class SourceClock:
    """One source partition.

    Attributes:
        seen: end of the last applied slice. active_ms: `Clocks.passed_ms` when that slice came.
        history: that slice was history, which teaches and does not alert.
        moved_ms: `Clocks.passed_ms` when a slice last moved `reached_ms`.
    """

    seen: int
    event_ms: int
    record_ms: int
    active_ms: int
    history: bool
    moved_ms: int

    @property
    def reached_ms(self) -> int:
        """The newest event time that is believed."""
        return min(self.event_ms, self.record_ms + AHEAD_MS)


class Clocks:
    """Positions and times of all source partitions; moves forward only.

    Attributes:
        now_ms: the newest clock in the log. watermark_ms: event time before which panes are closed.
        ticked_ms: the newest tick. passed_ms: how long it ticked, outages left out.
        began_ms: event time at which the log began. unwatched_ms, watched_ms: the last gap in the log, in event time: from its beginning to its end nobody knows whether
            there were calls.
    """

    def __init__(self) -> None:
        """No source partition is known."""
        self.sources: dict[int, SourceClock] = {}
        self.now_ms = 0
        self.watermark_ms = 0
        self.ticked_ms = 0
        self.passed_ms = 0
        self.began_ms = 0
        self.unwatched_ms = 0
        self.watched_ms = 0

    def check(self, block: DeltaBlock) -> Contiguity:
        """Whether a slice is the next one of its source partition.

        Raises:
            SliceGapError: it overlaps or leaves a hole.
        """
        source = self.sources.get(block.source)
        if source is None or block.a == source.seen:
            return Contiguity.NEW
        if block.b <= source.seen:
            return Contiguity.PASSED
        msg = (
            f"slice [{block.a}, {block.b}) of source partition {block.source} does not follow {source.seen}: "
            "blocks were lost or written twice; run `tokenfuse doctor`"
        )
        raise SliceGapError(msg)

    def slice_applied(self, block: DeltaBlock) -> None:
        """Take over a slice's position and clocks."""
        self._source(block, block.b, block.event_ms, block.record_ms)

    def _source(self, block: DeltaBlock, seen: int, event_ms: int, record_ms: int) -> None:
        self.now_ms = max(self.now_ms, record_ms)
        before = self.sources.get(block.source)
        clock = SourceClock(seen, event_ms, record_ms, self.passed_ms, block.history, self.passed_ms)
        if before is not None and clock.reached_ms <= before.reached_ms:
            clock.moved_ms = before.moved_ms
        self.sources[block.source] = clock
        self._move()

    def slice_reached(self, block: DeltaBlock, until_ms: int) -> None:
        """Take over a slice's clocks as far as its calls were applied: those before until_ms.

        Its position is not: a slice is applied as a whole or not at all.
        """
        before = self.sources.get(block.source)
        event_ms = min(block.event_ms, until_ms)
        record_ms = min(block.record_ms, max(event_ms, before.record_ms if before else 0))
        seen = before.seen if before else block.a
        self._source(block, seen, max(event_ms, before.event_ms if before else -1), record_ms)

    def ticked(self, tick: Tick) -> None:
        """Time passes for a source partition without a slice."""
        self.now_ms = max(self.now_ms, tick.now_ms)
        if tick.now_ms > self.ticked_ms:
            self.passed_ms += min(tick.now_ms - self.ticked_ms, STEP_MS)
            self.ticked_ms = tick.now_ms
        self._move()

    def believes(self, block: DeltaBlock) -> bool:
        """Whether no event time, of a slice or before it, is further ahead than is believed.

        While the slice is added, the newest event time then is that of the newest pane.
        """
        before = all(s.event_ms <= self.now_ms + AHEAD_MS for s in self.sources.values())
        return before and block.event_ms <= block.record_ms + AHEAD_MS

    @property
    def learning(self) -> bool:
        """Whether an active source partition is reading history."""
        return any(map(self._reads_history, self.sources.values()))

    def learning_with(self, block: DeltaBlock) -> bool:
        """The same as it will be once a slice is applied."""
        others = (s for source, s in self.sources.items() if source != block.source)
        return block.history or any(map(self._reads_history, others))

    def _reads_history(self, source: SourceClock) -> bool:
        return source.history and self.passed_ms - source.active_ms < IDLE_MS

    def _move(self) -> None:
        known = [s for s in self.sources.values() if s.event_ms >= 0]
        if not known:
            return  # before the first event nothing can be late, least of all a backfill
        moving = [s.reached_ms for s in known if self.passed_ms - s.moved_ms < IDLE_MS]
        reached = min(moving) if moving else self.now_ms
        before_ms, self.watermark_ms = self.watermark_ms, max(self.watermark_ms, reached - LATENESS_MS)
        if not before_ms:
            self.began_ms = self.watermark_ms
        if self.watermark_ms - before_ms > GAP_MS:
            self.unwatched_ms, self.watched_ms = before_ms, self.watermark_ms

    def dump(self) -> dict[str, Any]:
        """Plain data for the head row."""
        sources = {
            str(p): [s.seen, s.event_ms, s.record_ms, s.active_ms, s.history, s.moved_ms]
            for p, s in sorted(self.sources.items())
        }
        return {**{name: getattr(self, name) for name in _TIMES}, "sources": sources}

    @classmethod
    def load(cls, data: dict[str, Any]) -> Clocks:
        """Inverse of `dump`."""
        clocks = cls()
        for name in _TIMES:
            setattr(clocks, name, data.get(name, 0))  # older heads know of no gap, and began long ago
        clocks.sources = {int(p): SourceClock(*values) for p, values in data["sources"].items()}
        return clocks


_TIMES: Final = ("now_ms", "watermark_ms", "ticked_ms", "passed_ms", "began_ms", "unwatched_ms", "watched_ms")

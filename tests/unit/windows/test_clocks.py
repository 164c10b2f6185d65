"""Clocks of a deltas partition: monotone, not led astray by one source partition, exact about what was read."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from tokenfuse.contracts.block import FORMAT, DeltaBlock, Tick
from tokenfuse.windows.clocks import AHEAD_MS, IDLE_MS, LATENESS_MS, Clocks, Contiguity, SliceGapError

T0 = 1_790_000_000_000


class Log:
    """Slices and ticks of several source partitions, numbered as ingest numbers them."""

    def __init__(self) -> None:
        self.clocks = Clocks()
        self._ends: dict[int, int] = {}
        self._events: dict[int, int] = {}

    def slice(
        self, source: int, record_ms: int, event_ms: int | None = None, *, history: bool = False
    ) -> int:
        """One slice; event_ms None: every record of it was rejected. Returns the watermark."""
        a = self._ends.get(source, 0)
        self._ends[source] = a + 1
        newest = max(self._events.get(source, -1), -1 if event_ms is None else event_ms)
        self._events[source] = newest
        block = DeltaBlock(FORMAT, source, a, a + 1, record_ms, newest, history, "test", ())
        assert self.clocks.check(block) is Contiguity.NEW
        self.clocks.slice_applied(block)
        return self.clocks.watermark_ms

    def tick(self, now_ms: int, source: int = 0) -> int:
        """Returns the watermark."""
        self.clocks.ticked(Tick(FORMAT, source, self._ends.get(source, 0), now_ms))
        return self.clocks.watermark_ms


def block(a: int, b: int, source: int = 0) -> DeltaBlock:
    return DeltaBlock(FORMAT, source, a, b, T0, T0, False, "test", ())


def test_the_first_slice_of_a_source_partition_says_where_it_begins() -> None:
    clocks = Clocks()
    assert clocks.check(block(1000, 1010)) is Contiguity.NEW
    clocks.slice_applied(block(1000, 1010))
    assert clocks.check(block(1000, 1010)) is Contiguity.PASSED
    assert clocks.check(block(990, 1005)) is Contiguity.PASSED
    assert clocks.check(block(1010, 1010)) is Contiguity.NEW
    assert clocks.check(block(0, 5, source=1)) is Contiguity.NEW


@pytest.mark.parametrize(("a", "b"), [(1005, 1015), (1011, 1020), (5000, 5001)])
def test_an_overlap_or_a_hole_is_refused_with_the_remedy_and_changes_nothing(a: int, b: int) -> None:
    clocks = Clocks()
    clocks.slice_applied(block(1000, 1010))
    before = clocks.dump()
    with pytest.raises(SliceGapError, match=r"does not follow 1010.*tokenfuse doctor"):
        clocks.check(block(a, b))
    assert clocks.dump() == before


def test_an_event_ten_minutes_ahead_moves_the_watermark_by_seconds_only() -> None:
    log = Log()
    log.slice(0, T0, T0)
    assert log.slice(0, T0 + 1000, T0 + 600_000) == T0 + 1000 + AHEAD_MS - LATENESS_MS
    assert log.slice(0, T0 + 2000, T0 + 2000) <= T0 + 2000


def test_a_source_partition_an_hour_behind_holds_the_watermark_back_until_it_has_caught_up() -> None:
    log = Log()
    log.slice(0, T0 - 3_600_000, T0 - 3_600_000)
    assert log.slice(1, T0, T0) == T0 - 3_600_000 - LATENESS_MS
    for minute in range(60, -1, -5):
        assert log.slice(0, T0 - minute * 60_000, T0 - minute * 60_000) == T0 - minute * 60_000 - LATENESS_MS


def test_a_source_partition_that_only_ticks_is_idle_and_comes_back() -> None:
    log = Log()
    log.slice(0, T0, T0)
    log.slice(1, T0, T0)
    for second in range(0, 60, 5):
        log.slice(1, T0 + second * 1000, T0 + second * 1000)
        log.tick(T0 + second * 1000)
    assert log.clocks.watermark_ms == T0 + 55_000 - LATENESS_MS
    at = T0 + 55_000 + IDLE_MS
    for second in range(56, 86):
        log.tick(T0 + second * 1000)
    assert log.clocks.watermark_ms == at - LATENESS_MS  # all are idle: the log's clock itself
    assert log.slice(0, at, T0) == at - LATENESS_MS


@pytest.mark.parametrize("event_ms", [None, T0 - 86_400_000])
def test_a_source_partition_of_rejects_or_late_calls_only_does_not_stop_time_for_all(
    event_ms: int | None,
) -> None:
    """One broken producer must not keep everybody's panes from closing."""
    log = Log()
    log.slice(1, T0, T0)
    for second in range(0, 120, 2):
        log.slice(0, T0 + second * 1000, event_ms)
        log.tick(T0 + second * 1000)
        log.slice(1, T0 + second * 1000, T0 + second * 1000)
    assert log.clocks.watermark_ms == T0 + 118_000 - LATENESS_MS


def test_a_backlog_is_not_late_because_a_tick_came_first() -> None:
    """Ingest was down for an hour: the first thing in the log is a tick of today, then the hour's calls."""
    log = Log()
    log.tick(T0 - 3_600_000)
    log.slice(0, T0 - 3_600_000, T0 - 3_600_000)
    assert log.tick(T0) == T0 - 3_600_000 - LATENESS_MS
    for n in range(20):
        log.tick(T0 + n * 1000)
        behind = T0 - 3_600_000 + n * 180_000
        assert log.slice(0, behind, behind) == behind - LATENESS_MS


def test_rejects_before_the_first_event_do_not_make_a_backfill_late() -> None:
    log = Log()
    for second in range(0, 120, 2):
        assert log.slice(0, T0 + second * 1000) == 0
        assert log.tick(T0 + second * 1000) == 0
    assert log.slice(0, T0 + 120_000, T0 - 86_400_000, history=True) == T0 - 86_400_000 - LATENESS_MS


def test_history_teaches_until_it_ends() -> None:
    log = Log()
    old = T0 - 14 * 86_400_000
    for day in range(14):
        log.slice(0, T0 + day * 100, old + day * 86_400_000, history=True)
        assert log.clocks.learning
    assert log.clocks.watermark_ms == old + 13 * 86_400_000 - LATENESS_MS
    for ms in range(T0 + 1300, T0 + 1300 + IDLE_MS + 10_001, 10_000):
        log.tick(ms)
    assert not log.clocks.learning
    log.slice(0, T0 + 40_000, T0 + 40_000, history=True)
    assert log.clocks.learning
    log.slice(0, T0 + 41_000, T0 + 41_000)
    assert not log.clocks.learning


STEPS = st.lists(
    st.tuples(
        st.integers(0, 3), st.integers(-7200, 7200), st.none() | st.integers(-7200, 7200), st.booleans()
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.integers(0, 40))
def test_time_never_goes_back_and_a_restored_clock_goes_on_alike(
    steps: list[tuple[int, int, int | None, bool]], crash: int
) -> None:
    """Whatever the sources' clocks say; the watermark is never ahead of the log's clock by more than it is behind it."""
    log, told = Log(), [0]
    for number, (source, record_s, event_s, tick) in enumerate(steps):
        if number == crash:
            plain = msgspec.msgpack.decode(msgspec.msgpack.encode(log.clocks.dump()))
            assert Clocks.load(plain).dump() == log.clocks.dump()
            log.clocks = Clocks.load(plain)
        if tick:
            log.tick(T0 + record_s * 1000, source)
        else:
            log.slice(source, T0 + record_s * 1000, None if event_s is None else T0 + event_s * 1000)
        assert log.clocks.watermark_ms >= told[-1]
        assert log.clocks.watermark_ms <= max(0, log.clocks.now_ms + AHEAD_MS - LATENESS_MS)
        told.append(log.clocks.watermark_ms)

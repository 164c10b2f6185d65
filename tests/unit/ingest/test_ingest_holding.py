"""What a source partition in hand gives to the next slice."""

from __future__ import annotations

import pytest

from tokenfuse.ingest.record import HISTORY, MODE_HEADER, Record
from tokenfuse.runtime.ingest import holding as module
from tokenfuse.runtime.ingest.errors import OffsetBackwardsError
from tokenfuse.runtime.ingest.fence import Fence
from tokenfuse.runtime.ingest.holding import Holding
from tokenfuse.runtime.ingest.recipe import Recipe
from tokenfuse.runtime.settings import Settings

RECIPE = Recipe(Settings(deltas_partitions=1))


def holding(position: int = 0, unfinished: Fence | None = None, records_max: int = 3) -> Holding:
    return Holding(RECIPE.cutter(0, position), unfinished, records_max)


def records(start: int, end: int, size: int = 1, **fields) -> list[Record]:
    return [Record(offset, 0, None, b"x" * size, **fields) for offset in range(start, end)]


def offsets(taken: list[Record]) -> list[int]:
    return [record.offset for record in taken]


def test_a_free_slice_takes_at_most_so_many_records() -> None:
    held = holding()
    held.take(records(0, 5))

    assert held.full
    assert offsets(held.next_slice()) == [0, 1, 2]
    held.done(held.next_slice())
    assert (offsets(held.next_slice()), held.full, held.empty) == ([3, 4], False, False)


def test_a_free_slice_takes_at_most_so_many_bytes_but_always_one_record(monkeypatch) -> None:
    monkeypatch.setattr(module, "SLICE_BYTES_MAX", 10)
    held = holding()
    held.take([*records(0, 1, size=50), *records(1, 3, size=5)])

    assert offsets(held.next_slice()) == [0]
    held.done(held.next_slice())
    assert offsets(held.next_slice()) == [1, 2]


def test_a_slice_ends_where_history_does() -> None:
    held = holding()
    held.take([*records(0, 2, headers=((MODE_HEADER, HISTORY),)), *records(2, 3)])

    assert offsets(held.next_slice()) == [0, 1]


def test_a_slice_begun_before_waits_until_it_is_whole_and_takes_no_more() -> None:
    held = holding(4, Fence(4, 9), records_max=2)
    held.take(records(4, 8))

    assert (held.next_slice(), held.is_fixed, held.has_room) == ([], True, True)
    held.take(records(8, 12))
    assert offsets(held.next_slice()) == [4, 5, 6, 7, 8]
    held.done(held.next_slice())
    assert (offsets(held.next_slice()), held.is_fixed) == ([9, 10], False)


def test_two_full_slices_are_enough_to_hold() -> None:
    held = holding()
    held.take(records(0, 5))
    assert held.has_room

    held.take(records(5, 6))
    assert not held.has_room


def test_an_offset_behind_what_is_held_is_an_error() -> None:
    held = holding()
    held.take(records(0, 2))

    with pytest.raises(OffsetBackwardsError, match="got offset 1, wanted 2"):
        held.take(records(1, 3))


def test_a_gap_is_fetched_again_once_and_then_believed() -> None:
    """Offsets of transaction markers are missing for ever; records that got lost on the way are not."""
    held = holding()

    assert (held.skipped(0), held.skipped(2), held.skipped(2)) == (False, True, False)
    held.take(records(2, 3))
    assert held.skipped(4)


def test_only_a_slice_in_order_is_released() -> None:
    assert holding().released
    assert not holding(0, Fence(0, 1)).released

"""Daily maxima: what is usual, from the days before."""

from __future__ import annotations

import numpy as np

from tokenfuse.decide.records import CHUNK, DAYS, Records, RecordShelf


def learnt(*days: int) -> Records:
    """One key with its day's number as the value."""
    records = Records(1)
    for day in days:
        records.learn(records.places(["a"]), np.array([[day]]), day)
    return records


def before(records: Records, day: int) -> tuple[int, int]:
    found, days = records.before(records.places(["a"]), day, 0)
    return int(found[0, 0]), int(days[0])


def test_today_is_no_part_of_the_record_and_what_is_older_than_two_weeks_neither() -> None:
    records = learnt(100, 101, 102)
    assert before(records, 102) == (101, 2)
    assert before(records, 101 + DAYS) == (102, 2)
    assert before(records, 103 + DAYS) == (0, 0)


def test_days_that_are_over_are_left_alone_and_their_places_are_used_again() -> None:
    records = learnt(100, 120)
    records.learn(records.places(["a"]), np.array([[999]]), 105)
    assert before(records, 121) == (120, 1)


def test_only_chunks_that_changed_are_dirty_and_rows_bring_everything_back() -> None:
    records = Records(2)
    keys = [f"k{n}" for n in range(CHUNK + 1)]
    records.learn(records.places(keys), np.ones((CHUNK + 1, 2), np.int64), 100)
    rows = [records.chunk(c) for c in records.chunks]
    assert records.changed == set()
    records.learn(records.places(["k0"]), np.array([[2, 2]]), 100)
    assert records.changed == {0}
    rows[0] = records.chunk(0)
    other = Records(2)
    for row in rows:
        other.restore_chunk(row)
    assert other.changed == set()
    assert [other.largest(101, q, 1) for q in (0, 1)] == [2, 2]
    assert other.places(keys).tolist() == list(range(CHUNK + 1))


def test_a_day_on_which_nothing_happened_outlives_a_restart_though_no_key_is_known() -> None:
    """Whether any day before is known decides whether a burst can be told at all."""
    shelf = RecordShelf()
    shelf.of("bursts", 2).learn(np.empty(0, np.int64), np.empty((0, 2), np.int64), 100)
    rows = {row: shelf.snapshot(row) for row in shelf.dirty_rows()}
    other = RecordShelf()
    restored = other.of("bursts", 2)
    other.load(rows)
    assert restored.knows(100)
    assert restored.knows_before(101)

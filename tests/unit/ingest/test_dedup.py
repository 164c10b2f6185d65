"""The index of ids: exact within the horizon, whatever the order of sizes in which slices come."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings, strategies as st

from tokenfuse.ingest.dedup import Entries, IdIndex, hash_ids, hashes_of

MINUTE_MS = 60_000


def entries(ids, offset=0, revision=0) -> Entries:
    count = len(ids)
    return Entries(
        hash_ids(ids),
        np.arange(offset, offset + count),
        np.full(count, revision, np.int32),
        np.arange(count) * 3,
    )


def lookup(index: IdIndex, ids, generation: int):
    found = index.lookup(hash_ids(ids), np.full(len(ids), generation))
    return list(zip(found.offset.tolist(), found.revision.tolist(), found.cost.tolist(), strict=True))


UNKNOWN = (-1, -1, 0)


def test_an_id_is_known_until_the_horizon_has_passed() -> None:
    index = IdIndex(2 * MINUTE_MS)
    index.add(100, entries(["a"], offset=7))

    assert lookup(index, ["a", "b"], 102) == [(7, 0, 0), UNKNOWN]
    assert lookup(index, ["a"], 103) == [UNKNOWN]


def test_one_slice_sees_each_id_by_the_clock_of_its_own_record() -> None:
    index = IdIndex(MINUTE_MS)
    index.add(5, entries(["a"]))

    found = index.lookup(hash_ids(["a", "a"]), np.array([6, 7]))

    assert found.offset.tolist() == [0, -1]


def test_a_part_of_a_minute_counts_as_a_whole_one() -> None:
    index = IdIndex(MINUTE_MS + 1)
    index.add(5, entries(["a"]))

    assert lookup(index, ["a"], 7) == [(0, 0, 0)]


def test_the_highest_visible_revision_wins_within_and_across_minutes() -> None:
    index = IdIndex(10 * MINUTE_MS)
    index.add(1, entries(["a", "b"]))
    index.add(1, entries(["a"], offset=5, revision=1))
    index.add(3, entries(["a"], offset=9, revision=4))

    assert lookup(index, ["a", "b"], 3) == [(9, 4, 0), (1, 0, 3)]


def test_forgotten_generations_take_their_memory_along() -> None:
    index = IdIndex(MINUTE_MS)
    index.add(1, entries(["a", "b"]))
    index.add(2, entries(["c"], offset=40))

    index.forget(3)

    assert (len(index), index.oldest_offset()) == (1, 40)
    index.forget(9)
    assert (len(index), index.oldest_offset()) == (0, None)


def test_ids_that_share_half_of_their_hash_stay_apart() -> None:
    """Half a hash can collide in a large index: both halves are compared."""
    high = b"\x01" * 8
    hashes = hashes_of(b"".join(high + bytes([n]) * 8 for n in range(4)))
    index = IdIndex(MINUTE_MS)
    index.add(1, Entries(hashes[:3], np.array([10, 11, 12]), np.zeros(3, np.int32), np.zeros(3, np.int64)))

    found = index.lookup(hashes, np.ones(4, np.int64))

    assert found.offset.tolist() == [10, 11, 12, -1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40)), max_size=40))
def test_the_index_answers_like_a_dictionary(slices) -> None:
    index, truth, generation, offset = IdIndex(5 * MINUTE_MS), {}, 50, 0
    for minutes, count in slices:
        generation += minutes
        ids = [f"id{offset + i}" for i in range(count)]
        index.add(generation, entries(ids, offset=offset))
        truth |= {id_: (generation, offset + i, 3 * i) for i, id_ in enumerate(ids)}
        offset += count
        index.forget(generation)

    asked = [*truth, "never seen"]

    expected = [
        (o, 0, cost) if g >= generation - 5 else UNKNOWN for g, o, cost in (truth[id_] for id_ in truth)
    ]
    assert lookup(index, asked, generation) == [*expected, UNKNOWN]


def test_runs_stay_few_however_many_slices_come() -> None:
    index = IdIndex(10 * MINUTE_MS)
    for number in range(300):
        index.add(1, entries([f"{number}-{i}" for i in range(20)], offset=number * 20))

    assert len(index) == 6000
    assert len(index._generations[1]) <= 13
    index.add(2, entries(["next"]))
    assert len(index._generations[1]) == 1

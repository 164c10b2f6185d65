"""The same id in two source partitions: found on the sample, told apart, forgotten after the horizon, bounded."""

from __future__ import annotations

import numpy as np

from tokenfuse.contracts.ids import IDS_FORMAT, SliceIds
from tokenfuse.ingest.dedup import hash_ids
from tokenfuse.ingest.wrong_keys import ONE_IN, IdSample, WrongKey

HORIZON_MS = 600_000


def slice_ids(source: int, ids: list[str], minute: int = 1000, cost: int = 5, a: int = 0) -> SliceIds:
    n = len(ids)
    return SliceIds(
        IDS_FORMAT, source, a, a + n, minute * 60_000, minute * 60_000, ((minute, n),), hash_ids(ids).tobytes(),
        np.arange(n, dtype="<u4").tobytes(), np.zeros(n, "<i4").tobytes(), np.full(n, cost, "<i8").tobytes(),
    )  # fmt: skip


def names(count: int, start: int = 0) -> list[str]:
    return [f"event-{number}" for number in range(start, start + count)]


def test_ids_of_one_partition_repeat_nothing_even_when_a_slice_is_cut_again():
    sample = IdSample(HORIZON_MS)
    assert sample.note(slice_ids(0, names(5000))) == []
    assert sample.note(slice_ids(0, names(5000))) == []
    assert sample.note(slice_ids(1, names(5000, 5000))) == []


def test_the_same_ids_in_another_partition_are_found_about_one_in_64_with_both_places():
    sample = IdSample(HORIZON_MS)
    sample.note(slice_ids(0, names(20_000), a=100))
    found = sample.note(slice_ids(3, names(20_000), a=700))
    assert 0.7 < len(found) * ONE_IN / 20_000 < 1.3
    assert {repeat.reason for repeat in found} == {WrongKey.COUNTED_TWICE}
    assert {(r.first.source, r.second.source, r.second.offset - r.first.offset) for r in found} == {
        (0, 3, 600)
    }


def test_an_id_at_another_cost_is_told_apart():
    sample = IdSample(HORIZON_MS)
    sample.note(slice_ids(0, names(5000), cost=5))
    assert {r.reason for r in sample.note(slice_ids(1, names(5000), cost=6))} == {WrongKey.ID_REUSED}


def test_an_id_is_remembered_for_the_horizon_and_no_longer():
    for later, found in ((10, True), (11, False)):
        sample = IdSample(HORIZON_MS)
        sample.note(slice_ids(0, names(5000), minute=1000))
        assert bool(sample.note(slice_ids(1, names(5000), minute=1000 + later))) is found


def test_a_flood_of_ids_makes_the_sample_thinner_and_never_larger_than_its_bound():
    sample = IdSample(HORIZON_MS, entries_max=500)
    for number in range(40):
        sample.note(slice_ids(0, names(5000, 5000 * number)))
        assert len(sample) <= 500
    assert sample.one_in >= 8 * ONE_IN
    assert sample.note(slice_ids(1, names(200_000))), "it still finds what is repeated"

"""How long ingest waits for records before it cuts slices."""

from __future__ import annotations

import pytest

from tokenfuse.runtime.ingest.slice_pace import (
    CALM_RECORDS,
    FEW_RECORDS,
    REST_SECONDS,
    STRETCH_MAX,
    SlicePace,
)


def interval(records_per_second: float, slices: int = 20) -> float:
    """Seconds between slices once so much has come for a while."""
    pace, now = SlicePace(0.25, 0.0), 0.0
    wait = 0.25
    for _ in range(slices):
        now += wait
        pace.cut(round(records_per_second * wait), now)
        wait = pace.wait_seconds(now)
    return wait


def test_in_a_calm_slices_are_as_short_as_they_are_set() -> None:
    assert interval(CALM_RECORDS / 0.25) == 0.25
    assert interval(0) == 0.25


def test_under_load_they_get_longer_up_to_a_bound() -> None:
    assert interval(2 * CALM_RECORDS / 0.25) == pytest.approx(0.5)
    assert interval(100_000) == STRETCH_MAX * 0.25


def test_after_a_rush_they_are_short_again_at_once() -> None:
    pace = SlicePace(0.25, 0.0)
    pace.cut(10_000, 0.25)
    pace.cut(3, 1.25)

    assert pace.wait_seconds(1.25) == 0.25


def test_the_first_record_after_a_silence_waits_for_nothing() -> None:
    pace = SlicePace(0.25, 0.0)

    assert pace.wait_seconds(60.0) < 0


def test_records_of_a_full_slice_that_came_early_are_not_taken_for_a_faster_stream_than_they_are() -> None:
    pace = SlicePace(0.25, 0.0)
    pace.cut(CALM_RECORDS, 0.01)

    assert pace.wait_seconds(0.01) == 0.25


def test_under_load_records_gather_between_small_fetches_and_a_backlog_waits_for_nothing() -> None:
    pace = SlicePace(0.25, 0.0)
    assert pace.rest_seconds(5) == 0

    pace.cut(1_000, 0.25)

    assert pace.rest_seconds(5) == REST_SECONDS
    assert pace.rest_seconds(FEW_RECORDS) == 0

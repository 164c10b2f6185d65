"""Arrivals follow the trace: as many calls as asked for, when the trace has them, in order."""

from __future__ import annotations

import random

import pytest

from tokenfuse.demo.arrivals import DAY_S, arrivals
from tokenfuse.demo.traces import WINDOW_S, Window

MORNING = Window(8 * 3600, 1.0, 1.0)
NOON = Window(12 * 3600, 3.0, 2.5)


@pytest.mark.parametrize("calls", [0, 1, 7, 1000])
def test_exactly_as_many_calls_as_asked_for_come_in_order(calls):
    times = list(arrivals([MORNING, NOON], DAY_S, calls, random.Random(1)))

    assert len(times) == calls
    assert times == sorted(times)


def test_calls_fall_into_the_windows_in_proportion_to_their_rates():
    times = list(arrivals([MORNING, NOON], DAY_S, 400, random.Random(1)))

    in_morning = [t for t in times if MORNING.start_s <= t < MORNING.start_s + WINDOW_S]
    in_noon = [t for t in times if NOON.start_s <= t < NOON.start_s + WINDOW_S]
    assert (len(in_morning), len(in_noon)) == (100, 300)


def test_a_trace_shorter_than_the_span_is_repeated_at_the_same_time_of_day():
    times = list(arrivals([MORNING], 3 * DAY_S, 30, random.Random(1)))

    assert [sum(d * DAY_S <= t < (d + 1) * DAY_S for t in times) for d in range(3)] == [10, 10, 10]
    assert all(MORNING.start_s <= t % DAY_S < MORNING.start_s + WINDOW_S for t in times)


def test_the_same_seed_gives_the_same_times():
    first, second, other = (list(arrivals([NOON], DAY_S, 50, random.Random(s))) for s in (1, 1, 2))

    assert first == second != other

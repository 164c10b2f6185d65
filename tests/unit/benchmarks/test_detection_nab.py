"""The scorer of NAB on values that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.detection import nab
from benchmarks.detection.nab import Series

ROWS = 1000
WINDOW = (400, 499)
BEST = 2 / (1 + np.exp(-5)) - 1


def series(windows=(WINDOW,)):
    return Series("s", np.zeros(ROWS), np.arange(ROWS, dtype=float), tuple(windows))


def detector_at(*rows):
    """Detects at these rows only."""

    def scores(values, _times_s):
        found = np.zeros(len(values))
        found[list(rows)] = 1.0
        return found

    return scores


def points(*rows, windows=(WINDOW,)):
    worth = nab.worth_of(series(windows))
    return nab.raw_scores(detector_at(*rows)(np.zeros(ROWS), None), worth, np.array([0.5]))[0]


def test_nothing_detected_is_zero_and_everything_at_once_is_a_hundred():
    corpus = [series(), series(windows=())]

    assert nab.standard_score(nab.silent, corpus)[0] == 0.0
    assert nab.standard_score(detector_at(400), [series()])[0] == pytest.approx(100.0)


def test_a_window_counts_its_earliest_detection_once():
    early, late = points(400), points(499)

    assert early == pytest.approx(1.0)
    assert late == pytest.approx((2 / (1 + np.exp(-5 / 100)) - 1) / BEST)
    assert points(400, 450, 499) == pytest.approx(early)


def test_a_missed_window_costs_one():
    assert points() == -1.0


def test_a_false_detection_costs_more_the_further_it_is_behind_a_window():
    near, far, before = points(400, 505), points(400, 899), points(400, 300)

    assert near == pytest.approx(1 + 0.11 * (2 / (1 + np.exp(5 * 6 / 99)) - 1))
    assert far == pytest.approx(1 - 0.11)
    assert before == pytest.approx(1 - 0.11)
    assert far < near < 1


def test_the_first_fifteen_percent_are_not_scored():
    assert points(400, 0, 149) == pytest.approx(1.0)
    assert points(400, 150) == pytest.approx(1 - 0.11)


def test_the_best_single_threshold_over_all_files_is_chosen():
    def scores(values, _times_s):
        found = np.full(len(values), 0.1)
        found[400] = 0.9
        return found

    score, threshold = nab.standard_score(scores, [series(), series()])

    assert (score, threshold) == (pytest.approx(100.0), 0.9)


def test_the_packaged_half_has_its_windows_and_its_licence():
    corpus = nab.read()

    assert len(corpus) == 29
    assert sum(len(s.windows) for s in corpus) == 61
    assert all(0 <= first < last < len(s.values) for s in corpus for first, last in s.windows)
    assert "Permission is hereby granted" in (nab.DATA / "LICENSE.txt").read_text()

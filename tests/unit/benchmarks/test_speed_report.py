from __future__ import annotations

import pytest
from benchmarks.speed.ratios import ratio, short, spread
from benchmarks.speed.report import fill, table, whole
from benchmarks.speed.results import Results
from benchmarks.speed.row import Line, Row

REACHED = Line("a thing", ">= 2x", "10 events/s", "2.5x", "2.1-3", reached=True)
SHORT = Line("another", ">= 2x", "10 events/s", "1.5x", "1-2", reached=False)
ROW = Row("thing", "A thing", lambda _: iter(()), lambda rounds: [REACHED] * len(rounds))


def test_a_ratio_is_taken_within_each_round_and_not_of_the_medians():
    found = ratio([10.0, 40.0, 90.0], [10.0, 20.0, 30.0])
    assert (found.median, found.low, found.high, found.count) == (2.0, 1.0, 3.0, 3)


def test_rounds_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0, 2.0], [1.0])


def test_one_round_has_no_spread():
    assert str(spread([3.0])) == "one round"
    assert str(spread([3.0, 4567.0])) == "3-4,570"


def test_figures_keep_three_digits():
    assert [short(x) for x in (0.001234, 9.996, 99.94, 1_234_567)] == ["0.00123", "10", "99.9", "1,230,000"]


def test_the_table_says_reached_or_falls_short():
    head, rule, first, second = table([REACHED, SHORT]).splitlines()
    assert len({len(head), len(rule), len(first), len(second)}) == 1
    assert first.rstrip(" |").endswith("reached")
    assert "**falls short**" in second


def test_results_are_appended_and_read_back_by_row(tmp_path):
    results = Results(tmp_path / "new")
    assert results.rounds("a") == []
    for row, figure in (("a", 1), ("b", 2), ("a", 3)):
        results.append(row, {"x": figure})
    assert Results(tmp_path / "new").rounds("a") == [{"x": 1}, {"x": 3}]
    results.forget("a")
    assert results.rounds("a") == []
    assert results.rounds("b") == [{"x": 2}]


def test_the_whole_report_says_what_is_not_measured_yet(tmp_path):
    results = Results(tmp_path)
    assert "Not measured yet" in whole([ROW], results)
    results.append("thing", {})
    assert "reached" in whole([ROW], results)
    assert "1 round" in whole([ROW], results)


def test_a_page_is_filled_between_its_markers_and_nowhere_else(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- results -->\nold\n<!-- /results -->\nafter\n")
    fill(page, "results", "new")
    fill(page, "results", "newer")
    assert page.read_text() == "before\n<!-- results -->\nnewer\n<!-- /results -->\nafter\n"
    with pytest.raises(ValueError, match="other"):
        fill(page, "other", "new")

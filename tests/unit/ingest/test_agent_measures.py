"""What only agents have: runs, children at their parent, and the sketch of their tool calls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.support.blocks import axis_rows
from tests.support.calls import call

from tokenfuse.contracts.measures import INDEX
from tokenfuse.contracts.sketch import sketch_of
from tokenfuse.ingest.aggregate import Aggregator
from tokenfuse.ingest.call import Call


def sums(calls: list[Call], measure: str, axis: str = "run_id", signs: Any = None) -> dict[str, int]:
    """Scope value to one measure."""
    found: dict[str, int] = {}
    for part in Aggregator((), 3).rows(calls, signs):
        for rows in part:
            if rows.axis == axis:
                for value, _, row, *_ in axis_rows(rows):
                    found[value] = found.get(value, 0) + row[INDEX[measure]]
    return found


def family() -> list[Call]:
    """A parent's own step, the first and second step of two children, one of them tried twice."""
    return [
        call(1, 0, run_id="parent", step=4),
        call(2, 1, run_id="a", parent_run_id="parent", step=1),
        call(3, 2, run_id="b", parent_run_id="parent", step=1, retry=True),
        call(4, 3, run_id="b", parent_run_id="parent", step=1),
        call(5, 4, run_id="a", parent_run_id="parent", step=2),
    ]


def test_children_are_counted_at_their_parent_once_each_and_elsewhere_where_they_work() -> None:
    assert sums(family(), "children") == {"parent": 2, "a": 0, "b": 0}
    assert sums(family(), "children", "feature") == {"chat": 2}
    assert sums(family(), "runs", "tenant") == {"acme": 2}


def test_a_child_adds_no_money_and_no_call_to_its_parent() -> None:
    assert sums(family(), "calls") == {"parent": 1, "a": 2, "b": 2}
    assert sum(sums(family(), "cost_nanousd").values()) == 5_000_000


def test_a_parent_that_made_no_call_in_this_slice_has_its_row_too() -> None:
    assert sums(family()[1:2], "children") == {"parent": 1, "a": 0}


def test_what_is_taken_out_leaves_nothing() -> None:
    calls = family()
    both = sums(calls + calls, "children", signs=[1] * 5 + [-1] * 5)
    assert set(both.values()) == {0}


def test_the_sketch_is_the_runs_alone_and_adds_up() -> None:
    calls = [call(n, n, run_id="r", tool_sketch=sketch_of(s)) for n, s in enumerate("aab")]
    assert sums(calls, "tool_sketch") == {"r": 2 * sketch_of("a") + sketch_of("b")}
    assert sums(calls, "tool_sketch", "tenant") == {"acme": 0}
    assert sums(calls[:1], "tool_sketch", signs=[-1]) == {"r": -sketch_of("a")}


@pytest.mark.parametrize("distinct", [1, 2, 3, 64])
def test_squares_of_the_sketch_tell_how_often_each_tool_call_was_made(distinct: int) -> None:
    total = sum(sketch_of(f"tool-{n % distinct}") for n in range(192))
    parts = np.array([((total >> 16 * i) + 32768) % 65536 - 32768 for i in range(4)])
    assert 192**2 / distinct / 9 < (parts.astype(float) ** 2).mean() < 9 * 192**2 / distinct

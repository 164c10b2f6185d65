"""How high a window can get while a block is added is never told too low."""

from __future__ import annotations

import numpy as np
from hypothesis import given, strategies as st
from tests.unit.windows.window_rows import T0_S

from tokenfuse.contracts.measures import INDEX, MAXIMA, MEASURES
from tokenfuse.windows.ahead import Ahead
from tokenfuse.windows.pane import Pane
from tokenfuse.windows.rolling import RollingSum
from tokenfuse.windows.rows import Rows

CALLS = INDEX["calls"]
BLOCK = st.lists(
    st.tuples(st.integers(0, 2), st.integers(-3, 30), st.integers(-2, 9)), min_size=1, max_size=20
)


def rows_of(block: list[tuple[int, int, int]]) -> Rows:
    """Of (scope, pane of ten seconds, calls)."""
    sums = np.zeros((len(block), len(MEASURES)), np.int64)
    sums[:, CALLS] = [calls for _, _, calls in block]
    return Rows(
        values=("a", "b", "c"), cells=(), scope=np.array([scope for scope, _, _ in block], np.int32),
        pane_s=np.array([T0_S + pane * 10 for _, pane, _ in block], np.int64), sums=sums,
        maxima=np.zeros((len(block), len(MAXIMA)), np.int64), dearest_nanousd=np.zeros(len(block), np.int64),
        dearest_id=("",) * len(block),
    )  # fmt: skip


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30), st.integers(0, 9))),
    BLOCK,
    st.sampled_from([10, 60]),
)
def test_no_window_gets_higher_than_foreseen(
    before: list[tuple[int, int, int]], block: list[tuple[int, int, int]], size_s: int
) -> None:
    panes: dict[int, Pane] = {}
    latest_s, window_s = T0_S, 5 * size_s
    window = RollingSum(panes, size_s, 5, CALLS)
    window.advance(latest_s - latest_s % size_s)
    for scope, age, calls in before:
        add(panes, window, size_s, scope, latest_s - age * 10, calls)
    rows = rows_of(block)
    ahead = Ahead(rows.scope, rows)
    foreseen = ahead.peaks(CALLS, size_s, window_s, window.of(ahead.ids), latest_s)
    highest = window.of(ahead.ids)
    for scope, pane, calls in sorted(block, key=lambda row: row[1]):
        now_s = max(T0_S + pane * 10, latest_s)
        window.advance(now_s - now_s % size_s)
        add(panes, window, size_s, scope, T0_S + pane * 10, max(calls, 0))
        highest = np.maximum(highest, window.of(ahead.ids))
    assert (foreseen >= highest).all()


def test_calls_far_apart_do_not_add_up() -> None:
    rows = rows_of([(0, 0, 3), (0, 1, 4), (0, 20, 5), (1, 0, 2)])
    ahead = Ahead(rows.scope, rows)
    nothing = np.zeros(2, np.int64)
    assert ahead.peaks(CALLS, 10, 50, nothing, T0_S).tolist() == [7, 2]
    assert ahead.peaks(CALLS, 10, 50, nothing + 1, T0_S).tolist() == [8, 3]
    assert ahead.added(CALLS).tolist() == [12, 2]


def add(panes: dict[int, Pane], window: RollingSum, size_s: int, scope: int, at_s: int, calls: int) -> None:
    """One row, as a table adds it."""
    ids, sums = np.array([scope], np.int32), np.zeros((1, len(MEASURES)), np.int64)
    sums[0, CALLS] = calls
    start_s = at_s - at_s % size_s
    panes.setdefault(start_s, Pane()).add(ids, sums)
    window.add(start_s, ids, sums)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30), st.integers(0, 9))),
    BLOCK,
    st.sampled_from([10, 60]),
)
def test_levels_are_those_of_a_window_that_is_moved_pane_by_pane(
    before: list[tuple[int, int, int]], block: list[tuple[int, int, int]], size_s: int
) -> None:
    """Late rows come with the first moment, and those beyond the last pane with the last."""
    panes: dict[int, Pane] = {}
    window, latest_s, last_s = RollingSum(panes, size_s, 5, CALLS), T0_S, T0_S + 250
    window.advance(latest_s - latest_s % size_s)
    for scope, age, calls in before:
        add(panes, window, size_s, scope, latest_s - age * 10, calls)
    rows, end_s = rows_of(block), latest_s - latest_s % size_s
    ahead = Ahead(rows.scope, rows)
    starts = np.arange(end_s - 4 * size_s, end_s + 1, size_s)
    chosen = np.arange(len(ahead.ids))[:2]
    ids, nothing = ahead.ids[chosen], np.zeros(len(chosen), np.int64)
    past = np.array([panes[s].column(ids, CALLS) if s in panes else nothing for s in starts.tolist()])
    moments, levels = ahead.levels((CALLS, size_s, 5 * size_s), (starts, past), chosen, (latest_s, last_s))
    found = dict(zip(zip(moments.scope.tolist(), moments.times_s.tolist(), strict=True), levels, strict=True))
    for now_s in range(latest_s, last_s + 1, 10):
        window.advance(now_s - now_s % size_s)
        for scope, pane, calls in block:
            pane_s = T0_S + pane * 10
            if min(max(pane_s, latest_s), last_s) == now_s:
                add(panes, window, size_s, scope, pane_s, calls)
        for place in chosen.tolist():
            if (place, now_s) in found:
                assert found[place, now_s] == window.of(ahead.ids[[place]])[0]

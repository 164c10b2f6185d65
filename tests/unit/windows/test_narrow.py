"""Sums in few bytes are the sums: whatever is added, in whatever order, and however often they are folded up."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings, strategies as st

from tokenfuse.windows import narrow
from tokenfuse.windows.narrow import NarrowSums
from tokenfuse.windows.pane import WIDTH, Pane

NUMBERS = st.one_of(
    st.integers(-3, 3), st.sampled_from([127, -128, 32_767, 2**31 - 1, -(2**31), 2**55, -(2**55)])
)
STEPS = st.lists(
    st.one_of(
        st.dictionaries(st.integers(0, 7), st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1),
        st.just("compact"),
    ),
    max_size=20,
)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.sampled_from([0, 512]))
def test_narrow_sums_are_exact(steps: list, wide_rows_max: int) -> None:
    """Columns that outgrow their width, columns that stay empty, tables that are narrow from their first row on."""
    before, narrow.WIDE_ROWS_MAX = narrow.WIDE_ROWS_MAX, wide_rows_max
    try:
        sums, truth = NarrowSums(3), np.zeros((8, 3), np.int64)
        sums.reserve(8)
        for step in steps:
            if step == "compact":
                sums.compact()
                continue
            slots, added = np.array(list(step)), np.array(list(step.values()), np.int64)
            sums.add(slots, added)
            truth[slots] += added
        assert sums.all().tolist() == sums.gather(np.arange(8)).tolist() == truth.tolist()
        assert [sums.column(np.arange(8), c).tolist() for c in range(3)] == truth.T.tolist()
    finally:
        narrow.WIDE_ROWS_MAX = before


def test_a_folded_pane_takes_little_and_goes_on_when_a_late_call_comes() -> None:
    pane, ids = Pane(), np.arange(5000, dtype=np.int32)
    rows = np.zeros((5000, WIDTH), np.int64)
    rows[:, 0], rows[:, 1] = 1, np.arange(5000) * 1000
    pane.add(ids, rows)
    pane.seal()
    assert pane.nbytes < 5000 * 20
    assert pane.column(ids[::-1], 1).tolist() == (rows[::-1, 1]).tolist()
    pane.add(ids[:2], rows[:2] + 2**40)
    assert pane.column(ids[:3], 1).tolist() == [2**40, 2**40 + 2000, 2000]
    assert pane.count == 5000

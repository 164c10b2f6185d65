"""A pane holds exact sums by scope id, whatever ids come and in what order."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from hypothesis import given, settings, strategies as st

from tokenfuse.windows.codec import pack, unpack
from tokenfuse.windows.pane import CHUNK, WIDTH, Pane
from tokenfuse.windows.rolling import RollingSum

ADDS = st.lists(
    st.dictionaries(st.integers(0, 300), st.integers(-(2**62) // 50, 2**62 // 50), max_size=6), max_size=12
)


def ids(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int32)


def sums(*costs: int) -> np.ndarray:
    out = np.zeros((len(costs), WIDTH), np.int64)
    out[:, 1] = costs
    return out


def copy_of(pane: Pane) -> Pane:
    out = Pane()
    if pane.chunks:
        out.restore([unpack(pack(pane.chunk(number))) for number in range(pane.chunks)])
    return out


@settings(max_examples=60, deadline=None)
@given(ADDS, st.integers(0, 12))
def test_a_pane_is_the_sum_of_what_was_added_and_tells_each_change_once(
    adds: list[dict[int, int]], told_after: int
) -> None:
    """Also when it is written and read back in between."""
    pane, truth = Pane(), defaultdict(int)
    for number, add in enumerate(adds):
        if number == told_after:
            pane.take_unsent()
            pane = copy_of(pane)
        pane.add(ids(*add), sums(*add.values()))
        for i, cost in add.items():
            truth[i] += cost
    asked = np.arange(400, dtype=np.int32)
    assert pane.column(asked, 1).tolist() == [truth[i] for i in range(400)]
    assert (pane.gather(asked)[:, 1] == pane.column(asked, 1)).all()
    changed = {i for add in (adds[told_after:] if told_after < len(adds) else adds) for i in add}
    unsent, rows = pane.take_unsent()
    assert set(unsent.tolist()) == changed
    assert rows[:, 1].tolist() == [truth[i] for i in unsent.tolist()]
    assert not len(pane.take_unsent()[0])


def test_an_empty_pane_has_no_row_and_knows_no_scope() -> None:
    pane = Pane()
    pane.add(ids(), sums())
    assert (pane.chunks, pane.count) == (0, 0)
    assert pane.gather(ids(0, 7, 10_000)).sum() == 0


def test_only_the_checkpoint_rows_of_changed_scopes_are_written_again() -> None:
    """A pane of many scopes has several rows, so that none outgrows a message."""
    pane, many = Pane(), 2 * CHUNK + 10
    pane.add(np.arange(many, dtype=np.int32), sums(*range(many)))
    pane.take_unsent()
    assert pane.changed_chunks == [0, 1, 2]
    for number in pane.changed_chunks:
        pane.chunk(number)
    pane.add(ids(CHUNK + 5, 3 * many), sums(1, 1))
    assert pane.changed_chunks == [1, 2]
    back = copy_of(pane)
    assert back.ids.tolist() == pane.ids.tolist()
    assert (back.rows == pane.rows).all()
    assert not back.changed_chunks
    assert back.take_unsent()[0].tolist() == [CHUNK + 5, 3 * many]


def test_a_full_row_fits_into_a_message_even_if_nothing_compresses() -> None:
    random = np.random.default_rng(1)
    pane = Pane()
    noise = random.integers(-(2**62), 2**62, (CHUNK, WIDTH))
    pane.add(random.permutation(CHUNK).astype(np.int32), noise)
    assert len(pack(pane.chunk(0))) < 900_000


def test_a_forgotten_scope_starts_from_zero() -> None:
    pane = Pane()
    pane.add(ids(3, 4), sums(5, 6))
    pane.forget(ids(4, 900))
    assert pane.column(ids(3, 4, 900), 1).tolist() == [5, 0, 0]
    assert pane.take_unsent()[0].tolist() == [3]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(-8, 6), st.integers(0, 40), st.integers(-50, 50)),
        st.tuples(st.just("advance"), st.integers(-2, 12)),
        st.tuples(st.just("expire")),
    ),
    max_size=40,
)


@settings(max_examples=120, deadline=None)
@given(STEPS, st.integers(1, 5), st.sampled_from([None, 1]))
def test_a_rolling_sum_equals_the_panes_inside_it(
    steps: list[tuple], count: int, measure: int | None
) -> None:
    """Late and future panes, steps back, jumps beyond the window, panes that expire behind it."""
    panes: dict[int, Pane] = {}
    rolling, end, truth = RollingSum(panes, 10, count, measure), 100, defaultdict(int)
    rolling.advance(end * 10)
    for kind, *how in steps:
        if kind == "add":
            start, i, cost = (end + how[0]) * 10, how[1], how[2]
            panes.setdefault(start, Pane()).add(ids(i), sums(cost))
            rolling.add(start, ids(i), sums(cost))
            truth[start, i] += cost
        elif kind == "advance":
            rolling.advance((end + how[0]) * 10)
            end = max(end, end + how[0])
        else:
            for start in [s for s in panes if s < (end - count) * 10]:
                del panes[start]
    asked = np.arange(60, dtype=np.int32)
    inside = range((end - count + 1) * 10, end * 10 + 1, 10)
    expected = [sum(truth[start, i] for start in inside) for i in range(60)]
    got = rolling.of(asked)
    assert (got if measure == 1 else got[:, 1]).tolist() == expected

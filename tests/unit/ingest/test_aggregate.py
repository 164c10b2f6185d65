"""Calls to delta rows: exact, routed to their owners, and the same bytes every time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from tests.support.blocks import axis_rows, expected_sums, scopes_of, sums_of

from tokenfuse.contracts.axes import AXES, CELL, CELL_AXES, GLOBAL
from tokenfuse.contracts.block import FORMAT, DeltaBlock, encode_block
from tokenfuse.contracts.scope import output_partition, parse_scope_key
from tokenfuse.ingest.aggregate import Aggregator
from tokenfuse.ingest.call import Call
from tokenfuse.windows.rows import decode_rows

START_MS = 1_764_000_000_000


def make_call(id_: str = "e1", **fields) -> Call:
    defaults = {
        "revision": 0, "time_ms": START_MS, "tenant": "acme", "feature": "chat", "model": "gpt-4o", "prompt_template": None, "user": None,
        "run_id": None, "further": (), "cost_nanousd": 1000, "unpriced": False, "input_tokens": 10, "output_tokens": 5,
        "cache_read_tokens": 0, "cache_write_tokens": 0, "reasoning_tokens": 0, "context_tokens": 0, "retry": False, "error": False,
        "response_cache_hit": False, "tool_calls": 0, "tier": -1, "latency_ms": -1, "depth": 0, "step": 0,
    }  # fmt: skip
    return Call(id=id_, **(defaults | fields))


small = st.integers(0, 3)
calls_strategy = st.builds(
    make_call,
    st.text("abc", min_size=1, max_size=3),
    time_ms=st.integers(START_MS - 25_000, START_MS + 25_000),
    tenant=st.sampled_from(["acme", "a&b=c", "é"]),
    feature=st.sampled_from(["chat", "search"]),
    model=st.sampled_from(["gpt-4o", "claude"]),
    prompt_template=st.sampled_from([None, "greet", ""]),
    user=st.sampled_from([None, "u1", "u2", "u3"]),
    run_id=st.sampled_from([None, "r1"]),
    further=st.tuples(st.sampled_from([None, "cc1", "cc2"])),
    cost_nanousd=st.integers(0, 10**15),
    unpriced=st.booleans(),
    input_tokens=st.integers(0, 10**15),
    output_tokens=st.integers(0, 10**6),
    cache_read_tokens=small,
    cache_write_tokens=small,
    reasoning_tokens=small,
    context_tokens=small,
    retry=st.booleans(),
    error=st.booleans(),
    response_cache_hit=st.booleans(),
    tool_calls=small,
    tier=st.integers(-1, 3),
    latency_ms=st.integers(-1, 10**6),
    depth=small,
    step=small,
)


def blocks_of(parts) -> list[bytes]:
    return [encode_block(DeltaBlock(FORMAT, 0, 0, 1, 0, 0, False, "v", rows)) for rows in parts]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(calls_strategy, st.sampled_from([1, 1, -1])), max_size=30), st.sampled_from([1, 4, 32])
)
def test_every_scope_and_pane_has_the_sum_of_its_calls(signed, partitions) -> None:
    calls, signs = [c for c, _ in signed], [s for _, s in signed]

    parts = Aggregator(("cost_center",), partitions).rows(calls, signs)

    assert len(parts) == partitions
    assert sums_of(blocks_of(parts)) == expected_sums(calls, signs, ("cost_center",))


@settings(max_examples=100, deadline=None)
@given(st.lists(calls_strategy, min_size=1, max_size=30), st.sampled_from([1, 4, 32]))
def test_rows_go_to_their_owners_sorted_and_once(calls, partitions) -> None:
    parts = Aggregator(("cost_center",), partitions).rows(calls)

    for number, rows in enumerate(parts):
        order = [r.axis for r in rows]
        assert order == [axis for axis in (*AXES, "cost_center", CELL, GLOBAL) if axis in order]
        for axis in rows:
            places = [(value, pane) for value, pane, *_ in axis_rows(axis)]
            assert places == sorted(set(places))
            values = decode_rows(axis).values
            assert list(values) == sorted({value for value, _ in places})
            for value in values:
                if axis.axis == CELL:
                    wanted = {output_partition(a, v, partitions) for a, v in parse_scope_key(value).items()}
                    assert number in wanted | {output_partition(GLOBAL, "", partitions)}
                else:
                    assert number == output_partition(axis.axis, value, partitions)


@settings(max_examples=50, deadline=None)
@given(st.lists(calls_strategy, min_size=1, max_size=20))
def test_every_owner_of_a_cell_axis_value_sees_all_its_cells(calls) -> None:
    """Owners compare each cell with its own baseline, so a scope's sum is the sum of the cells beside it."""
    parts = Aggregator(("cost_center",), 8).rows(calls)

    for rows in parts:
        by_axis = {axis.axis: list(axis_rows(axis)) for axis in rows}
        for axis in (*CELL_AXES, GLOBAL):
            for value, pane, sums, *_ in by_axis.get(axis, ()):
                mine = [
                    np.array(r[2]) for r in by_axis[CELL]
                    if r[1] == pane and (axis == GLOBAL or parse_scope_key(r[0]).get(axis) == value)
                ]  # fmt: skip
                assert tuple(sum(mine)) == sums


@settings(max_examples=50, deadline=None)
@given(st.lists(calls_strategy, min_size=1, max_size=20))
def test_the_dearest_call_and_the_maxima_of_each_row(calls) -> None:
    rows = [
        (axis.axis, row)
        for part in Aggregator(("cost_center",), 4).rows(calls)
        for axis in part
        for row in axis_rows(axis)
    ]

    for axis, (value, pane, _, maxima, cost, dearest, cell) in rows:
        mine = [
            c
            for c in calls
            if (axis, value) in scopes_of(c, ("cost_center",)) and c.time_ms // 10_000 * 10 == pane
        ]
        best = max(mine, key=lambda c: c.cost_nanousd)
        assert (cost, dearest) == (best.cost_nanousd, best.id)
        assert maxima == (max(c.depth for c in mine), max(c.step for c in mine))
        if axis in ("user", "run_id", "cost_center"):
            of_value = [c for c in calls if (axis, value) in scopes_of(c, ("cost_center",))]
            dearest_of_value = max(of_value, key=lambda c: c.cost_nanousd)
            assert (CELL, cell) in scopes_of(dearest_of_value, ("cost_center",))
        else:
            assert cell == ""


def test_what_is_taken_out_is_negative_and_has_no_dearest_call() -> None:
    (rows,) = Aggregator((), 1).rows([make_call(depth=4)], [-1])

    value, _, sums, maxima, cost, dearest, _ = next(axis_rows(rows[0]))
    assert (value, sums[:2], maxima, cost, dearest) == ("acme", (-1, -1000), (0, 0), 0, "")


def test_no_calls_give_every_partition_an_empty_block() -> None:
    assert Aggregator((), 5).rows([]) == [()] * 5


def test_the_same_calls_give_the_same_bytes_from_a_fresh_aggregator() -> None:
    calls = [
        make_call(f"e{i}", tenant=f"t{i % 7}", user=f"u{i % 11}", time_ms=START_MS + i * 999)
        for i in range(500)
    ]
    warm = Aggregator((), 16)
    warm.rows(list(reversed(calls)))

    assert blocks_of(warm.rows(calls)) == blocks_of(Aggregator((), 16).rows(calls))


@pytest.mark.parametrize("partitions", [1, 32])
def test_ten_thousand_scopes_keep_every_nanodollar(partitions) -> None:
    calls = [make_call(f"e{i}", user=f"u{i}", cost_nanousd=10**12 + i) for i in range(10_000)]

    blocks = blocks_of(Aggregator((), partitions).rows(calls))

    assert sums_of(blocks) == expected_sums(calls)

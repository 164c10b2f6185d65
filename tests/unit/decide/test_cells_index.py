"""Which cells make up which scope, while cells come, go and pass their ids on."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import pytest
from hypothesis import given, settings, strategies as st
from tests.support.calls import BlockMaker, call

from tokenfuse.contracts.axes import CELL, CELL_AXES
from tokenfuse.contracts.block import DeltaBlock
from tokenfuse.contracts.scope import parse_scope_key, scope_key
from tokenfuse.decide import cells as cells_module
from tokenfuse.decide.cells import CellIndex
from tokenfuse.decide.members import JointMembers
from tokenfuse.windows.state import WindowState

DAY_S = 86_400
BLOCKS = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.lists(
            st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.sampled_from("mn")),
            min_size=1,
            max_size=5,
        ),
    ),
    max_size=8,
)


def made(drawn: list) -> Iterator[DeltaBlock]:
    """A call a cell, so many days after the block before."""
    maker, day = BlockMaker(), 0
    for days, cells in drawn:
        day += days
        calls = [
            call(n, day * DAY_S, tenant=t, feature=f, model=m, prompt_template=None)
            for n, (t, f, m) in enumerate(cells)
        ]
        yield maker.blocks(calls)[0]


@settings(max_examples=100, deadline=None)
@given(BLOCKS, st.sampled_from([3, 100]), st.sampled_from([-1000, 0, 1000]))
def test_the_index_is_what_the_cells_keys_say(blocks: list, scopes_max: int, stale_max: int) -> None:
    """After every block, with eviction and folding; pairs, groups and cells of a scope agree, also after it was thrown away."""
    state = WindowState(0, (), scopes_max)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells_module, "STALE_MAX", stale_max)
        check_blocks(state, blocks)


def check_blocks(state: WindowState, blocks: list) -> None:
    index = CellIndex(state)
    for block in made(blocks):
        state.apply(block.rows)
        check(state, index)
        state.expire(block.event_ms // 1000)
        check(state, index)


@settings(max_examples=50, deadline=None)
@given(BLOCKS, st.sampled_from([3, 100]))
def test_joint_scopes_are_what_the_cells_keys_say_and_a_restart_numbers_on_as_if_there_was_none(
    blocks: list, scopes_max: int
) -> None:
    state = WindowState(0, (), scopes_max)
    index = CellIndex(state)
    members = JointMembers("tenant+feature", index)
    for block in made(blocks):
        restarted = JointMembers("tenant+feature", CellIndex(state))
        restarted.load(deepcopy(members.dump()))
        state.apply(block.rows)
        state.expire(block.event_ms // 1000)
        of_cells = members.of_cells().tolist()
        tenants = state.tables["tenant"].scopes
        for key, number in zip(state.tables[CELL].scopes.values, of_cells, strict=True):
            scope = parse_scope_key(key) if key and "=" in key else {}
            is_known = "feature" in scope and tenants.id_of(scope.get("tenant", "")) is not None
            wanted = scope_key({axis: scope[axis] for axis in ("tenant", "feature")}) if is_known else None
            assert (members.value(number) if number >= 0 else None) == wanted
        assert restarted.of_cells().tolist() == of_cells
        assert restarted.dump() == members.dump()
        assert {v: members.number(v) for v in members.values if v} == {
            v: n for n, v in enumerate(members.values) if v
        }


def check(state: WindowState, index: CellIndex) -> None:
    keys = {i: key for i, key in enumerate(state.tables[CELL].scopes.values) if key and "=" in key}
    scopes = {i: parse_scope_key(key) for i, key in keys.items()}
    for axis in CELL_AXES:
        table = state.tables[axis]
        pairs = index.pairs(axis)
        found = {(int(s), int(c)) for s, c in zip(pairs.scope_of_cell, pairs.cell_index, strict=True)}
        expected = set()
        for value in filter(None, table.scopes.values):
            cells = [i for i, scope in scopes.items() if scope.get(axis) == value]
            assert index.of_scope(axis, value).tolist() == cells
            expected |= {(table.scopes.id_of(value), i) for i in cells}
            if axis == "tenant":
                both = [i for i in cells if scopes[i].get("feature") == "x"]
                key = scope_key({"tenant": value, "feature": "x"})
                assert index.of_scope("tenant+feature", key).tolist() == both
        assert found == expected
    ids = index.of_scope("global", "")
    assert ids.tolist() == [i for i, key in enumerate(state.tables[CELL].scopes.values) if key is not None]
    groups = index.groups_of(ids).tolist()
    kind = [{a: v for a, v in scopes.get(i, {}).items() if a != "model"} for i in ids.tolist()]
    for g, k in zip(groups, kind, strict=True):
        assert [g == other for other in groups] == [k == other for other in kind]


def test_axes_that_cells_do_not_have_have_no_cells() -> None:
    state = WindowState(0, (), 10)
    state.apply(BlockMaker().blocks([call(1, 0)])[0].rows)
    assert not len(CellIndex(state).of_scope("user", "ann"))


def test_groups_are_numbered_anew_from_those_that_were_learned_and_stay_while_cells_come() -> None:
    state, maker = WindowState(0, (), 100), BlockMaker()
    index = CellIndex(state)
    state.apply(maker.blocks([call(1, 0, tenant="a", model="m"), call(2, 0, tenant="b", model="m")])[0].rows)
    before = index.group_of_cell().tolist()
    state.apply(maker.blocks([call(3, 0, tenant="a", model="n")])[0].rows)
    grown = index.group_of_cell().tolist()
    assert sorted(before) == [0, 1]
    assert grown[:2] == before
    assert grown[2] in before
    index.relearn(list(reversed(index.groups)))
    assert index.group_of_cell().tolist() == [1 - group for group in grown]

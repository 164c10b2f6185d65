"""Checkpoint rows of the windows: what was written comes back, and only that."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings, strategies as st
from tests.support.calls import T0_MS, BlockMaker, call
from tests.unit.windows.window_rows import COST

from tokenfuse.contracts.axes import CELL, VALUE_CHARS_MAX
from tokenfuse.contracts.formats import UnknownFormatError
from tokenfuse.windows import codec
from tokenfuse.windows.codec import FORMAT, DamagedRowError, pack, unpack
from tokenfuse.windows.scopes import CHUNK, Scopes
from tokenfuse.windows.state import WindowState

T0_S = T0_MS // 1000


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["<i8", "<i4", "|b1", "<f8"]),
    st.integers(0, 5),
    st.integers(0, 5),
    st.lists(st.integers(-(2**62), 2**62), min_size=25, max_size=25),
    st.lists(st.none() | st.text(max_size=5), max_size=4),
)
def test_a_row_comes_back_as_it_was(
    dtype: str, n: int, m: int, numbers: list[int], names: list[str | None]
) -> None:
    """Empty arrays, numbers near the end of int64, names that are not ASCII."""
    array = np.array(numbers[: n * m], "<i8").astype(dtype).reshape(n, m)
    data = pack({"a": array, "flat": array.reshape(-1), "names": names, "n": numbers[0]})
    assert data == pack({"a": array, "flat": array.reshape(-1), "names": names, "n": numbers[0]})
    back = unpack(data)
    assert back["a"].dtype == array.dtype
    assert back["a"].shape == array.shape
    assert (back["a"] == array).all()
    assert (back["flat"] == array.reshape(-1)).all()
    assert (back["names"], back["n"]) == (names, numbers[0])


@pytest.mark.parametrize("version", [FORMAT + 1, 0])
def test_a_row_of_another_format_is_refused_with_both_versions(
    version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec, "FORMAT", version)
    row = pack({"a": 1})
    monkeypatch.undo()
    with pytest.raises(UnknownFormatError, match=rf"format {version}, this release reads 1 to {FORMAT}"):
        unpack(row)


def _zipped(data: object) -> bytes:
    return zstandard.ZstdCompressor().compress(msgspec.msgpack.encode(data))


@pytest.mark.parametrize(
    "row",
    [b"", b"junk", pack({"a": np.arange(50)})[:-9], _zipped(5), _zipped([FORMAT]), _zipped([FORMAT, 7])],
)
def test_a_damaged_row_is_refused(row: bytes) -> None:
    with pytest.raises(DamagedRowError, match="damaged checkpoint row"):
        unpack(row)


def state_with(further: tuple[str, ...] = (), calls: int = 30) -> tuple[WindowState, dict[str, bytes]]:
    """A state after some calls, and all its rows."""
    state = WindowState(0, further, 100)
    maker = BlockMaker(further=further)
    state.apply(
        maker.blocks(
            [call(n, -n * 3600, tenant=f"t{n % 7}", further=("blue",) * len(further)) for n in range(calls)]
        )[0].rows
    )
    state.expire(T0_S)
    return state, {name: state.snapshot(name) for name in state.changed_rows()}


def restored(rows: dict[str, bytes], further: tuple[str, ...] = (), expired_s: int = T0_S) -> WindowState:
    state = WindowState(0, further, 100)
    state.restore(rows, expired_s)
    return state


def test_a_restored_state_writes_the_same_rows_and_has_nothing_to_write() -> None:
    _, rows = state_with(("labels.a/b",))
    assert any(name.startswith("labels.a/b/1h/") for name in rows)
    again = restored(rows, ("labels.a/b",))
    assert again.changed_rows() == again.dropped_rows() == []
    assert {name: again.snapshot(name) for name in rows} == rows


def test_rows_of_an_axis_that_settings_no_longer_name_count_as_dropped() -> None:
    """The first checkpoint after a restart writes every row that is not: it would ask for one that nobody has."""
    _, rows = state_with(("team",))
    again = restored(rows)
    dropped = set(again.dropped_rows())
    assert dropped == {name for name in rows if name.startswith("team/")}
    for name in rows.keys() - dropped:
        again.snapshot(name)
    assert again.dropped_rows() == []


def test_a_row_that_had_expired_and_reappears_is_dropped_again() -> None:
    """A zombie's row of an old pane must not count twice: its money is in the totals and would be in a pane and late."""
    _, rows = state_with()
    later = T0_S + 15 * 86_400
    again = restored(rows, expired_s=later)
    hours = {name for name in rows if "/1h/" in name}
    assert hours
    assert set(again.dropped_rows()) >= hours
    assert not any("/1h/" in name for name, _ in again.tables["tenant"].named_panes())
    maker = BlockMaker()
    again.apply(maker.blocks([call(1, 0, tenant="t0")])[0].rows)
    scope = again.tables["tenant"].scopes.id_of("t0")
    assert again.tables["tenant"].late["1h"].column(np.array([scope], np.int32), COST).tolist() == [1_000_000]


def test_a_scope_whose_total_has_not_gone_out_survives_a_restore_however_old_its_call() -> None:
    """A call of 40 days ago makes a scope that is idle at once; it may go only after its total went."""
    state = WindowState(0, (), 100)
    maker = BlockMaker()
    state.apply(maker.blocks([call(1, 0)])[0].rows)
    state.take_rollups(1, totals_only=False)
    state.expire(T0_S)
    state.apply(maker.blocks([call(2, -40 * 86_400, tenant="late")])[0].rows)
    again = restored({name: state.snapshot(name) for name in state.changed_rows()})
    told = again.take_rollups(2, totals_only=False)
    assert [r.sums[COST] for r in told if (r.value, r.granularity) == ("late", "total")] == [1_000_000]
    assert told == state.take_rollups(2, totals_only=False)


def test_ids_given_after_a_restore_are_those_given_without_one() -> None:
    """Free ids, lowest first, also those within a chunk of which nothing is left."""
    state, _ = state_with(calls=14)
    state.expire(T0_S + 33 * 86_400)
    rows = {name: state.snapshot(name) for name in state.changed_rows()}
    again = restored(rows, expired_s=T0_S + 33 * 86_400)
    maker = BlockMaker()
    block = maker.blocks([call(n, 33 * 86_400, tenant=f"new{n}") for n in range(9)])[0]
    for each in (state, again):
        each.apply(block.rows)
    assert state.tables["tenant"].scopes.values == again.tables["tenant"].scopes.values


def test_a_row_of_scopes_with_the_longest_names_fits_into_a_message() -> None:
    """Names of the greatest length, of random characters of four bytes each."""
    random = np.random.default_rng(7)

    def name() -> str:
        return "".join(map(chr, random.integers(0x1F300, 0x1F600, VALUE_CHARS_MAX)))

    state = WindowState(0, (), 10_000)
    calls = [
        call(
            n, 0, id=name(), tenant=name(), feature=name(), model=name(), prompt_template=name(), user=name()
        )
        for n in range(CHUNK)
    ]
    state.apply(BlockMaker().blocks(calls)[0].rows)
    assert max(len(state.snapshot(row)) for row in state.changed_rows()) < 900_000


def test_the_cells_of_users_survive() -> None:
    state, rows = state_with()
    user = state.tables["user"].scopes
    again = restored(rows).tables["user"].scopes
    assert isinstance(again, Scopes)
    assert (again.cells, again.examples, again.values) == (user.cells, user.examples, user.values)
    assert user.cells[0] in state.tables[CELL].scopes.values


def test_rows_of_an_axis_that_settings_do_not_name_are_left_out_of_a_block_and_nothing_else_is() -> None:
    """Ingest may already have newer settings than the agents."""
    state, plain = WindowState(0, (), 100), WindowState(0, (), 100)
    touched = state.apply(BlockMaker(further=("team",)).blocks([call(1, 0, further=("blue",))])[0].rows)
    assert touched.keys() == plain.apply(BlockMaker().blocks([call(1, 0)])[0].rows).keys()
    assert "team" not in touched
    assert sorted(state.changed_rows()) == sorted(plain.changed_rows())

"""Delta blocks as bytes: exact in every format, and nothing but a clear error for what no release wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from tests.support.blocks import axis_rows
from tests.support.calls import BlockMaker, call

from tokenfuse.contracts.axes import CELL
from tokenfuse.contracts.block import FORMAT, DeltaBlock, WideBlock, decode_block, encode_block
from tokenfuse.contracts.formats import UnknownFormatError
from tokenfuse.contracts.measures import MAXIMA, MEASURES
from tokenfuse.contracts.packed import DamagedBlockError, JoinedTexts, PackedRows
from tokenfuse.ingest import cells
from tokenfuse.ingest.call import Call
from tokenfuse.ingest.packed import Narrow, type_of
from tokenfuse.windows import packed as reader
from tokenfuse.windows.packed import joined, unpacked
from tokenfuse.windows.rows import decode_rows

GOLDEN = Path(__file__).with_name("golden")
PARTITIONS = 2
REFUSALS = (UnknownFormatError, DamagedBlockError, msgspec.DecodeError)


def story() -> list[Call]:
    """Calls whose sums need every width, negative ones too; two thirds of them have a template."""
    return [
        call(
            n, 7 * n, tenant=f"t{n % 3}", user=None if n % 4 == 0 else f"u{n % 5}", run_id=f"r{n % 2}" if n % 3 else None,
            model=["gpt-4o", "o3-mini"][n % 2], prompt_template=[None, "greet", "é & ü"][n % 3],
            cost_nanousd=[0, 1_000_000, 5 * 10**12][n % 3], input_tokens=n * 1000, depth=n % 4, step=n % 6,
            off_book_nanousd=-n,
        )
        for n in range(24)
    ]  # fmt: skip


def blocks() -> list[DeltaBlock]:
    return BlockMaker(PARTITIONS).blocks(story())


def golden(format_: int, partition: int) -> bytes:
    return (GOLDEN / f"block-{format_}-{partition}.msgpack").read_bytes()


def read(data: bytes) -> list[Any]:
    """Everything that a block says."""
    block = decode_block(data)
    assert isinstance(block, DeltaBlock)
    clocks = (block.source, block.a, block.b, block.record_ms, block.event_ms, block.history)
    return [clocks, block.price_version, *((rows.axis, *axis_rows(rows)) for rows in block.rows)]


@pytest.mark.parametrize("partition", range(PARTITIONS))
def test_the_same_calls_give_the_bytes_that_this_format_always_had(partition: int) -> None:
    """Where this fails readers of the last release read wrongly: raise FORMAT, and keep the old bytes readable."""
    assert FORMAT == 3
    assert encode_block(blocks()[partition]) == golden(3, partition)


@pytest.mark.parametrize("partition", range(PARTITIONS))
def test_blocks_of_format_2_say_the_same_as_those_of_format_3(partition: int) -> None:
    assert isinstance(decode_block(golden(2, partition)), WideBlock)
    assert read(golden(2, partition)) == read(golden(3, partition))


@pytest.mark.parametrize("partition", range(PARTITIONS))
def test_blocks_of_format_1_say_the_same_but_for_what_it_did_not_count(partition: int) -> None:
    """It had two measures and one of the maxima less."""
    told, wanted = read(golden(1, partition)), read(golden(3, partition))
    without = [
        (axis, *((v, p, (*sums[:-2], 0, 0), (maxima[0], 0), *rest) for v, p, sums, maxima, *rest in rows))
        for axis, *rows in wanted[2:]
    ]
    assert told == [*wanted[:2], *without]


numbers = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-300, 300),
    st.sampled_from([0, 255, 256, 2**32, -(2**31), -1]),
)


@settings(max_examples=300, deadline=None)
@given(st.data(), st.integers(0, 6), st.integers(0, 5))
def test_any_columns_come_back_as_they_were(data: st.DataObject, rows: int, columns: int) -> None:
    count = columns + data.draw(st.integers(0, 4))
    places = sorted(data.draw(st.permutations(range(count)))[:columns])
    drawn = data.draw(
        st.lists(st.lists(numbers, min_size=rows, max_size=rows), min_size=columns, max_size=columns)
    )
    table = np.array(drawn, np.int64).reshape(columns, rows)

    back = unpacked(Narrow.of(table, places, count).part(0, rows), rows)

    wanted = np.zeros((rows, count), np.int64)
    wanted[:, places] = table.T
    assert (back == wanted).all()


@pytest.mark.parametrize(
    ("least", "most", "letter"),
    [
        (0, 0, "0"), (0, 1, "B"), (0, 255, "B"), (0, 256, "H"), (3, 65_535, "H"), (0, 65_536, "I"), (0, 2**32 - 1, "I"),
        (0, 2**32, "q"), (0, 2**63 - 1, "q"), (-1, 0, "b"), (-128, 127, "b"), (-1, 128, "h"), (-129, 0, "h"),
        (-(2**15), 2**15 - 1, "h"), (-1, 2**15, "i"), (-(2**31), 2**31 - 1, "i"), (-1, 2**31, "q"), (-(2**63), -1, "q"),
    ],
)  # fmt: skip
def test_a_column_is_as_narrow_as_its_numbers_allow(least: int, most: int, letter: str) -> None:
    assert type_of(least, most) == letter


def test_names_that_would_be_too_long_for_a_message_are_not_hidden_in_a_short_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The slice is cut smaller then, as it always was: agents hold what a block says."""
    (short, _), long_names = blocks(), [call(n, 0, tenant=f"t{n}", feature="f" * 200) for n in range(50)]
    monkeypatch.setattr(cells, "BLOCK_BYTES_MAX", 5000)
    monkeypatch.setattr(reader, "BLOCK_BYTES_MAX", 20_000)

    told = BlockMaker().blocks(long_names)[0]

    assert encode_block(BlockMaker(PARTITIONS).blocks(story())[0]) == encode_block(short)
    assert len(encode_block(told)) > 50 * 200
    assert {row[0] for rows in told.rows if rows.axis == CELL for row in axis_rows(rows)} == {
        f"feature={'f' * 200}&model=gpt-4o&prompt_template=greet&tenant=t{n}" for n in range(50)
    }


@pytest.mark.parametrize("format_", [1, 2, 3])
def test_a_block_that_was_cut_off_is_refused(format_: int) -> None:
    whole = golden(format_, 0)
    for end in [*range(200), *range(200, len(whole), 13)]:
        with pytest.raises(REFUSALS):
            read(whole[:end])


@settings(max_examples=1500, deadline=None)
@given(
    st.sampled_from([1, 2, 3]),
    st.lists(st.tuples(st.integers(0, 2**20), st.integers(1, 255)), min_size=1, max_size=4),
)
def test_a_damaged_block_is_read_or_refused_and_nothing_else(
    format_: int, flips: list[tuple[int, int]]
) -> None:
    data = bytearray(golden(format_, 1))
    for place, flip in flips:
        data[place % len(data)] ^= flip
    try:
        read(bytes(data))
    except (*REFUSALS, AssertionError):  # another kind of block is no delta block
        return


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.integers(1, 5000).map(lambda depth: b"\x91" * depth + b"\xc0"))
def test_bytes_of_anything_are_refused(data: bytes) -> None:
    with pytest.raises(REFUSALS):
        read(data)


def of_axis(axis: str) -> PackedRows:
    return next(rows for rows in BlockMaker().blocks(story())[0].rows if rows.axis == axis)


def changed(axis: str, **fields: Callable[[Any], Any]) -> PackedRows:
    rows = of_axis(axis)
    return msgspec.structs.replace(
        rows, **{name: change(getattr(rows, name)) for name, change in fields.items()}
    )


def columns(**fields: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda old: msgspec.structs.replace(
        old, **{n: change(getattr(old, n)) for n, change in fields.items()}
    )


def fewer(sizes: bytes) -> bytes:
    return (
        (np.frombuffer(sizes, "<u4") - np.array([1, *[0] * (len(sizes) // 4 - 1)], "<u4"))
        .astype("<u4")
        .tobytes()
    )


@pytest.mark.parametrize(
    "rows",
    [
        changed("tenant", columns=columns(data=lambda data: data[:-1])),
        changed("tenant", columns=columns(data=lambda data: data + b"\0")),
        changed("tenant", columns=columns(types=lambda types: "x" + types[1:])),
        changed("tenant", columns=columns(types=lambda types: types[:1])),
        changed("tenant", columns=columns(types=lambda types: types + "0" * 1000)),
        changed("tenant", measures=lambda _: -1),
        changed("tenant", measures=lambda _: len(MEASURES) + 1),
        changed("tenant", measures=lambda _: len(MEASURES) - len(MAXIMA)),
        changed("tenant", first_s=lambda _: 2**64 - 1),
        changed("tenant", first_s=lambda _: -(2**63)),
        changed("tenant", rows_of=fewer),
        changed("tenant", rows_of=lambda sizes: sizes[:-1]),
        changed("tenant", rows_of=lambda sizes: b"\xff" * len(sizes)),
        changed("tenant", rows_of=lambda _: b""),
        changed("tenant", values=lambda values: values[1:]),
        changed("tenant", dearest_id=lambda ids: (*ids, "more")),
        changed("user", cells=columns(places=lambda places: places[1:])),
        changed("user", cells=columns(places=lambda places: (places[0] + b"\0", *places[1:]))),
        changed("user", cells=columns(places=lambda places: (b"\xff" * len(places[0]), *places[1:]))),
        changed("user", cells=columns(words=lambda words: words[1:])),
        changed(CELL, cells=columns(words=lambda words: (), places=lambda places: ())),
        changed(CELL, cells=columns(words=lambda words: ((), *words[1:]))),
        changed(CELL, cells=lambda _: None),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_together_are_refused(rows: PackedRows) -> None:
    with pytest.raises(DamagedBlockError):
        decode_rows(rows)


@pytest.mark.parametrize("first_s", [0, -(2**40)])
def test_a_pane_of_no_time_is_refused(first_s: int) -> None:
    table = np.zeros((1, 1), np.int64) - 1
    narrow = Narrow.of(table, [0], 2 + len(MEASURES) + len(MAXIMA)).part(0, 1)
    with pytest.raises(DamagedBlockError, match="no time"):
        decode_rows(PackedRows("global", ("",), b"", first_s, len(MEASURES), narrow, ("id",)))


def test_a_short_block_cannot_say_names_without_end() -> None:
    """A thousand times the same megabyte would be a gigabyte in the reader's memory."""
    texts = JoinedTexts((("x" * 2**20,),), (bytes(1000),))
    with pytest.raises(DamagedBlockError, match="characters of names"):
        joined(texts, 1000)
    assert joined(JoinedTexts((("x" * 2**20, "y"),), (b"\0" + b"\1" * 999,)), 1000)[1:] == ("y",) * 999


@pytest.mark.parametrize(
    "field", ["scope", "pane_s", "sums", "maxima", "dearest_nanousd", "dearest_id", "cells"]
)
def test_wide_rows_that_do_not_fit_together_are_refused(field: str) -> None:
    block = decode_block(golden(2, 0))
    assert isinstance(block, WideBlock)
    rows = next(rows for rows in block.rows if rows.axis == "user")
    with pytest.raises(DamagedBlockError):
        decode_rows(msgspec.structs.replace(rows, **{field: getattr(rows, field)[:-1]}))


@pytest.mark.parametrize("scope", [-1, 2**31 - 1])
def test_a_wide_row_of_no_scope_is_refused(scope: int) -> None:
    """-1 would be counted in the last one."""
    block = decode_block(golden(2, 0))
    assert isinstance(block, WideBlock)
    rows = block.rows[0]
    wrong = np.frombuffer(rows.scope, "<i4").copy()
    wrong[0] = scope
    with pytest.raises(DamagedBlockError, match="no scope"):
        decode_rows(msgspec.structs.replace(rows, scope=wrong.tobytes()))


@pytest.mark.parametrize("format_", [1, 2, 3])
def test_a_block_of_a_newer_release_is_refused_by_name(format_: int) -> None:
    fields = msgspec.msgpack.decode(golden(format_, 0))
    fields[1] = FORMAT + 1
    with pytest.raises(
        UnknownFormatError, match=f"delta block of format {FORMAT + 1}, this release reads 1 to {FORMAT}"
    ):
        decode_block(msgspec.msgpack.encode(fields))

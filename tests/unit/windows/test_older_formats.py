"""Blocks and checkpoint rows of a release that had fewer measures: what it did not know of counts as zero."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from tests.support.calls import BlockMaker, call
from tests.support.wide_rows import wide

from tokenfuse.contracts.block import WideRows
from tokenfuse.contracts.measures import MAXIMA, MEASURES
from tokenfuse.contracts.rollup import Rollup
from tokenfuse.windows.codec import pack, unpack
from tokenfuse.windows.rows import decode_rows
from tokenfuse.windows.state import WindowState

OLDER_MEASURES, OLDER_MAXIMA = len(MEASURES) - 2, len(MAXIMA) - 1


def block_rows() -> tuple[WideRows, ...]:
    """As format 2 has them."""
    calls = [call(n, -n * 700, tenant=f"t{n % 7}", depth=n, step=n) for n in range(30)]
    return tuple(map(wide, BlockMaker().blocks(calls)[0].rows))


def narrowed(rows: WideRows) -> WideRows:
    """As an older release would have written them."""
    n = len(rows.scope) // 4
    return msgspec.structs.replace(
        rows, sums=rows.sums[: 8 * n * OLDER_MEASURES], maxima=rows.maxima[: 8 * n * OLDER_MAXIMA]
    )


def older_row(row: bytes) -> bytes:
    fields: dict[str, Any] = unpack(row)
    for name in {"rows", "totals"} & fields.keys():
        fields[name] = fields[name][:, :OLDER_MEASURES]
    if "maxima" in fields:
        fields["maxima"] = fields["maxima"][:, :OLDER_MAXIMA]
    return pack(fields)


def without_the_newest(rollups: list[Rollup]) -> list[Rollup]:
    return [msgspec.structs.replace(r, sums=(*r.sums[:OLDER_MEASURES], 0, 0)) for r in rollups]


def test_a_block_with_fewer_measures_counts_all_that_it_has() -> None:
    newer, older = WindowState(0, (), 100), WindowState(0, (), 100)
    newer.apply(block_rows())
    older.apply(tuple(map(narrowed, block_rows())))

    told = older.take_rollups(1, totals_only=False)
    assert told == without_the_newest(newer.take_rollups(1, totals_only=False))
    assert any(r.sums[OLDER_MEASURES - 1] for r in told)
    assert not older.tables["tenant"].scopes.maxima[:, OLDER_MAXIMA:].any()
    assert older.tables["tenant"].scopes.maxima.any()


def test_rows_with_fewer_measures_go_on_with_blocks_that_have_them_all() -> None:
    before, straight = WindowState(0, (), 100), WindowState(0, (), 100)
    before.apply(block_rows())
    rows = {name: older_row(before.snapshot(name)) for name in before.changed_rows()}
    restored = WindowState(0, (), 100)
    restored.restore(rows, before.expired_s)
    restored.apply(block_rows())

    straight.apply(tuple(map(narrowed, block_rows())))
    straight.apply(block_rows())

    assert restored.take_rollups(9, totals_only=False) == straight.take_rollups(9, totals_only=False)


def test_more_measures_than_this_release_has_are_not_cut_off_in_silence() -> None:
    rows = block_rows()[0]
    n = len(rows.scope) // 4

    with pytest.raises(ValueError, match="run the release that wrote them"):
        decode_rows(msgspec.structs.replace(rows, sums=rows.sums + np.zeros(n, "<i8").tobytes()))

"""Rows as formats 1 and 2 of delta blocks had them, which nobody writes any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenfuse.contracts.block import WideRows
from tokenfuse.windows.rows import decode_rows

if TYPE_CHECKING:
    from tokenfuse.contracts.block import AxisRows


def wide(packed: AxisRows) -> WideRows:
    """The same rows in format 2."""
    rows = decode_rows(packed)
    return WideRows(
        axis=packed.axis,
        values=rows.values,
        scope=rows.scope.astype("<i4").tobytes(),
        pane_s=rows.pane_s.astype("<i8").tobytes(),
        sums=rows.sums.T.astype("<i8").tobytes(),
        maxima=rows.maxima.T.astype("<i8").tobytes(),
        dearest_nanousd=rows.dearest_nanousd.astype("<i8").tobytes(),
        dearest_id=rows.dearest_id,
        cells=rows.cells,
    )

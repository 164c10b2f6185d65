"""Rows of delta blocks since format 3: what is repeated is said once, and each column is as narrow as its numbers allow.

Why, and what else was tried: docs/adr/0009. The numpy sides are `ingest.packed` and `windows.packed`.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

TYPES: Final = {"q": 8, "I": 4, "i": 4, "H": 2, "h": 2, "B": 1, "b": 1, "0": 0}
"""Bytes of a number by the letter of its column: those of Python's `struct`, little-endian, and `0`, a column of zeros."""


class DamagedBlockError(ValueError):
    """A delta block whose parts do not fit together: no release wrote it."""


class NarrowColumns(Struct, frozen=True, array_like=True):
    """int64[n, m], exactly.

    Attributes:
        types: m letters of TYPES.
        data: n rows of the same length; in a row the columns stand by type, in the order of TYPES, and then by number.
    """

    types: str
    data: bytes


class JoinedTexts(Struct, frozen=True, array_like=True):
    """k texts of which many share their parts: text i is one word of each list, joined.

    Attributes:
        words: j lists. The texts of a block are no longer than a message may be.
        places: of each list which word each text has: k numbers of 1, 2 or 4 bytes, unsigned, little-endian.
    """

    words: tuple[tuple[str, ...], ...]
    places: tuple[bytes, ...]


class PackedRows(Struct, frozen=True, array_like=True):
    """Rows of one axis, n of them, sorted by (scope, pane).

    Attributes:
        axis: a name of AXES, a further axis, `cell` or `global`.
        values: the distinct scope values, k of them, sorted; empty for `cell`, whose values are `cells`.
        rows_of: uint32[k], little-endian, how many rows each value has; empty where each has one.
        first_s: start of the slice's first pane, seconds since the epoch, UTC.
        measures: m, how many of MEASURES the writer's release had.
        columns: [n, 2 + m + x]: panes of 10 s since `first_s`; cost of the row's dearest call, nano-dollars; the first m
            of MEASURES; the first x of MAXIMA.
        dearest_id: n event ids, of the dearest call of each row.
        cells: k cell keys: the cell of each value's dearest call, for `user`, `run_id` and further axes, and for `cell`.
    """

    axis: str
    values: tuple[str, ...]
    rows_of: bytes
    first_s: int
    measures: int
    columns: NarrowColumns
    dearest_id: tuple[str, ...]
    cells: JoinedTexts | None = None

"""Columns of int64 as they go out in delta blocks: as narrow as their numbers allow, side by side in rows of bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tokenfuse.contracts.packed import TYPES, NarrowColumns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenfuse.ingest.columns import Ints

_UNSIGNED: Final = "0" + "B" * 8 + "H" * 8 + "I" * 16 + "q" * 31
_SIGNED: Final = "b" * 8 + "h" * 8 + "i" * 16 + "q" * 32
"""Narrowest type by the bits of a column's largest number; in signed ones by those of the number furthest from zero."""


class Narrow(NamedTuple):
    """n rows of m columns.

    Attributes:
        types: m letters.
        rows: uint8[n, bytes of a row].
    """

    types: str
    rows: NDArray[np.uint8]

    @classmethod
    def of(cls, columns: Ints, numbers: Sequence[int], count: int) -> Narrow:
        """Of some of `count` columns; the others are zeros.

        Args:
            columns: int64[c, n].
            numbers: which they are, rising.
        """
        types = ["0"] * count
        if columns.size:
            low, high = columns.min(axis=1).tolist(), columns.max(axis=1).tolist()
            for number, least, most in zip(numbers, low, high, strict=True):
                types[number] = type_of(least, most)
        rows = np.empty((columns.shape[1], sum(map(TYPES.__getitem__, types))), np.uint8)
        start = 0
        for letter, size in TYPES.items():
            places = [place for place, number in enumerate(numbers) if types[number] == letter]
            if size and places:
                end = start + size * len(places)
                rows[:, start:end].view(f"<{letter}")[:] = columns[places].T
                start = end
        return cls("".join(types), rows)

    def take(self, index: Ints) -> Narrow:
        """These rows, in this order; one may be taken more than once."""
        return Narrow(self.types, self.rows.take(index, axis=0))

    def part(self, first: int, end: int) -> NarrowColumns:
        """Rows [first, end) as they go out."""
        return NarrowColumns(self.types, self.rows[first:end].tobytes())


def type_of(least: int, most: int) -> str:
    """The narrowest type that holds these two and all between them.

    >>> type_of(0, 0), type_of(0, 255), type_of(-1, 255), type_of(0, 2**32)
    ('0', 'B', 'h', 'q')
    """
    if least >= 0:
        return _UNSIGNED[most.bit_length()]
    return _SIGNED[max(~least, most, 0).bit_length()]

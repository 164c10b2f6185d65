"""The cells of a slice: which one each call is in, and their keys in the order of the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tokenfuse.contracts.axes import CELL_AXES
from tokenfuse.contracts.scope import scope_key
from tokenfuse.ingest.columns import pack
from tokenfuse.ingest.names import REMEMBERED_CHARS_MAX, TABLE_ENTRIES_MAX
from tokenfuse.ingest.table import objects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenfuse.ingest.columns import Ints
    from tokenfuse.ingest.scopes import Seen
    from tokenfuse.ingest.table import Objects

# A key names its axes in the order of their names, so cells sorted by these axes' values are sorted by their keys.
_KEY_AXES = sorted(CELL_AXES)
_ROW = {axis: row for row, axis in enumerate(CELL_AXES)}


class KeyParts(dict[str, str]):
    """What a value of one axis adds to the key of a cell, remembered: with `&` where another axis follows."""

    def __init__(self, axis: str) -> None:
        super().__init__()
        self._axis, self._end = axis, "" if axis == _KEY_AXES[-1] else "&"

    def __missing__(self, value: str) -> str:
        part = scope_key({self._axis: value}) + self._end
        if len(value) <= REMEMBERED_CHARS_MAX:
            if len(self) >= TABLE_ENTRIES_MAX:
                self.clear()
            self[value] = part
        return part


class Cells(NamedTuple):
    """k cells of n calls, sorted by key.

    Attributes:
        of_call: int64[n].
        axes: int64[len(CELL_AXES), k], number of each cell's value.
        keys: object[k].
    """

    of_call: Ints
    axes: Ints
    keys: Objects

    @classmethod
    def of(cls, axes: Ints, seen: Mapping[str, Seen], key_parts: Mapping[str, KeyParts]) -> Cells:
        """Of the calls' values.

        Args:
            axes: int64[a, n], the cell axes first.
            seen: by axis.
            key_parts: by cell axis.

        Parts end in `&`, which no quoted value holds, so keys compare as their parts do, one after the other. A call
        without a template comes after those with one: `tenant=` stands in its place.
        """
        parts, ranks = {}, []
        for axis in _KEY_AXES:
            row = _ROW[axis]
            texts = [key_parts[axis][value] for value in seen[axis].values]
            parts[axis] = objects([*texts, ""])  # place -1 is the last
            rank = np.full(len(texts) + 1, len(texts))
            rank[sorted(range(len(texts)), key=texts.__getitem__)] = np.arange(len(texts))
            ranks.append(rank[seen[axis].place[axes[row]]])
        _, first, of_call = np.unique(pack(ranks), return_index=True, return_inverse=True)
        of_cell = axes[: len(CELL_AXES), first]
        words = [parts[axis][seen[axis].place[of_cell[_ROW[axis]]]].tolist() for axis in _KEY_AXES]
        keys = list(map("".join, zip(*words, strict=True)))
        return cls(of_call.astype(np.int64, copy=False), of_cell, objects(keys))

    def owners(self, seen: Mapping[str, Seen], everything: int) -> Ints:
        """int64[a, k]: the output partitions that own a scope of each cell; one may stand there more than once."""
        found = [np.full(len(self.keys), everything)]
        for numbers, axis in zip(self.axes, CELL_AXES, strict=True):
            owners = np.append(seen[axis].owners, everything)  # place -1, no value, adds nobody
            found.append(owners[seen[axis].place[numbers]])
        return np.stack(found)

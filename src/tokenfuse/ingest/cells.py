"""The cells of a slice: which one each call is in, and their keys in the order of the wire."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tokenfuse.contracts.axes import CELL_AXES
from tokenfuse.contracts.packed import JoinedTexts
from tokenfuse.contracts.scope import scope_key
from tokenfuse.contracts.topics import BLOCK_BYTES_MAX
from tokenfuse.ingest.columns import pack
from tokenfuse.ingest.names import REMEMBERED_CHARS_MAX, TABLE_ENTRIES_MAX
from tokenfuse.ingest.table import objects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
        words: of each axis in the order of keys, what its values add to a key: object[w]; the last one is of no value.
        places: int64[len(CELL_AXES), k], which of the words each cell has.
        chars: int64[k], length of each key.
    """

    of_call: Ints
    axes: Ints
    words: tuple[Objects, ...]
    places: Ints
    chars: Ints

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
        words, ranks = [], []
        for axis in _KEY_AXES:
            row = _ROW[axis]
            texts = [key_parts[axis][value] for value in seen[axis].values]
            words.append(objects([*texts, ""]))  # place -1 is the last
            rank = np.full(len(texts) + 1, len(texts))
            rank[sorted(range(len(texts)), key=texts.__getitem__)] = np.arange(len(texts))
            ranks.append(rank[seen[axis].place[axes[row]]])
        _, first, of_call = np.unique(pack(ranks), return_index=True, return_inverse=True)
        of_cell = axes[: len(CELL_AXES), first]
        places = [seen[axis].place[of_cell[_ROW[axis]]] for axis in _KEY_AXES]
        places = [
            np.where(place < 0, len(texts) - 1, place) for place, texts in zip(places, words, strict=True)
        ]
        chars = sum(
            np.array([len(text) for text in texts.tolist()])[place]
            for place, texts in zip(places, words, strict=True)
        )
        return cls(of_call.astype(np.int64, copy=False), of_cell, tuple(words), np.stack(places), chars)

    def joined(self, cells: Ints, starts: Sequence[int]) -> list[JoinedTexts]:
        """The keys of some cells, in parts that each say only the words that they need.

        Args:
            cells: int64[p], the cells of all parts.
            starts: where each part begins; rising.
        """
        ends = [*starts[1:], len(cells)]
        part = np.repeat(np.arange(len(starts)), np.subtract(ends, starts))
        words, places = [], []
        for known, place in zip(self.words, self.places[:, cells], strict=True):
            needed = np.zeros((len(starts), len(known)), bool)
            needed[part, place] = True
            words.append(_by_part(known, needed))
            places.append(_narrowest((np.cumsum(needed, axis=1, dtype=np.int32) - 1)[part, place]))
        is_long = (np.add.reduceat(self.chars[cells], starts) > BLOCK_BYTES_MAX).tolist()
        texts = zip(zip(*words, strict=True), starts, ends, is_long, strict=True)
        return [
            self._whole(cells[first:end]) if long
            else JoinedTexts(lists, tuple([place[first:end].tobytes() for place in places]))
            for lists, first, end, long in texts
        ]  # fmt: skip

    def _whole(self, cells: Ints) -> JoinedTexts:
        """Without sharing words: what would be longer than a message once it is read must not fit into one."""
        words = [
            known[place].tolist() for known, place in zip(self.words, self.places[:, cells], strict=True)
        ]
        keys = tuple(map("".join, zip(*words, strict=True)))
        return JoinedTexts((keys,), (_narrowest(np.arange(len(cells))).tobytes(),))

    def owners(self, seen: Mapping[str, Seen], everything: int) -> Ints:
        """int64[a, k]: the output partitions that own a scope of each cell; one may stand there more than once."""
        found = [np.full(self.axes.shape[1], everything)]
        for numbers, axis in zip(self.axes, CELL_AXES, strict=True):
            owners = np.append(seen[axis].owners, everything)  # place -1, no value, adds nobody
            found.append(owners[seen[axis].place[numbers]])
        return np.stack(found)


def _by_part(words: Objects, needed: NDArray[np.bool_]) -> list[tuple[str, ...]]:
    """The words that each part needs: bool[parts, words]."""
    texts = words[np.nonzero(needed)[1]].tolist()
    ends = np.cumsum(needed.sum(axis=1)).tolist()
    return [tuple(texts[first:end]) for first, end in pairwise([0, *ends])]


def _narrowest(places: NDArray[np.integer]) -> NDArray[np.unsignedinteger]:
    most = int(places.max())
    return places.astype("<u1" if most < 1 << 8 else "<u2" if most < 1 << 16 else "<u4")

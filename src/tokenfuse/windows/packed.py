"""Narrow columns and joined texts of delta blocks read back, every bound checked."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from tokenfuse.contracts.packed import TYPES, DamagedBlockError, JoinedTexts, NarrowColumns
from tokenfuse.contracts.topics import BLOCK_BYTES_MAX
from tokenfuse.windows.narrow import Slots, Sums

_UNSIGNED: Final = {1: "B", 2: "H", 4: "I"}


FEW_ROWS: Final = 8
"""So many are read byte by byte: three operations, where there would be two for each width."""


class _Layout(NamedTuple):
    """Where the columns stand in a row.

    Attributes:
        width: bytes of a row.
        groups: (type, first byte, byte behind, numbers of the columns) of each type.
        bytes_of: [8 * m], of each byte of the numbers which byte of the row it is, if any.
        masks: int64[m], which bytes of each number are in the row.
        is_unsigned: no number can be negative but for those of 8 bytes.
    """

    width: int
    groups: tuple[tuple[str, int, int, Slots], ...]
    bytes_of: Slots
    masks: Sums
    is_unsigned: bool


def unpacked(columns: NarrowColumns, count: int) -> Sums:
    """The numbers, int64[count, m].

    Raises:
        DamagedBlockError: not so many rows, or no such type.
    """
    layout = _layout(columns.types)
    if len(columns.data) != count * layout.width:
        msg = f"damaged delta block: {len(columns.data)} bytes, not {count} rows of {layout.width}"
        raise DamagedBlockError(msg)
    raw = np.frombuffer(columns.data, np.uint8).reshape(count, layout.width)
    if count <= FEW_ROWS and layout.is_unsigned and layout.width:
        few: Sums = raw.take(layout.bytes_of, axis=1).view("<i8") & layout.masks
        return few
    out = np.zeros((count, len(columns.types)), np.int64)
    for dtype, start, end, numbers in layout.groups:
        out[:, numbers] = raw[:, start:end].view(dtype)
    return out


def joined(texts: JoinedTexts, count: int) -> tuple[str, ...]:
    """The texts, `count` of them. No numpy: most parts hold few.

    Raises:
        DamagedBlockError: not so many, words that are not there, or longer than any release writes.
    """
    if count * sum(max(map(len, words), default=0) for words in texts.words) > BLOCK_BYTES_MAX:
        _check_chars(texts, count)
    try:
        lists = [
            map(words.__getitem__, _numbers(places, count))
            for words, places in zip(texts.words, texts.places, strict=True)
        ]
        found = tuple(map("".join, zip(*lists, strict=True)))
    except (IndexError, ValueError) as error:
        msg = f"damaged delta block: {error}"
        raise DamagedBlockError(msg) from error
    if len(found) != count:
        raise DamagedBlockError("damaged delta block: texts of no words")
    return found


def _check_chars(texts: JoinedTexts, count: int) -> None:
    chars = 0
    for words, places in zip(texts.words, texts.places, strict=False):
        numbers = np.array(list(_numbers(places, count)), np.int64)
        if numbers.max() >= len(words):
            raise DamagedBlockError("damaged delta block: a name has a word that is not there")
        chars += int(np.array([len(word) for word in words], np.int64)[numbers].sum())
    if chars > BLOCK_BYTES_MAX:
        msg = f"damaged delta block: {chars} characters of names"
        raise DamagedBlockError(msg)


def _numbers(places: bytes, count: int) -> Sequence[int]:
    """Numbers of as many bytes each as the length says."""
    size = len(places) // count if count else 1
    if len(places) != size * count or size not in _UNSIGNED:
        msg = f"damaged delta block: {len(places)} bytes for {count} numbers"
        raise DamagedBlockError(msg)
    return places if size == 1 else struct.unpack(f"<{count}{_UNSIGNED[size]}", places)


@lru_cache(maxsize=4096)
def _layout(types: str) -> _Layout:
    """Ingest chooses types by the slice, so a handful comes again and again."""
    if set(types) - TYPES.keys():
        raise DamagedBlockError("damaged delta block: a column of no known type")
    start, groups = 0, []
    bytes_of, masks = np.zeros((len(types), 8), np.intp), np.zeros((len(types), 8), np.uint8)
    for letter, size in TYPES.items():
        numbers = np.array([number for number, found in enumerate(types) if found == letter], np.intp)
        if size and len(numbers):
            end = start + size * len(numbers)
            groups.append((f"<{letter}", start, end, numbers))
            bytes_of[numbers, :size] = np.arange(start, end).reshape(len(numbers), size)
            masks[numbers, :size] = 255
            start = end
    is_unsigned = not set(types) & {"b", "h", "i"}
    return _Layout(start, tuple(groups), bytes_of.ravel(), masks.view("<i8").ravel(), is_unsigned)

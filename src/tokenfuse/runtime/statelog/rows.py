"""Keys and values of the changelog: rows in two slots, and the head that says which checkpoint is whole.

Row: key `partition|incarnation|slot|name`, value format, offset, bytes. Head: key `partition|incarnation|head`. An
incarnation is one take-over of one partition by one process, so every key has exactly one writer of values, and an old
owner that wakes up cannot bury what the new one wrote.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Struct

from tokenfuse.contracts.formats import Readable
from tokenfuse.contracts.topics import BLOCK_BYTES_MAX

FORMAT: Final = 1
ROW_BYTES_MAX: Final = BLOCK_BYTES_MAX - 4096
"""Room for the key and the batch around it."""

SLOTS: Final = (0, 1)
_HEAD: Final = "head"
_readable: Final = Readable("checkpoint", 1, FORMAT)
_PREFIX: Final = struct.Struct(">Bq")
_DIGEST_BITS: Final = 64


class Head(Struct, frozen=True, array_like=True):
    """The end of a checkpoint: written when all its rows are durable.

    Attributes:
        offset: input offset up to which the state goes.
        rows: how many rows the state has.
        digest: sum of `row_digest` of them all, modulo 2**64: a checkpoint with a row missing is not taken.
        dropped: rows that ended with this checkpoint; their tombstones may not have been written.
        core: what `PartitionCore.head` said.
    """

    format: int
    offset: int
    rows: int
    digest: int
    dropped: tuple[str, ...]
    core: bytes


@dataclass(frozen=True, slots=True)
class Key:
    """A key, read back. `slot` and `name` are None for a head."""

    partition: int
    incarnation: str
    slot: int | None
    name: str | None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Head)


def row_key(partition: int, incarnation: str, slot: int, name: str) -> bytes:
    """Key of one version of a row."""
    return f"{partition}|{incarnation}|{slot}|{name}".encode()


def head_key(partition: int, incarnation: str) -> bytes:
    """Key of the head."""
    return f"{partition}|{incarnation}|{_HEAD}".encode()


def parse_key(key: bytes) -> Key:
    """Inverse of `row_key` and `head_key`.

    Raises:
        ValueError: not such a key.
    """
    match key.decode().split("|", 3):
        case [partition, incarnation, "head"]:
            return Key(int(partition), incarnation, None, None)
        case [partition, incarnation, "0" | "1" as slot, name]:
            return Key(int(partition), incarnation, int(slot), name)
    msg = f"not a checkpoint key: {key!r}"
    raise ValueError(msg)


def encode_row(offset: int, body: bytes) -> bytes:
    """Value of a row as it stands at an input offset."""
    return _PREFIX.pack(FORMAT, offset) + body


def row_offset(value: bytes) -> int:
    """Input offset of a row.

    Raises:
        UnknownFormatError: written by a release that this one cannot read.
    """
    format_, offset = _PREFIX.unpack_from(value)
    _readable.check(format_)
    return int(offset)


def row_body(value: bytes) -> bytes:
    """The core's bytes in a row."""
    return value[_PREFIX.size :]


def encode_head(head: Head) -> bytes:
    """Value of a head."""
    return _encoder.encode(head)


def decode_head(value: bytes) -> Head:
    """Inverse of `encode_head`.

    Raises:
        UnknownFormatError: written by a release that this one cannot read.
        msgspec.DecodeError: not a head.
    """
    try:
        head = _decoder.decode(value)
    except msgspec.ValidationError as error:
        raise _readable.refuse(value, 0, error) from error
    _readable.check(head.format)
    return head


def row_digest(name: str, offset: int) -> int:
    """64 bits that stand for one version of one row; sums of them stand for a set of rows."""
    return int.from_bytes(
        hashlib.blake2b(f"{offset}|{name}".encode(), digest_size=_DIGEST_BITS // 8).digest(), "big"
    )


def add_digests(total: int, change: int) -> int:
    """Sum (or, with a negative change, difference) of digests."""
    return (total + change) % (1 << _DIGEST_BITS)

"""Unfolds a compressed record batch up to a bound: four megabytes on the wire can be gigabytes in memory."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from typing import Final

import zstandard
from aiokafka.record.default_records import DefaultRecordBatch

from tokenfuse.runtime.ingest.errors import CodecMissingError

UNFOLDED_BYTES_MAX: Final = 64 * 1024 * 1024
"""16 times what the source topic takes in one batch. Events compress 5 to 15 times."""

NAMES: Final = {
    DefaultRecordBatch.CODEC_GZIP: "gzip",
    DefaultRecordBatch.CODEC_SNAPPY: "snappy",
    DefaultRecordBatch.CODEC_LZ4: "lz4",
    DefaultRecordBatch.CODEC_ZSTD: "zstd",
}
_XERIAL: Final = b"\x82SNAPPY\0"
_XERIAL_HEADER_BYTES: Final = 16
_LZ4_MAGIC: Final = b"\x04\x22\x4d\x18"
_LZ4_RATIO_MAX: Final = 255


class UnfoldsTooLargeError(ValueError):
    """The batch unfolds to more than UNFOLDED_BYTES_MAX."""


class UnfoldError(ValueError):
    """The batch is not what its codec says."""


def unfold(codec: int, data: bytes) -> bytes:
    """The records of a compressed batch.

    Args:
        codec: as in the batch's attributes.
        data: what follows the batch's header.

    Raises:
        UnfoldsTooLargeError: see there; at most one byte more than the bound was unfolded.
        UnfoldError: see there.
        CodecMissingError: for snappy and lz4, where `cramjam` is not installed.
    """
    try:
        unfolded = _unfold(NAMES.get(codec, str(codec)), data)
    except (zlib.error, EOFError, OSError, zstandard.ZstdError, IndexError, struct.error) as error:
        raise UnfoldError(f"{NAMES.get(codec, codec)}: {error}") from error
    if len(unfolded) > UNFOLDED_BYTES_MAX:
        raise UnfoldsTooLargeError
    return unfolded


def _unfold(name: str, data: bytes) -> bytes:
    if name == "gzip":
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as reader:
            return reader.read(UNFOLDED_BYTES_MAX + 1)
    if name == "zstd":
        window = zstandard.ZstdDecompressor(max_window_size=UNFOLDED_BYTES_MAX)
        with window.stream_reader(data, read_across_frames=True) as stream:
            return stream.read(UNFOLDED_BYTES_MAX + 1)
    if name in {"snappy", "lz4"}:
        # These two are unfolded whole, so their size is read from the stream before.
        size = snappy_size(data) if name == "snappy" else lz4_size_max(data)
        if size > UNFOLDED_BYTES_MAX:
            raise UnfoldsTooLargeError
        return _by_library(name, data)
    raise UnfoldError(f"codec {name} is not known")


def _by_library(name: str, data: bytes) -> bytes:
    from aiokafka import codec

    try:
        return bytes(codec.snappy_decode(data) if name == "snappy" else codec.lz4_decode(data))
    except NotImplementedError as error:
        raise CodecMissingError(name) from error
    except Exception as error:  # the library's own classes are not there where it is not installed
        raise UnfoldError(f"{name}: {error}") from error


def snappy_size(data: bytes) -> int:
    """Unfolded size of a raw snappy block, or of the stream of blocks that Kafka's Java clients write.

    Source: https://github.com/google/snappy/blob/main/format_description.txt, and xerial's SnappyOutputStream.
    """
    if not data.startswith(_XERIAL):
        return _varint(data, 0)
    total, at = 0, _XERIAL_HEADER_BYTES
    while at < len(data):
        (length,) = struct.unpack_from(">i", data, at)
        if length <= 0:
            raise UnfoldError("snappy: a block without bytes")
        total += _varint(data, at + 4)
        at += 4 + length
    return total


def lz4_size_max(data: bytes) -> int:
    """The most that an lz4 frame can unfold to, by its blocks: too high by less than one block where it is not small.

    Source: https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md
    """
    if not data.startswith(_LZ4_MAGIC):
        raise UnfoldError("lz4: not a frame")
    flags, block_code = data[4], data[5] >> 4 & 7
    block_bytes_max = 1 << (8 + 2 * block_code)
    at = 7 + (8 if flags & 0x08 else 0) + (4 if flags & 0x01 else 0)
    total = 0
    while at < len(data):
        (word,) = struct.unpack_from("<I", data, at)
        length = word & 0x7FFF_FFFF
        if length == 0:
            break
        total += length if word >> 31 else min(block_bytes_max, length * _LZ4_RATIO_MAX)
        at += 4 + length + (4 if flags & 0x10 else 0)
    return total


def _varint(data: bytes, at: int) -> int:
    """An unsigned number of 7 bits a byte, the lowest first."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
        at, shift = at + 1, shift + 7

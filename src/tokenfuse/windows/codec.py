"""Checkpoint rows: one part of a table as compressed bytes, with the format's version in front."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import zstandard

FORMAT: Final = 1
"""Version of every checkpoint row; a newer release reads older ones, an older one refuses newer ones."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, Any]).decode


class RowFormatError(ValueError):
    """A checkpoint row of a newer release, or not a row at all."""


def pack(fields: dict[str, Any]) -> bytes:
    """Plain data and arrays to bytes; the same fields give the same bytes."""
    plain = {name: _plain(value) for name, value in fields.items()}
    return zstandard.ZstdCompressor(level=1).compress(_encode([FORMAT, plain]))


def unpack(data: bytes) -> dict[str, Any]:
    """Inverse of `pack`.

    Raises:
        RowFormatError: written by a newer release, or damaged.
    """
    try:
        version, plain = _decode(zstandard.ZstdDecompressor().decompress(data))
    except (zstandard.ZstdError, msgspec.DecodeError) as error:
        msg = f"damaged checkpoint row: {error}"
        raise RowFormatError(msg) from error
    if version != FORMAT:
        remedy = "upgrade this worker" if version > FORMAT else "start the release that wrote it once more"
        msg = f"checkpoint row of format {version}, this release reads {FORMAT}: {remedy}"
        raise RowFormatError(msg)
    if not isinstance(plain, dict):
        msg = "damaged checkpoint row: no fields"
        raise RowFormatError(msg)
    return {name: _array(value) for name, value in plain.items()}


def _plain(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    columns = np.ascontiguousarray(
        value.T
    )  # like numbers beside like numbers: it compresses four times better
    return {"dtype": value.dtype.str, "shape": list(value.shape), "data": columns.tobytes()}


def _array(value: Any) -> Any:
    if not (isinstance(value, dict) and "dtype" in value):
        return value
    columns = np.frombuffer(value["data"], value["dtype"]).reshape(value["shape"][::-1])
    return np.ascontiguousarray(columns.T)

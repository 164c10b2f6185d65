"""Checkpoint rows: one part of a table as compressed bytes, with the format's version in front."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import zstandard

from tokenfuse.contracts.formats import Readable

FORMAT: Final = 1
"""Version of every checkpoint row: grows when measures are appended, and with any other change of a row's fields."""

_readable: Final = Readable("checkpoint row", 1, FORMAT)

Columns = npt.NDArray[np.int64]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, Any]).decode


class DamagedRowError(ValueError):
    """Not a checkpoint row."""


def pack(fields: dict[str, Any]) -> bytes:
    """Plain data and arrays to bytes; the same fields give the same bytes."""
    plain = {name: _plain(value) for name, value in fields.items()}
    return zstandard.ZstdCompressor(level=1).compress(_encode([FORMAT, plain]))


def unpack(data: bytes) -> dict[str, Any]:
    """Inverse of `pack`.

    Raises:
        UnknownFormatError: written by a release that this one cannot read.
        DamagedRowError: written by none.
    """
    try:
        version, plain = _decode(zstandard.ZstdDecompressor().decompress(data))
    except (zstandard.ZstdError, msgspec.DecodeError) as error:
        msg = f"damaged checkpoint row: {error}"
        raise DamagedRowError(msg) from error
    _readable.check(version)
    if not isinstance(plain, dict):
        msg = "damaged checkpoint row: no fields"
        raise DamagedRowError(msg)
    return {name: _array(value) for name, value in plain.items()}


def widened(columns: Columns, width: int) -> Columns:
    """Sums of an older release, [n, m], as [n, width]: it had the first m measures, and counted none of the others.

    Raises:
        ValueError: more measures than this release has, which its format should have said.
    """
    missing = width - columns.shape[1]
    if not missing:
        return columns
    if missing < 0:
        msg = f"{columns.shape[1]} measures, this release has {width}: run the release that wrote them"
        raise ValueError(msg)
    return np.pad(columns, ((0, 0), (0, missing)))


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

"""Checkpoint rows: one part of a table as compressed bytes, with the format's version in front."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import zstandard

from tokenfuse.contracts.formats import Readable
from tokenfuse.windows.narrow import DTYPES, Sums, widths_of

FORMAT: Final = 2
"""Version of every checkpoint row: grows when measures are appended, and with any other change of a row's fields.

1: every array whole. 2: tables of int64 with each column as narrow as its numbers allow; calendar periods keep calls and
cost only; `standings` and `baseline/...` come in pieces (`standings.0`).
"""

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
    if value.ndim == 2 and value.dtype == np.int64:
        return _narrow(value)
    columns = np.ascontiguousarray(
        value.T
    )  # like numbers beside like numbers: it compresses four times better
    return {"dtype": value.dtype.str, "shape": list(value.shape), "data": columns.tobytes()}


def _narrow(value: Sums) -> dict[str, Any]:
    """Column after column, each in its own width."""
    widths = widths_of(value, 1).tolist()
    data = b"".join(
        value[:, column].astype(DTYPES[width]).tobytes() for column, width in enumerate(widths) if width
    )
    return {"narrow": bytes(widths), "rows": len(value), "data": data}


def _array(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "narrow" in value:
        return _wide(value)
    if "dtype" not in value:
        return value
    columns = np.frombuffer(value["data"], value["dtype"]).reshape(value["shape"][::-1])
    return np.ascontiguousarray(columns.T)


def _wide(value: dict[str, Any]) -> Sums:
    out = np.zeros((value["rows"], len(value["narrow"])), np.int64)
    start = 0
    for column, width in enumerate(value["narrow"]):
        if width:
            out[:, column] = np.frombuffer(value["data"], DTYPES[width], value["rows"], start)
            start += width * value["rows"]
    return out

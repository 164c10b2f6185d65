"""Messages on `tokenfuse.ids`: what a slice adds to the de-duplication index of its source partition.

They rebuild the index after a take-over in seconds, where decoding the events again would take minutes
(DESIGN section 4).
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from tokenfuse.contracts.formats import Readable

IDS_FORMAT: Final = 1
GENERATION_MS: Final = 60_000
"""Ids are remembered and forgotten by the minute of the record clock."""


class SliceIds(Struct, frozen=True, array_like=True, tag="ids"):
    """The ids that one slice [a, b) counted, n of them, in source order; arrays are little-endian bytes.

    Attributes:
        record_ms, event_ms: the clocks at b, as in the slice's delta blocks.
        generations: (minute of the record clock, how many of the ids fall into it), rising.
        hashes: 16 bytes an id, BLAKE2b.
        offsets: uint32[n], source offset less `a`.
        revisions: int32[n].
        costs: int64[n], what was counted for the id in nano-dollars; ~cost where the call was unpriced. A correction
            takes exactly this out again, whatever price book is loaded by then.
    """

    format: int
    source: int
    a: int
    b: int
    record_ms: int
    event_ms: int
    generations: tuple[tuple[int, int], ...]
    hashes: bytes
    offsets: bytes
    revisions: bytes
    costs: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(SliceIds)
_readable: Final = Readable("ids of a slice", 1, IDS_FORMAT)
_FORMAT_PLACE: Final = 1  # behind the tag


def encode_ids(ids: SliceIds) -> bytes:
    """Bytes of one message on `tokenfuse.ids`."""
    return _encoder.encode(ids)


def decode_ids(data: bytes) -> SliceIds:
    """Inverse of `encode_ids`.

    Raises:
        UnknownFormatError: written by a release that this one cannot read.
        msgspec.DecodeError: not a message of `tokenfuse.ids`.
    """
    try:
        ids = _decoder.decode(data)
    except msgspec.ValidationError as error:
        raise _readable.refuse(data, _FORMAT_PLACE, error) from error
    _readable.check(ids.format)
    return ids

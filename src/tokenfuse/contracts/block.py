"""Blocks on `tokenfuse.deltas`: everything that changes the agents' state, in the order of the log.

A delta block is the part of one source slice [a, b) that one output partition owns, as columns. The same slice
always gives the same bytes (DESIGN section 4), so a reader drops what it has passed already.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from tokenfuse.contracts.formats import Readable
from tokenfuse.contracts.packed import PackedRows

FORMAT: Final = 3
"""Of delta blocks: grows when measures are appended, since an older agent would drop them. 3: rows are packed."""

TICK_FORMAT: Final = 1
CONTROL_FORMAT: Final = 1
"""Have numbers of their own: a decider that is upgraded before ingest must not stop the agents."""

PANE_SECONDS: Final = 10
"""Finest pane; every other pane is a sum of these."""


class WideRows(Struct, frozen=True, array_like=True):
    """Rows of one axis in formats 1 and 2, n of them, sorted by (scope, pane); arrays are little-endian bytes.

    Attributes:
        axis: a name of AXES, a further axis, `cell` or `global`.
        values: the distinct scope values, k of them, sorted.
        scope: int32[n], index into values.
        pane_s: int64[n], start of the 10 s pane, seconds since the epoch, UTC.
        sums: int64[m, n], the first m of MEASURES: as many as the writer's release had.
        maxima: int64[m, n], of MAXIMA alike.
        dearest_nanousd: int64[n], cost of the dearest call of the row.
        dearest_id: n event ids.
        cells: k cell keys, the cell of each value's dearest call, for `user`, `run_id` and further axes; else empty.
    """

    axis: str
    values: tuple[str, ...]
    scope: bytes
    pane_s: bytes
    sums: bytes
    maxima: bytes
    dearest_nanousd: bytes
    dearest_id: tuple[str, ...]
    cells: tuple[str, ...] = ()


class DeltaBlock(Struct, frozen=True, array_like=True, tag="packed"):
    """What one slice [a, b) of one source partition adds to the scopes of one output partition.

    Written for every slice and every output partition, also when `rows` is empty: readers check contiguity.

    Attributes:
        source: source partition.
        a, b: source offsets, half open.
        record_ms: running maximum of the record timestamps up to b (the record clock).
        event_ms: running maximum of the event times up to b.
        history: the slice teaches baselines and raises no alert (`publish --history`).
        price_version: the price book by which the slice was priced.
    """

    format: int
    source: int
    a: int
    b: int
    record_ms: int
    event_ms: int
    history: bool
    price_version: str
    rows: tuple[PackedRows, ...]


class WideBlock(DeltaBlock, frozen=True, array_like=True, tag="delta"):
    """A delta block of formats 1 and 2, which are read and no longer written."""

    rows: tuple[WideRows, ...]  # type: ignore[assignment] # readers ask `windows.rows.decode_rows`, which takes both


class Tick(Struct, frozen=True, array_like=True, tag="tick"):
    """One a second from each source partition: time passes in the log, not in the reader.

    Attributes:
        position: next source offset to be cut; not subject to the contiguity check.
        now_ms: the writer's clock (in `replay`: the record clock).
    """

    format: int
    source: int
    position: int
    now_ms: int


class Control(Struct, frozen=True, array_like=True, tag="control"):
    """A rule set or command that the decider copied into every partition.

    Attributes:
        kind: `rules` or `command`.
        generation: offset of the decider's input log; not newer than the last one seen means: already applied.
        body: JSON of `contracts.ruleset` or `contracts.command`.
    """

    format: int
    kind: str
    generation: int
    body: bytes


AxisRows = PackedRows | WideRows
Block = DeltaBlock | Tick | Control

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(DeltaBlock | WideBlock | Tick | Control)
_readable: Final = {
    DeltaBlock: Readable("delta block", 1, FORMAT),
    Tick: Readable("tick", 1, TICK_FORMAT),
    Control: Readable("control block", 1, CONTROL_FORMAT),
}
_FORMAT_PLACE: Final = 1  # behind the tag


def encode_block(block: Block) -> bytes:
    """Bytes of one message on `tokenfuse.deltas`."""
    return _encoder.encode(block)


def decode_block(data: bytes) -> Block:
    """Inverse of `encode_block`.

    Raises:
        UnknownFormatError: written by a release that this one cannot read.
        msgspec.DecodeError: not a block.
    """
    try:
        block: Block = _decoder.decode(data)
    except msgspec.ValidationError as error:
        raise _readable[DeltaBlock].refuse(data, _FORMAT_PLACE, error) from error
    except UnicodeDecodeError as error:
        msg = f"a block's text is none: {error}"
        raise msgspec.DecodeError(msg) from error
    _readable[DeltaBlock if isinstance(block, WideBlock) else type(block)].check(block.format)
    return block

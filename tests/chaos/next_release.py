"""The command line as the release after this one might be: `python -m tests.chaos.next_release run --role agents`.

It counts one measure more, `answers`, 1 a call, and every format that could grow has grown by one. Ticks, control
blocks and signals have not: upgrades rely on it (docs/operations.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tokenfuse.contracts import measures

if TYPE_CHECKING:
    import numpy as np

    from tokenfuse.decide.decider.state import State
    from tokenfuse.runtime.ingest.fence import Fence

MEASURE: Final = "answers"


def _append_measure() -> None:
    """First of all: others take the width of their arrays from it."""
    measures.MEASURES = (*measures.MEASURES, MEASURE)  # type: ignore[misc,assignment]
    measures.INDEX[MEASURE] = len(measures.MEASURES) - 1


def _raise_formats() -> None:
    from tokenfuse.contracts import block, ids

    # Modules that have imported a number by name already.
    from tokenfuse.ingest import slices
    from tokenfuse.runtime.ingest import recipe
    from tokenfuse.runtime.statelog import ledger, rows
    from tokenfuse.windows import codec

    block._readable[block.DeltaBlock] = _grown(block._readable[block.DeltaBlock])
    for module in (ids, codec, rows):
        module._readable = _grown(module._readable)  # type: ignore[misc]
    for module in (block, codec, ledger, recipe, rows, slices):
        module.FORMAT += 1  # type: ignore[attr-defined]
    for module in (ids, recipe, slices):
        module.IDS_FORMAT += 1  # type: ignore[attr-defined]


def _raise_formats_of_records() -> None:
    import msgspec

    from tokenfuse.decide.decider import core, state
    from tokenfuse.runtime.ingest import fence

    encode_state, metadata = state.encode_state, fence._metadata

    def newer_state(value: State) -> bytes:
        return encode_state(msgspec.structs.replace(value, format=state.FORMAT + 1))

    def newer_metadata(value: Fence) -> str:
        return metadata(msgspec.structs.replace(value, format=fence.FORMAT + 1))

    core.encode_state = newer_state  # type: ignore[attr-defined]
    fence._metadata = newer_metadata
    state._readable = _grown(state._readable)  # type: ignore[misc]
    fence._readable = _grown(fence._readable)  # type: ignore[misc]


def _count_the_measure() -> None:
    from tokenfuse.ingest import columns

    sums = columns._sums

    def with_answers(calls: Any) -> np.ndarray:
        counted = sums(calls)
        counted[measures.INDEX[MEASURE]] = 1
        return counted

    columns._sums = with_answers


def _grown(readable: Any) -> Any:
    return readable._replace(newest=readable.newest + 1)


if __name__ == "__main__":
    _append_measure()
    _raise_formats()
    _raise_formats_of_records()
    _count_the_measure()

    from tokenfuse.cli.main import main

    main()

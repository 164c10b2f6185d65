"""Rollups on `tokenfuse.rollups`: whole panes with a revision; a warehouse upserts and never adds.

The latest revision per key is the truth. Granularities: `1m`, `1h`, `1d`; `late_1m`, `late_1h`, `late_1d` (what came after
such a pane could be revised; `late_1m` also minutes that began with `publish --history`) and `total` (running sums of a
scope since its `pane_start`; a scope that was evicted starts a new one).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal

import msgspec
from msgspec import Struct

from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.contracts.measures import MEASURES
from tokenfuse.contracts.money import to_usd
from tokenfuse.contracts.scope import axis_scope_key

Granularity = Literal["1m", "1h", "1d", "late_1m", "late_1h", "late_1d", "total"]


class Rollup(Struct, frozen=True):
    """One pane of one scope. `sums` has the order of MEASURES; `revision` is a deltas offset."""

    axis: str
    value: str
    granularity: Granularity
    pane_start_s: int
    revision: int
    sums: tuple[int, ...]


def rollup_key(rollup: Rollup) -> bytes:
    """Message key: scope, granularity, pane start."""
    return f"{axis_scope_key(rollup.axis, rollup.value)}|{rollup.granularity}|{rollup.pane_start_s}".encode()


def encode_rollup(rollup: Rollup) -> bytes:
    """Message value: JSON with every measure by name, and the cost as a decimal string beside it."""
    cost_usd = to_usd(rollup.sums[_COST])
    return _encoder.encode(
        _Record(
            rollup.axis, rollup.value, rollup.granularity, _time(rollup.pane_start_s), rollup.revision, cost_usd,
            *rollup.sums,
        )
    )  # fmt: skip


_COST: Final = MEASURES.index("cost_nanousd")
_TEXTS: Final = ("axis", "value", "granularity", "pane_start")
_Record: Final = msgspec.defstruct(
    "_Record",
    [
        *((name, str) for name in _TEXTS),
        ("revision", int),
        ("cost_usd", str),
        *((name, int) for name in MEASURES),
    ],
    gc=False,
)
"""A struct and no dict: live agents write two rollups a call."""

_encoder: Final = msgspec.json.Encoder()


@lru_cache(maxsize=4096)
def _time(pane_start_s: int) -> str:
    return to_rfc3339(pane_start_s * 1000)

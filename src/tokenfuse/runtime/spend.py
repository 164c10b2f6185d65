"""Spend by hour from `tokenfuse.rollups`, for commands: the latest revision of each pane, late calls included."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from tokenfuse.contracts.clock import from_rfc3339
from tokenfuse.contracts.topics import ROLLUPS
from tokenfuse.gateway.reader import follow
from tokenfuse.runtime.operators import client_options

if TYPE_CHECKING:
    from tokenfuse.runtime.settings import Settings

HOURS: Final = (b"1h", b"late_1h")


class _Pane(Struct):
    axis: str
    value: str
    pane_start: str
    revision: int
    cost_nanousd: int


_decoder = msgspec.json.Decoder(_Pane)


class SpendBoard:
    """Hours of the scopes of some axes, as read so far. Of all other rollups only the key is looked at."""

    def __init__(self, axes: set[str]) -> None:
        self._axes = axes
        self._panes: dict[bytes, tuple[str, str, int, int, int]] = {}

    def take(self, record: Any) -> None:
        """Apply one record of the topic."""
        key: bytes = record.key or b""
        _, _, granularity = key.rpartition(b"|")[0].rpartition(b"|")
        if record.value is None or granularity not in HOURS:
            return
        pane = _decoder.decode(record.value)
        known = self._panes.get(key)
        if pane.axis in self._axes and (known is None or pane.revision >= known[3]):
            hour_s = from_rfc3339(pane.pane_start) // 1000
            self._panes[key] = (pane.axis, pane.value, hour_s, pane.revision, pane.cost_nanousd)

    def hours(self) -> dict[tuple[str, str], dict[int, int]]:
        """Nano-dollars by axis and value, then by hour in seconds since the epoch."""
        found: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
        for axis, value, hour_s, _, nanousd in self._panes.values():
            hours = found[axis, value]
            hours[hour_s] = hours.get(hour_s, 0) + nanousd
        return found


async def read_spend(settings: Settings, axes: set[str]) -> SpendBoard:
    """The rollups topic to its end.

    Raises:
        ReadAgainError: the topic is missing. KafkaError: the broker does not answer.
    """
    board = SpendBoard(axes)
    async with contextlib.aclosing(follow(settings.topic(ROLLUPS), client_options(settings))) as chunks:
        async for chunk in chunks:
            for record in chunk.records:
                board.take(record)
            if chunk.caught_up:
                break
    return board

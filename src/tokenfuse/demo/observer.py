"""Sees what the pipeline says, on the topics that a warehouse, a notifier and a gateway read."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from tokenfuse.contracts.alert import Alert
from tokenfuse.contracts.axes import AXES
from tokenfuse.contracts.clock import from_rfc3339
from tokenfuse.contracts.topics import ALERTS, KILLSWITCH, ROLLUPS
from tokenfuse.demo.ledger import Sums
from tokenfuse.gateway.reader import follow
from tokenfuse.runtime.operators import AlertBoard, SwitchBoard, client_options

if TYPE_CHECKING:
    from tokenfuse.contracts.killswitch import Switch
    from tokenfuse.runtime.settings import Settings

SHOWN_AXES: Final = ("tenant", "feature")
MINUTE_S: Final = 60


class _Rollup(Struct):
    """The fields of a rollup that the demo needs."""

    axis: str
    value: str
    pane_start: str
    revision: int
    calls: int
    cost_nanousd: int


_decode: Final = msgspec.json.Decoder(_Rollup).decode


class Observer:
    """Follows rollups, alerts and switches from their beginnings.

    Attributes:
        minutes: by tenant or feature, the nano-dollars of each minute since `since_s`.
        alerts: newest transition of each alert. switches: what is engaged.
    """

    def __init__(self, settings: Settings, since_s: int) -> None:
        self._settings = settings
        self._since_s = since_s
        self._parts: dict[tuple[str, str], dict[str, tuple[int, int, int]]] = {}
        self._minute_revisions: dict[bytes, int] = {}
        self.minutes: dict[tuple[str, str], dict[int, int]] = {}
        self.alerts = AlertBoard()
        self.switches = SwitchBoard()

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(ROLLUPS, self._rollup))
            group.create_task(self._follow(ALERTS, self.alerts.take))
            group.create_task(self._follow(KILLSWITCH, self.switches.take))

    def totals(self) -> Sums:
        """Running sums by axis value: over the lives of a scope, the newest revision of each."""
        return {
            key: (sum(calls for _, calls, _ in parts.values()), sum(spent for *_, spent in parts.values()))
            for key, parts in self._parts.items()
        }

    def told(self) -> list[Alert]:
        """Alerts that fire and that no other one explains: those that people are told."""
        return [a for a in self.alerts.alerts.values() if a.state == "firing" and a.inhibited_by is None]

    def switch(self, now_ms: int, **scope: str) -> Switch | None:
        """The switch on exactly this scope, if one is engaged."""
        return next((s for s in self.switches.view.switches(now_ms) if s.scope == scope), None)

    async def _follow(self, topic: str, take: Callable[[Any], object]) -> None:
        async with contextlib.aclosing(
            follow(self._settings.topic(topic), client_options(self._settings))
        ) as chunks:
            async for chunk in chunks:
                for record in chunk.records:
                    take(record)

    def _rollup(self, record: Any) -> None:
        # Most are minutes and hours of the two weeks: the key says so without decoding.
        scope, granularity, start = record.key.rsplit(b"|", 2)
        if granularity == b"total":
            row = _decode(record.value)
            if row.axis not in AXES:
                return  # everything as one scope
            parts = self._parts.setdefault((row.axis, row.value), {})
            if row.revision >= parts.get(row.pane_start, (-1,))[0]:
                parts[row.pane_start] = row.revision, row.calls, row.cost_nanousd
        elif (
            granularity == b"1m"
            and int(start) >= self._since_s
            and scope.startswith((b"tenant=", b"feature="))
        ):
            row = _decode(record.value)
            if row.revision >= self._minute_revisions.get(record.key, -1):
                self._minute_revisions[record.key] = row.revision
                by_minute = self.minutes.setdefault((row.axis, row.value), {})
                by_minute[from_rfc3339(row.pane_start) // 1000] = row.cost_nanousd

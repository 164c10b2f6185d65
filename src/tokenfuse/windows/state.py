"""Every table of one deltas partition, and its checkpoint rows by name.

Names: `<axis>/scopes/<chunk>`, `<axis>/<granularity>/<pane start>`, `<axis>/late/<granularity>`.
"""

from __future__ import annotations

from collections.abc import Mapping

from tokenfuse.contracts.axes import AXES, CELL, GLOBAL, OTHER
from tokenfuse.contracts.block import AxisRows
from tokenfuse.contracts.rollup import Rollup
from tokenfuse.windows.codec import pack, unpack
from tokenfuse.windows.pane import Ids, Pane
from tokenfuse.windows.rows import decode_rows
from tokenfuse.windows.table import AxisTable


class WindowState:
    """The tables by axis; which rows changed since their last checkpoint.

    Attributes:
        expired_s: watermark up to which panes were dropped.
    """

    def __init__(self, partition: int, further_axes: tuple[str, ...], scopes_max: int) -> None:
        """Start empty. The partition's number keeps its `~other` scopes apart from other partitions'."""
        other = f"{OTHER}/{partition}"
        axes = (*AXES, *further_axes, CELL, GLOBAL)
        self.tables = {axis: AxisTable(axis, other, scopes_max) for axis in axes}
        self.expired_s = 0

    def apply(self, rows: tuple[AxisRows, ...]) -> dict[str, Ids]:
        """Add a block; touched scope ids by axis. An axis that settings no longer name is left out."""
        known = (axis_rows for axis_rows in rows if axis_rows.axis in self.tables)
        return {r.axis: self.tables[r.axis].apply(decode_rows(r)) for r in known if r.values}

    def take_rollups(self, revision: int, *, totals_only: bool) -> list[Rollup]:
        """Whole panes changed since the last call, cells left out: they are internal."""
        return [
            rollup
            for axis, table in self.tables.items()
            if axis != CELL
            for rollup in table.take_rollups(revision, totals_only=totals_only)
        ]

    def expire(self, watermark_s: int) -> None:
        """Drop what can no longer be revised, and scopes that have long been idle."""
        self.expired_s = watermark_s
        for table in self.tables.values():
            table.expire(watermark_s)
            table.evict_idle(watermark_s)

    def set_zones(self, default: str, tenants: dict[str, str]) -> None:
        """Time zones: each tenant's own, the default for every other axis."""
        for axis, table in self.tables.items():
            table.set_zones(default, tenants if axis == "tenant" else {})

    def changed_rows(self) -> list[str]:
        """Names of rows to write at the next checkpoint."""
        names: list[str] = []
        for axis, table in self.tables.items():
            names.extend(f"{axis}/scopes/{chunk}" for chunk in sorted(table.scopes.changed_chunks))
            names.extend(f"{axis}/late/{g}" for g, pane in table.late.items() if pane.changed)
            for granularity, panes in table.panes.items():
                names.extend(f"{axis}/{granularity}/{s}" for s, pane in sorted(panes.items()) if pane.changed)
        return names

    def dropped_rows(self) -> list[str]:
        """Names of rows that no longer exist, once."""
        names = [name for table in self.tables.values() for name in table.dropped]
        for table in self.tables.values():
            table.dropped.clear()
        return names

    def snapshot(self, name: str) -> bytes:
        """One row; it counts as unchanged from now on."""
        axis, part, number = name.rsplit("/", 2)
        table = self.tables[axis]
        if part == "scopes":
            return pack(table.scopes.chunk(int(number)))
        pane = table.late[number] if part == "late" else table.panes[part][int(number)]
        pane.changed = False
        return pack({"ids": pane.ids, "rows": pane.rows, "unsent": pane.unsent})

    def restore(self, rows: Mapping[str, bytes]) -> None:
        """Load rows into this empty state; rows of axes that settings no longer name are left out."""
        for name, data in rows.items():
            axis, part, number = name.rsplit("/", 2)
            table = self.tables.get(axis)
            if table is None:
                continue
            fields = unpack(data)
            if part == "scopes":
                table.scopes.restore_chunk(int(number), fields)
            elif part == "late":
                table.late[number] = Pane.of(**fields)
            else:
                table.panes[part][int(number)] = Pane.of(**fields)
        for table in self.tables.values():
            table.scopes.restored()

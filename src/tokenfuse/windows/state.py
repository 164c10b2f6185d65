"""Every table of one deltas partition, and its checkpoint rows by name.

Names: `<axis>/scopes/<chunk>`, `<axis>/<granularity>/<pane start>.<chunk>`, `<axis>/late/<granularity>.<chunk>`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tokenfuse.contracts.axes import AXES, CELL, GLOBAL, OTHER
from tokenfuse.contracts.block import AxisRows
from tokenfuse.contracts.rollup import Rollup
from tokenfuse.windows.batch import Batch
from tokenfuse.windows.codec import pack, unpack
from tokenfuse.windows.pane import Ids
from tokenfuse.windows.rows import decode_rows
from tokenfuse.windows.table import AxisTable


class WindowState:
    """The tables by axis; which rows changed since their last checkpoint.

    Attributes:
        expired_s: watermark up to which panes were dropped.
        began_s: when the log began. gap_s: beginning and end of the last time of which it tells nothing. Both are told by
            whoever reads it.
    """

    def __init__(self, partition: int, further_axes: tuple[str, ...], scopes_max: int) -> None:
        """Start empty. The partition's number keeps its `~other` scopes apart from other partitions'."""
        other = f"{OTHER}/{partition}"
        axes = (*AXES, *further_axes, CELL, GLOBAL)
        self.tables = {axis: AxisTable(axis, other, scopes_max) for axis in axes}
        self.expired_s = 0
        self.began_s = 0
        self.gap_s = (0, 0)
        self._unknown: list[str] = []

    def apply(self, rows: Sequence[AxisRows]) -> dict[str, Ids]:
        """Add a block; touched scope ids by axis. An axis that settings no longer name is left out."""
        return self.batch(rows).add()

    def batch(self, rows: Sequence[AxisRows], *, history: bool = False) -> Batch:
        """A block whose scopes are known, to be added in steps."""
        known = [(self.tables[r.axis], decode_rows(r)) for r in rows if r.axis in self.tables]
        return Batch([(table, decoded) for table, decoded in known if decoded.values], history=history)

    def passed(self, watermark_s: int, began_s: int, gap_s: tuple[int, int]) -> None:
        """The watermark of the log, its beginning and its last gap."""
        self.began_s, self.gap_s = began_s, gap_s
        for table in self.tables.values():
            table.passed(watermark_s)

    def take_rollups(self, revision: int, *, totals_only: bool, most: int = 2**62) -> list[Rollup]:
        """Whole panes changed since the last call, at most so many; cells left out: they are internal."""
        out: list[Rollup] = []
        for axis, table in self.tables.items():
            if axis != CELL and len(out) < most:
                out += table.take_rollups(revision, totals_only=totals_only, most=most - len(out))
        return out

    def expire(self, watermark_s: int) -> None:
        """Drop what can no longer be revised, and scopes that have long been idle."""
        self.expired_s = watermark_s
        for table in self.tables.values():
            table.expire(watermark_s)

    def set_zones(self, default: str, tenants: dict[str, str]) -> None:
        """Time zones as they were: each tenant's own, the default for every other axis."""
        for axis, table in self.tables.items():
            table.set_zones(default, tenants if axis == "tenant" else {})

    def change_zones(self, default: str, tenants: dict[str, str], time_s: int) -> None:
        """The same as of now: the calendar periods that contain time_s are summed again where a zone changed."""
        for axis, table in self.tables.items():
            table.change_zones(default, tenants if axis == "tenant" else {}, time_s)

    def forget_rollings(self) -> None:
        """Keep no rolling window up to date any more; rules that need some ask again."""
        for table in self.tables.values():
            table.forget_rollings()

    def changed_rows(self) -> list[str]:
        """Names of rows to write at the next checkpoint."""
        names: list[str] = []
        for axis, table in self.tables.items():
            table.settle()
            names.extend(f"{axis}/scopes/{chunk}" for chunk in sorted(table.scopes.changed_chunks))
            names.extend(
                f"{axis}/{name}.{c}" for name, pane in table.named_panes() for c in pane.changed_chunks
            )
        return names

    def dropped_rows(self) -> list[str]:
        """Names of rows that no longer exist, once."""
        names, self._unknown = self._unknown, []
        for table in self.tables.values():
            names.extend(table.dropped)
            table.dropped.clear()
        return names

    def snapshot(self, name: str) -> bytes:
        """One row; it counts as unchanged from now on."""
        axis, part, which, chunk = _parse(name)
        table = self.tables[axis]
        if part == "scopes":
            return pack(table.scopes.chunk(chunk))
        return pack(table.pane(part, which).chunk(chunk))

    def restore(self, rows: Mapping[str, bytes], expired_s: int) -> None:
        """Load rows into this empty state, as it stood after `expire` at expired_s.

        What is no part of it counts as dropped: rows of axes that settings no longer name, panes that had expired.
        """
        self.expired_s = expired_s
        parts: dict[tuple[str, str, str], dict[int, str]] = {}
        for name in rows:
            axis, part, which, chunk = _parse(name)
            parts.setdefault((axis, part, which), {})[chunk] = name
        for (axis, part, which), names in sorted(parts.items()):
            table = self.tables.get(axis)
            if table is not None and part == "scopes":
                table.scopes.restore({chunk: unpack(rows[name]) for chunk, name in names.items()})
            elif table is not None and table.keeps(part, which, expired_s):
                table.restore_pane(part, which, [unpack(rows[names[chunk]]) for chunk in sorted(names)])
            else:
                self._unknown.extend(names.values())
        for table in self.tables.values():
            table.restored(expired_s)


def _parse(name: str) -> tuple[str, str, str, int]:
    """Axis (which may have slashes), part, which of its panes, chunk."""
    axis, part, number = name.rsplit("/", 2)
    which, _, chunk = number.rpartition(".")
    return axis, part, which, int(chunk)

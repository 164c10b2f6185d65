"""All windows of one axis: running sums, panes of every granularity, calendar periods, late calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from tokenfuse.contracts.block import PANE_SECONDS
from tokenfuse.contracts.rollup import Granularity, Rollup
from tokenfuse.windows.calendar import KEPT_SECONDS, PERIODS, QUARTER_S, Zones, period_start_s, period_starts
from tokenfuse.windows.granularity import DAY, HOUR, PANE_SECONDS_OF, ROLLED_UP, kind_of
from tokenfuse.windows.pane import Ids, Pane, Sums
from tokenfuse.windows.rolling import RollingSum
from tokenfuse.windows.rows import Rows, Times, reduce_pairs, split_by_time
from tokenfuse.windows.scopes import Scopes

LATE: Final[dict[str, Granularity]] = {"1m": "late_1m", "1h": "late_1h", "1d": "late_1d"}


class AxisTable:
    """State of one axis in one deltas partition; a pure function of the rows and watermarks it was given.

    Attributes:
        panes: granularity (or calendar period) to pane start to pane.
        late: granularity to the sums that came after their pane could be revised.
        dropped: names of checkpoint rows that no longer exist.
    """

    def __init__(self, axis: str, other: str, scopes_max: int) -> None:
        """Start empty."""
        self.axis = axis
        self.kind = kind_of(axis)
        self.scopes = Scopes(other, scopes_max)
        self.panes: dict[str, dict[int, Pane]] = {g: {} for g in (*self.kind.panes, *PERIODS)}
        self.late: dict[str, Pane] = {g: Pane() for g in self.kind.panes if g in ROLLED_UP}
        self.zones = Zones()
        self.dropped: list[str] = []
        self._floors: dict[str, int] = dict.fromkeys((*self.kind.panes, *PERIODS), -(2**62))
        self._rolling: dict[tuple[str, int, int | None, int], RollingSum] = {}

    def apply(self, rows: Rows) -> Ids:
        """Add a block's rows everywhere they belong; returns the touched scopes, ascending."""
        first_s = int(rows.pane_s.min()) if len(rows.pane_s) else 0
        ids = self.scopes.ids_for(rows)[rows.scope]
        if self.scopes.created:
            self._note_zones(np.array(self.scopes.created, np.int32))
        touched = np.unique(ids)
        one_pane = len(touched) == len(ids) and int(rows.pane_s.max(initial=first_s)) == first_s
        self.scopes.add(ids, rows, distinct=one_pane)
        if one_pane:
            self._apply_pane(first_s, ids, rows.sums)
        else:
            self._apply_panes(rows.pane_s, ids, rows.sums)
        return touched

    def _apply_pane(self, start_s: int, ids: Ids, sums: Sums) -> None:
        """The usual live block: every row in one pane, so there is nothing to reduce."""
        for granularity in self.kind.panes:
            self._add_to(granularity, start_s - start_s % PANE_SECONDS_OF[granularity], ids, sums)
        for period in PERIODS:
            for zone, rows in self.zones.split(ids):
                self._add_to(
                    period, period_start_s(period, zone, start_s // QUARTER_S), ids[rows], sums[rows]
                )

    def _apply_panes(self, times: Times, ids: Ids, sums: Sums) -> None:
        reduced = times, ids, sums
        for granularity in self.kind.panes:
            starts = reduced[0] - reduced[0] % PANE_SECONDS_OF[granularity]
            reduced = reduce_pairs(starts, *reduced[1:])
            self._add(granularity, *reduced)
        for period in PERIODS:
            self._add(period, *reduce_pairs(self._period_starts(period, times, ids), ids, sums))

    def rolling(
        self, granularity: str, window_seconds: int, measure: int | None, behind: int = 0
    ) -> RollingSum:
        """A rolling window over this table, kept up to date from now on.

        It is one window for all that ask for the same one; `behind` says how many panes behind the newest one
        they let it end, and keeps them apart.
        """
        key = (granularity, window_seconds, measure, behind)
        if key not in self._rolling:
            size = PANE_SECONDS_OF[granularity]
            self._rolling[key] = RollingSum(self.panes[granularity], size, window_seconds // size, measure)
        return self._rolling[key]

    def forget_rollings(self) -> None:
        """Keep none up to date any more: one that is not moved would miss panes that expire meanwhile."""
        self._rolling.clear()

    def sums(self, granularity: str, start_s: int, end_s: int, ids: Ids) -> Sums:
        """Sums over panes with start_s <= start < end_s, int64[n, M]."""
        total = np.zeros((len(ids), self.scopes.totals.shape[1]), np.int64)
        for start, pane in self.panes[granularity].items():
            if start_s <= start < end_s:
                total += pane.gather(ids)
        return total

    def history(self, granularity: str, starts_s: list[int], ids: Ids, measure: int) -> npt.NDArray[np.int64]:
        """One measure pane by pane, int64[h, n]; panes without calls are zero."""
        panes = self.panes[granularity]
        out = np.zeros((len(starts_s), len(ids)), np.int64)
        for row, start in enumerate(starts_s):
            if (pane := panes.get(start)) is not None:
                out[row] = pane.column(ids, measure)
        return out

    def period_sums(self, period: str, time_s: int, ids: Ids, measure: int) -> npt.NDArray[np.int64]:
        """One measure in the calendar period that contains time_s, each scope in its own zone, int64[n]."""
        out = np.zeros(len(ids), np.int64)
        for zone, inside in self.zones.split(ids):
            pane = self.panes[period].get(period_start_s(period, zone, time_s // QUARTER_S))
            if pane is not None:
                out[inside] = pane.column(ids[inside], measure)
        return out

    def expire(self, watermark_s: int) -> None:
        """Drop panes that can no longer be revised, then idle scopes.

        Rollings must stand at the watermark already, and `take_rollups` must have been called: what goes is gone.
        """
        for granularity in self._floors:
            self._drop_below(granularity, self._floor(granularity, watermark_s))
        self._evict_idle(watermark_s)

    def restored(self, expired_s: int) -> None:
        """All rows of the state after `expire` at expired_s are loaded."""
        self.scopes.restored(self._idle_before_s(expired_s))
        for granularity in self._floors:
            self._floors[granularity] = self._floor(granularity, expired_s)

    def keeps(self, part: str, which: str, watermark_s: int) -> bool:
        """Whether a pane exists at a watermark, if it ever did."""
        if part == "late":
            return which in self.late
        return part in self.panes and int(which) >= self._floor(part, watermark_s)

    def pane(self, part: str, which: str) -> Pane:
        """The pane of this name, empty if it is new."""
        return self.late[which] if part == "late" else self.panes[part].setdefault(int(which), Pane())

    def named_panes(self) -> Iterator[tuple[str, Pane]]:
        """Every pane with its name."""
        for granularity, pane in self.late.items():
            yield f"late/{granularity}", pane
        for granularity, panes in self.panes.items():
            for start, pane in sorted(panes.items()):
                yield f"{granularity}/{start}", pane

    def _floor(self, granularity: str, watermark_s: int) -> int:
        """Panes that start before this can no longer be revised."""
        if granularity in PERIODS:
            return watermark_s - KEPT_SECONDS[granularity]
        size = PANE_SECONDS_OF[granularity]
        return watermark_s - watermark_s % size - self.kind.panes[granularity] * size

    def _idle_before_s(self, watermark_s: int) -> int:
        """Scopes without a call since this pane are idle at a watermark."""
        return watermark_s - watermark_s % PANE_SECONDS - self.kind.idle_seconds

    def _evict_idle(self, watermark_s: int) -> None:
        """Forget idle scopes, also where panes outlive them: another scope will have their ids."""
        ids = self.scopes.evict_idle(self._idle_before_s(watermark_s))
        if len(ids):
            outliving = (pane for period in PERIODS for pane in self.panes[period].values())
            for pane in (*self.late.values(), *outliving):
                pane.forget(ids)

    def take_rollups(self, revision: int, *, totals_only: bool = False) -> list[Rollup]:
        """Whole panes that changed since the last call, with running totals."""
        out: list[Rollup] = []
        firsts = self.scopes.first_s
        for granularity, start, pane in () if totals_only else self._revisable():
            ids, rows = pane.take_unsent()
            starts = firsts[ids] if start is None else np.full(len(ids), start)
            out.extend(self._rollups(granularity, starts, ids, rows, revision))
        ids = self.scopes.take_unsent()
        out.extend(self._rollups("total", firsts[ids], ids, self.scopes.totals[ids], revision))
        return out

    def set_zones(self, default: str, by_value: dict[str, str]) -> None:
        """Time zones by scope value; all others have the default."""
        self.zones = Zones(default, by_value)
        self._note_zones(self.scopes.live())

    def change_zones(self, default: str, by_value: dict[str, str], time_s: int) -> None:
        """Like `set_zones`, and sums the periods that contain time_s again where their scope's zone changed.

        From UTC hours, and from UTC days where those are gone: the hour or day in which a period begins counts
        whole, so that a cap errs on the side of the one who pays.
        """
        live = self.scopes.live()
        before = [self.zones.of(i) for i in live.tolist()]
        self.set_zones(default, by_value)
        changed = [i for i, zone in zip(live.tolist(), before, strict=True) if self.zones.of(i) != zone]
        ids = np.array(changed, np.int32)
        for period in PERIODS:
            for zone, part in self.zones.split(ids):
                if len(part):
                    self._sum_again(period, period_start_s(period, zone, time_s // QUARTER_S), ids[part])

    def _sum_again(self, period: str, start: int, ids: Ids) -> None:
        """What the scopes' panes say of the period that begins at start."""
        panes = self.panes[period]
        pane = panes.setdefault(start, Pane())
        pane.add(ids, self._since(start, ids) - pane.gather(ids))

    def _since(self, start: int, ids: Ids) -> Sums:
        """Sums of everything since a time that need not begin a pane, int64[n, M]; of a run, if need be, of all it did."""
        hour, day = start - start % 3600, start - start % 86_400
        if day < self._floors[DAY]:
            return self.scopes.totals[ids]
        if hour >= self._floors[HOUR]:
            midnight = day if hour == day else day + 86_400
            part = self.sums(HOUR, hour, midnight, ids)
            return part + self.sums(DAY, midnight, 2**62, ids)
        return self.sums(DAY, day, 2**62, ids)

    def _note_zones(self, ids: Ids) -> None:
        """A scope takes its zone by its own value, also where others are folded into it."""
        self.scopes.created.clear()
        if self.zones.named:
            self.zones.note((self.scopes.values[i] for i in ids.tolist()), ids)

    def _revisable(self) -> Iterator[tuple[Granularity, int | None, Pane]]:
        """Panes that leave as rollups; None: a late pane, which starts with its scope."""
        for granularity, late in self.late.items():
            for start, pane in sorted(self.panes[granularity].items()):
                yield granularity, start, pane  # type: ignore[misc] # the keys of `late` are granularities
            yield LATE[granularity], None, late

    def _rollups(
        self, granularity: Granularity, starts: npt.NDArray[np.int64], ids: Ids, rows: Sums, revision: int
    ) -> list[Rollup]:
        values = self.scopes.values
        return [
            Rollup(self.axis, value, granularity, start, revision, tuple(row))
            for i, start, row in zip(ids.tolist(), starts.tolist(), rows.tolist(), strict=True)
            if (value := values[i]) is not None
        ]

    def _add(self, granularity: str, times: Times, ids: Ids, sums: Sums) -> None:
        for start, part in split_by_time(times):
            self._add_to(granularity, start, ids[part], sums[part])

    def _add_to(self, granularity: str, start: int, ids: Ids, sums: Sums) -> None:
        if start < self._floors[granularity]:
            if granularity in self.late:
                self.late[granularity].add(ids, sums)
            return
        panes = self.panes[granularity]
        pane = panes.get(start)
        if pane is None:
            pane = panes[start] = Pane()
        pane.add(ids, sums)
        for (of, *_), rolling in self._rolling.items():
            if of == granularity:
                rolling.add(start, ids, sums)

    def _period_starts(self, period: str, times: Times, ids: Ids) -> Times:
        starts = np.empty(len(times), np.int64)
        for zone, rows in self.zones.split(ids):
            starts[rows] = period_starts(period, zone, times[rows])
        return starts

    def _drop_below(self, granularity: str, floor: int) -> None:
        if floor <= self._floors[granularity]:
            return
        self._floors[granularity] = floor
        for start in [s for s in self.panes[granularity] if s < floor]:
            chunks = range(self.panes[granularity].pop(start).chunks)
            self.dropped.extend(f"{self.axis}/{granularity}/{start}.{chunk}" for chunk in chunks)

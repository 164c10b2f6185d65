"""All windows of one axis: running sums, panes of every granularity, calendar periods, late calls."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tokenfuse.contracts.block import PANE_SECONDS
from tokenfuse.contracts.measures import INDEX
from tokenfuse.contracts.rollup import Granularity, Rollup
from tokenfuse.windows.calendar import KEPT_SECONDS, PERIODS, QUARTER_S, Zones, period_start_s, period_starts
from tokenfuse.windows.cascade import Cascade, Reduced
from tokenfuse.windows.granularity import DAY, HOUR, MINUTE, PANE_SECONDS_OF, ROLLED_UP, kind_of
from tokenfuse.windows.narrow import Sums
from tokenfuse.windows.pane import WIDTH, Ids, Pane
from tokenfuse.windows.pending import Pending
from tokenfuse.windows.rolling import RollingSum
from tokenfuse.windows.rows import Rows, Times, reduce_pairs, split_by_time
from tokenfuse.windows.scopes import Scopes

PERIOD_MEASURES: Final = [INDEX["calls"], INDEX["cost_nanousd"]]
"""What is kept of calendar periods: caps and budgets look at nothing else, and no rollup tells of them."""

PENDING_MAX: Final = 20_000
"""Rows of 200 bytes that may wait to be added; adding so many takes about 30 ms."""

SEAL_AFTER_S: Final = 60
"""A pane is folded up so long after it closed: few calls come later."""

SEAL_SCOPES_MIN: Final = 100
"""Smaller panes stay as they are: what folding saves would not pay for it."""

SEAL_ROWS_MAX: Final = 20_000

LATE: Final[dict[str, Granularity]] = {"1m": "late_1m", "1h": "late_1h", "1d": "late_1d"}


class AxisTable:
    """State of one axis in one deltas partition; a pure function of the rows and watermarks it was given.

    Attributes:
        scopes: values, ids and running sums.
        dropped: names of checkpoint rows that no longer exist.
    """

    def __init__(self, axis: str, other: str, scopes_max: int) -> None:
        """Start empty."""
        self.axis = axis
        self.kind = kind_of(axis)
        self.scopes = Scopes(other, scopes_max)
        self.scopes.settle = self._settle_scopes
        self._panes: dict[str, dict[int, Pane]] = {g: {} for g in (*self.kind.panes, *PERIODS)}
        self._late: dict[str, Pane] = {g: Pane() for g in self.kind.panes if g in ROLLED_UP}
        self.zones = Zones()
        self.dropped: list[str] = []
        self._floors: dict[str, int] = dict.fromkeys((*self.kind.panes, *PERIODS), -(2**62))
        self._rolling: dict[tuple[str, int, int | None, int], RollingSum] = {}
        self._pending = Pending()  # for running sums
        self._cascade = Cascade(tuple(self.kind.panes))
        self._coarsest = next(reversed(self.kind.panes))
        self._sealed_minute = -1
        self._watermark_s = 0

    @property
    def panes(self) -> dict[str, dict[int, Pane]]:
        """Granularity (or calendar period) to pane start to pane."""
        self._settle_panes(self._coarsest)
        return self._panes

    @property
    def late(self) -> dict[str, Pane]:
        """Granularity to the sums that came after their pane could be revised."""
        self._settle_panes(self._coarsest)
        return self._late

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, names left out."""
        panes = sum(pane.nbytes for _, pane in self.named_panes())
        rollings = sum(rolling.nbytes for rolling in self._rolling.values())
        return panes + rollings + self.scopes.nbytes

    def apply(self, rows: Rows, *, history: bool = False) -> Ids:
        """Add a block's rows everywhere they belong; returns the touched scopes, ascending."""
        return self.add(self.admit(rows), rows, history=history)

    def admit(self, rows: Rows) -> Ids:
        """The scope of every row, new ones created."""
        ids: Ids = self.scopes.ids_for(rows)[rows.scope]
        if self.scopes.created:
            self._note_zones(np.array(self.scopes.created, np.int32))
        return ids

    def add(self, ids: Ids, rows: Rows, *, history: bool = False) -> Ids:
        """Add rows to what judges look at with every block; the rest is added when it is read, or later.

        Args:
            ids: int32[n], the scope of each row.
            history: minutes that begin with these rows never leave as rollups.
        """
        touched = np.unique(ids)
        if not len(ids):
            return touched
        first_s, last_s = int(rows.pane_s.min()), int(rows.pane_s.max())
        if first_s == last_s and len(touched) == len(ids):
            self._add_now(first_s, ids, rows.sums)
        else:
            self._add_each_now(rows.pane_s, ids, rows.sums)
        if MINUTE in self._late:
            self._begin_minutes(rows.pane_s, first_s, last_s, history=history)
        self._pending.append(ids, rows)
        self._cascade.append(rows.pane_s, ids, rows.sums, (first_s, last_s))
        if self._pending.count > PENDING_MAX or self._cascade.count > PENDING_MAX:
            self.settle()
        return touched

    def _add_now(self, start_s: int, ids: Ids, sums: Sums) -> None:
        """The usual live block: every row in one pane, so there is nothing to reduce."""
        few = sums[:, PERIOD_MEASURES]
        for period in PERIODS:
            for zone, rows in self.zones.split(ids):
                start = period_start_s(period, zone, start_s // QUARTER_S)
                self._add_to(period, start, ids[rows], few[rows])
        for (granularity, *_), rolling in self._rolling.items():
            rolling.add(start_s - start_s % PANE_SECONDS_OF[granularity], ids, sums)

    def _add_each_now(self, times: Times, ids: Ids, sums: Sums) -> None:
        few = sums[:, PERIOD_MEASURES]
        for period in PERIODS:
            self._add(period, *reduce_pairs(self._period_starts(period, times, ids), ids, few))
        for rolling in self._rolling.values():
            rolling.add_rows(times, ids, sums)

    def _begin_minutes(self, times: Times, first_s: int, last_s: int, *, history: bool) -> None:
        """Whether a minute is told of is settled by the first call in it."""
        first, last = first_s - first_s % 60, last_s - last_s % 60
        starts = [first] if first == last else np.unique(times - times % 60).tolist()
        minutes = self._panes[MINUTE]
        for start in starts:
            if start not in minutes and start >= self._floors[MINUTE]:
                minutes[start] = Pane(silent=history)

    def settle(self) -> None:
        """Add what is pending to all panes and running sums."""
        self._settle_panes(self._coarsest)
        self._settle_scopes()

    def _settle_scopes(self) -> None:
        if self._pending.count:
            self.scopes.add(self._pending.take())

    def _settle_panes(self, granularity: str, first_s: int = -(2**62), end_s: int = 2**62) -> None:
        """Make the panes of a granularity whole that begin within [first_s, end_s)."""
        if self._cascade.touches(granularity, first_s, end_s):
            for finer, reduced in self._cascade.take(granularity):
                self._add(finer, *self._wanted(finer, reduced))

    def _wanted(self, granularity: str, reduced: Reduced) -> Reduced:
        """Without panes of which nobody will hear: too old already, no rollup, and no rolling window that they leave."""
        if granularity in self._late or any(of == granularity for of, *_ in self._rolling):
            return reduced
        start = int(np.searchsorted(reduced.times_s, self._floor(granularity, self._watermark_s)))
        return Reduced(reduced.times_s[start:], reduced.ids[start:], reduced.sums[start:])

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
            settle = partial(self._settle_panes, granularity)
            panes, count = self.panes[granularity], window_seconds // size
            self._rolling[key] = RollingSum(panes, size, count, measure, settle)
        return self._rolling[key]

    def forget_rollings(self) -> None:
        """Keep none up to date any more: one that is not moved would miss panes that expire meanwhile."""
        self._rolling.clear()

    def sums(self, granularity: str, start_s: int, end_s: int, ids: Ids) -> Sums:
        """Sums over panes with start_s <= start < end_s, int64[n, M]."""
        total = np.zeros((len(ids), WIDTH), np.int64)
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
        """Calls or cost in the calendar period that contains time_s, each scope in its own zone, int64[n]."""
        column = PERIOD_MEASURES.index(measure)
        out = np.zeros(len(ids), np.int64)
        for zone, inside in self.zones.split(ids):
            pane = self._panes[period].get(period_start_s(period, zone, time_s // QUARTER_S))
            if pane is not None:
                out[inside] = pane.column(ids[inside], column)
        return out

    def expire(self, watermark_s: int) -> None:
        """Drop panes that can no longer be revised, then idle scopes.

        Rollings must stand at the watermark already, and `take_rollups` must have been called: what goes is gone.
        """
        self.settle()
        self.passed(watermark_s)
        for granularity in self._floors:
            self._drop_below(granularity, self._floor(granularity, watermark_s))
        self._evict_idle(watermark_s)
        self._seal(watermark_s)

    def _seal(self, watermark_s: int) -> None:
        """Fold up closed panes, the largest of them not all at once; once a minute of the log, which has many panes."""
        if watermark_s // 60 == self._sealed_minute:
            return
        self._sealed_minute = watermark_s // 60
        rows = 0
        for granularity in self.kind.panes:
            size = PANE_SECONDS_OF[granularity]
            for start, pane in self._panes[granularity].items():
                closed = start + size + SEAL_AFTER_S <= watermark_s
                if closed and pane.count > SEAL_SCOPES_MIN and not pane.sealed and rows < SEAL_ROWS_MAX:
                    rows += pane.count
                    pane.seal()

    def passed(self, watermark_s: int) -> None:
        """The watermark of the log, which only moves forward."""
        self._watermark_s = max(self._watermark_s, watermark_s)

    def restored(self, expired_s: int) -> None:
        """All rows of the state after `expire` at expired_s are loaded."""
        self.passed(expired_s)
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
        self.settle()
        if part == "late":
            return self._late[which]
        return self._panes[part].setdefault(int(which), _new_pane(part))

    def restore_pane(self, part: str, which: str, chunks: list[dict[str, Any]]) -> None:
        """A pane from all of its checkpoint rows."""
        if part in PERIODS:
            for chunk in chunks:
                if chunk["rows"].shape[1] > len(PERIOD_MEASURES):  # format 1 kept every measure
                    chunk["rows"] = chunk["rows"][:, PERIOD_MEASURES]
        self.pane(part, which).restore(chunks)

    def named_panes(self) -> Iterator[tuple[str, Pane]]:
        """Every pane with its name."""
        for granularity, pane in self.late.items():
            yield f"late/{granularity}", pane
        for granularity, panes in self._panes.items():
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

    def take_rollups(self, revision: int, *, totals_only: bool = False, most: int = 2**62) -> list[Rollup]:
        """Whole panes that changed since the last call, with running totals; at most so many."""
        out: list[Rollup] = []
        self.settle()
        firsts = self.scopes.first_s
        for granularity, start, pane in () if totals_only else self._revisable():
            if pane.has_unsent() and len(out) < most:
                ids, rows = pane.take_unsent(most - len(out))
                starts = firsts[ids] if start is None else np.full(len(ids), start)
                out.extend(self._rollups(granularity, starts, ids, rows, revision))
        if self.scopes.has_unsent() and len(out) < most:
            ids = self.scopes.take_unsent(most - len(out))
            out.extend(self._rollups("total", firsts[ids], ids, self.scopes.totals.gather(ids), revision))
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
        pane = panes.setdefault(start, _new_pane(period))
        pane.add(ids, self._since(start, ids)[:, PERIOD_MEASURES] - pane.gather(ids))

    def _since(self, start: int, ids: Ids) -> Sums:
        """Sums of everything since a time that need not begin a pane, int64[n, M]; of a run, if need be, of all it did."""
        hour, day = start - start % 3600, start - start % 86_400
        if day < self._floors[DAY]:
            return self.scopes.totals.gather(ids)
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
        for granularity, late in self._late.items():
            for start, pane in sorted(self._panes[granularity].items()):
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
        late = self._late.get(granularity)
        if start < self._floors[granularity]:
            if late is not None:
                late.add(ids, sums)
            return
        panes = self._panes[granularity]
        pane = panes.get(start)
        if pane is None:
            pane = panes[start] = _new_pane(granularity)
        pane.add(ids, sums)
        if pane.silent and late is not None:
            late.add(ids, sums)

    def _period_starts(self, period: str, times: Times, ids: Ids) -> Times:
        starts = np.empty(len(times), np.int64)
        for zone, rows in self.zones.split(ids):
            starts[rows] = period_starts(period, zone, times[rows])
        return starts

    def _drop_below(self, granularity: str, floor: int) -> None:
        if floor <= self._floors[granularity]:
            return
        self._floors[granularity] = floor
        for start in [s for s in self._panes[granularity] if s < floor]:
            chunks = range(self._panes[granularity].pop(start).chunks)
            self.dropped.extend(f"{self.axis}/{granularity}/{start}.{chunk}" for chunk in chunks)


def _new_pane(granularity: str) -> Pane:
    return Pane(len(PERIOD_MEASURES)) if granularity in PERIODS else Pane()

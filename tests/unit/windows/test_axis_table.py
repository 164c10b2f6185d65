"""A table of one axis against sums computed the slow way: no money is lost, whatever is late, folded, evicted or reused."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from tests.unit.windows.window_rows import COST, DAY_S, T0_S, Add, Warehouse, rows

from tokenfuse.windows.calendar import period_start_s
from tokenfuse.windows.table import AxisTable

ZONES = {"a": "Asia/Kathmandu", "b": "America/New_York", "c": "Australia/Lord_Howe", "x1": "Asia/Tokyo"}
VALUES = st.sampled_from(["a", "b", "c", "d", "x1", "x2", "x3", "x4"])
PANES = st.one_of(
    st.integers(0, 400).map(lambda n: T0_S - n * 10),
    st.integers(0, 60 * 24).map(lambda n: T0_S - n * 3600),
    st.sampled_from([T0_S, T0_S - 32 * DAY_S, T0_S - 33 * DAY_S]),
)
ADDS = st.lists(st.tuples(VALUES, PANES, st.integers(-1000, 10_000)), min_size=1, max_size=6)
BLOCKS = st.lists(st.tuples(ADDS, st.integers(-3, 40 * 24)), min_size=1, max_size=8)
"""Blocks, and by how many hours the watermark stands behind (or, negative, before) T0 after each."""


def table_of(axis: str = "tenant", scopes_max: int = 100) -> AxisTable:
    return AxisTable(axis, "~other/0", scopes_max)


@settings(max_examples=120, deadline=None)
@given(BLOCKS, st.sampled_from(["tenant", "user", "run_id"]), st.sampled_from([2, 100]))
def test_every_granularity_with_what_came_late_adds_up_to_all_money(
    blocks: list[tuple[list[Add], int]], axis: str, scopes_max: int
) -> None:
    """Folding, eviction, ids that pass to others, corrections: the warehouse's sums are the sums of the calls."""
    table, warehouse, truth = table_of(axis, scopes_max), Warehouse(), defaultdict(int)
    table.set_zones("UTC", ZONES)
    reached = T0_S - 100 * DAY_S
    for revision, (adds, behind_h) in enumerate(blocks):
        table.apply(rows(*adds))
        for value, _, cost in adds:
            truth[value] += cost
        warehouse.read(table.take_rollups(revision))
        reached = max(reached, T0_S + 5 - behind_h * 3600)
        table.expire(reached)
    for granularities in (["total"], ["1m", "late_1m"], ["1h", "late_1h"], ["1d", "late_1d"]):
        found = warehouse.by_value(*granularities)
        assert sum(found.values()) == sum(truth.values())
        if scopes_max == 100:
            assert found == dict(truth)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(VALUES, PANES, st.integers(-1000, 10_000)), min_size=1, max_size=20), st.booleans())
def test_one_block_of_many_panes_is_the_same_as_a_block_per_row(adds: list[Add], zoned: bool) -> None:
    """A block within one pane takes another way through the code."""
    zones = ZONES if zoned else {}
    whole, single = table_of(), table_of()
    for table in (whole, single):
        table.set_zones("Europe/Berlin", zones)
        table.expire(T0_S)
        table.rolling("1m", 3600, COST).advance(T0_S - T0_S % 60)
    values = sorted({value for value, _, _ in adds})
    whole.apply(rows(*adds))
    for add in adds:
        single.apply(rows(add))
    for granularity in whole.panes:
        starts = whole.panes[granularity].keys() | single.panes[granularity].keys()
        for start in starts:
            assert sums_of(whole, granularity, start, values) == sums_of(single, granularity, start, values)
    for granularity, pane in whole.late.items():
        late = single.late[granularity]
        assert pane.column(ids_of(whole, values), COST).tolist() == (
            late.column(ids_of(single, values), COST).tolist()
        )
    assert whole.rolling("1m", 3600, COST).of(ids_of(whole, values)).tolist() == (
        single.rolling("1m", 3600, COST).of(ids_of(single, values)).tolist()
    )


def ids_of(table: AxisTable, values: list[str]) -> np.ndarray:
    found = [table.scopes.id_of(value) for value in values]
    return np.array(found, np.int32)


def sums_of(table: AxisTable, granularity: str, start: int, values: list[str]) -> list[int]:
    pane = table.panes[granularity].get(start)
    return [0] * len(values) if pane is None else pane.column(ids_of(table, values), COST).tolist()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.integers(0, 50 * DAY_S // 10), st.integers(1, 1000)),
        max_size=30,
    )
)
def test_a_calendar_period_is_what_fell_into_the_scopes_local_day_and_month(
    adds: list[tuple[str, int, int]],
) -> None:
    """Across the changes to and from summer time, in zones with offsets of 45 and 30 minutes."""
    start = (
        1_772_000_000  # the end of February 2026: March has the changes of New York and, later, of Lord Howe
    )
    table, end = table_of(), start + 50 * DAY_S
    table.set_zones("UTC", ZONES)
    adds = [(value, start + tens * 10, cost) for value, tens, cost in adds]
    for add in adds:
        table.apply(rows(add))
    for value in {value for value, _, _ in adds}:
        zone = ZoneInfo(ZONES.get(value, "UTC"))
        for period, form in (("day", "%Y-%m-%d"), ("month", "%Y-%m")):
            for at in range(start, end, 5 * 3600):
                local = _local(at, zone, form)
                expected = sum(c for v, t, c in adds if v == value and _local(t, zone, form) == local)
                got = table.period_sums(period, at, ids_of(table, [value]), COST)
                assert got.tolist() == [expected]


def _local(at_s: int, zone: ZoneInfo, form: str) -> str:
    return datetime.fromtimestamp(at_s, zone).strftime(form)


def test_a_scope_begins_with_its_own_first_call_not_with_the_oldest_of_the_block() -> None:
    """Otherwise one late call makes every new scope of its block look a month old, and its mean close to nothing."""
    table = table_of()
    table.apply(rows(("old", T0_S - 20 * DAY_S, 1), ("new", T0_S, 1)))
    first = dict(zip(table.scopes.values, table.scopes.first_s.tolist(), strict=False))
    assert (first["old"], first["new"]) == (T0_S - 20 * DAY_S, T0_S)


def test_a_scope_that_comes_back_with_a_call_of_long_ago_does_not_overwrite_its_former_total() -> None:
    """Its new running sums begin after everything that was evicted, so they have a key of their own."""
    table, warehouse, late = table_of(), Warehouse(), T0_S - 40 * DAY_S
    for revision, (watermark_s, cost) in enumerate(
        [(late, 5), (T0_S, 0), (T0_S, 7), (T0_S + 60, 0), (T0_S + 60, 9)]
    ):
        if cost:
            table.apply(rows(("a", late, cost)))
        warehouse.read(table.take_rollups(revision))
        table.expire(watermark_s)
    assert warehouse.by_value("total") == {"a": 21}
    assert warehouse.by_value("1m", "late_1m") == {"a": 21}
    assert len([key for key in warehouse.latest if key[1] == "total"]) == 3


@pytest.mark.parametrize("axis", ["tenant", "user", "run_id"])
def test_who_gets_the_id_of_an_evicted_scope_inherits_nothing(axis: str) -> None:
    """A month's sums outlive an idle run."""
    table = table_of(axis)
    table.apply(rows(("old", T0_S, 1000)))
    table.take_rollups(1)
    later = T0_S + table.kind.idle_seconds + 60
    table.expire(later)
    assert table.scopes.id_of("old") is None
    table.apply(rows(("new", later - later % 10, 1)))
    assert table.scopes.id_of("new") == 0
    new = ids_of(table, ["new"])
    for period in ("day", "month"):
        for at in (T0_S, later):
            assert table.period_sums(period, at, new, COST).tolist()[0] <= 1
    for granularity in table.kind.panes:
        assert table.sums(granularity, 0, 2**40, new)[:, COST].tolist() == [1]


def test_folding_keeps_the_time_zone_of_the_scope_that_the_money_folds_into() -> None:
    """Not that of whichever tenant was folded last."""
    table = table_of(scopes_max=1)
    table.set_zones("UTC", {"folded": "Asia/Tokyo"})
    table.apply(rows(("first", T0_S, 1)))
    table.apply(rows(("folded", T0_S, 2)))
    table.apply(rows(("other", T0_S, 4)))
    other = ids_of(table, ["~other/0"])
    assert table.zones.of(int(other[0])) == "UTC"
    assert table.period_sums("day", T0_S, other, COST).tolist() == [6]


def test_a_tenant_that_comes_after_its_time_zone_was_set_has_it() -> None:
    table = table_of()
    table.set_zones("UTC", {"late": "Asia/Tokyo"})
    table.apply(rows(("early", T0_S, 1)))
    table.apply(rows(("late", T0_S, 1)))
    assert [table.zones.of(i) for i in ids_of(table, ["early", "late"])] == ["UTC", "Asia/Tokyo"]


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles", "Europe/Berlin"])
@pytest.mark.parametrize("period", ["day", "month"])
def test_a_changed_time_zone_keeps_what_was_spent_of_the_period(zone: str, period: str) -> None:
    """A cap's month does not begin anew because somebody corrects the tenant's time zone."""
    table, now = table_of(), T0_S - 11 * DAY_S  # the tenth of a month, whose hours are all still there
    spent = [now - hour * 3600 for hour in range(0, 24 * 35, 3)]
    for at in spent:
        table.apply(rows(("a", at, 1)))
    table.expire(now)
    table.change_zones("UTC", {"a": zone}, now)
    start = period_start_s(period, zone, now // 900)
    assert table.period_sums(period, now, ids_of(table, ["a"]), COST).tolist() == [
        sum(1 for at in spent if at >= start)
    ]
    table.change_zones("UTC", {}, now)
    start = period_start_s(period, "UTC", now // 900)
    assert table.period_sums(period, now, ids_of(table, ["a"]), COST).tolist() == [
        sum(1 for at in spent if at >= start)
    ]


def test_a_month_whose_first_hours_are_gone_counts_its_first_utc_day_whole() -> None:
    table, now = table_of(), 1_790_726_400  # 2026-09-30T00:00Z
    start = period_start_s("month", "Asia/Tokyo", now // 900)
    for at, cost in ((start - 3600, 1), (start + 10, 10), (now, 100)):
        table.apply(rows(("a", at - at % 10, cost)))
    table.expire(now)
    table.change_zones("UTC", {"a": "Asia/Tokyo"}, now)
    assert table.period_sums("month", now, ids_of(table, ["a"]), COST).tolist() == [111]


def test_a_rolling_window_that_rules_forgot_is_not_found_again_with_stale_sums() -> None:
    table = table_of()
    table.apply(rows(("a", T0_S, 5)))
    table.rolling("1m", 3600, COST).advance(T0_S - T0_S % 60)
    table.forget_rollings()
    later = T0_S + 3000
    table.expire(later)
    table.expire(T0_S + 7200)
    anew = table.rolling("1m", 3600, COST)
    anew.advance(T0_S + 7200 - (T0_S + 7200) % 60)
    assert anew.of(ids_of(table, ["a"])).tolist() == [0]


def test_sums_near_the_end_of_int64_stay_exact() -> None:
    table, warehouse, big = table_of(), Warehouse(), 2**62 - 1
    table.apply(rows(("a", T0_S, big), ("a", T0_S - 3600, 1)))
    table.apply(rows(("a", T0_S, -big)))
    table.apply(rows(("a", T0_S, big)))
    warehouse.read(table.take_rollups(1))
    assert warehouse.by_value("total") == warehouse.by_value("1d") == {"a": 2**62}

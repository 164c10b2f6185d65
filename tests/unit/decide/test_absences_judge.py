"""Absences on panes: found by the clock alone, told once, over when calls come back; whatever the blocks are."""

from __future__ import annotations

import copy
import functools
from typing import Any

import pytest
from tests.unit.decide.rule_bench import COMMON, Bench, told

from tokenfuse.contracts.ruleset import AbsenceRule
from tokenfuse.contracts.signal import CostChange, Verdict

HOUR_S = 3600
DAY_S = 86_400
WEEK_S = 7 * DAY_S


def silence(**changes: Any) -> AbsenceRule:
    fields: dict[str, Any] = {
        "id": "silence", "kind": "absence", "driver": "volume", "axis": "tenant", "silence_min_seconds": 600,
        "calls_min": 12, "record_factor": 1.5, "baseline_hours_min": 72, "floor_nanousd_per_day": 0,
    }  # fmt: skip
    return AbsenceRule(**(COMMON | fields | changes))


def lived(
    *rules: AbsenceRule, days: int = 8, tenants: tuple[str, ...] = ("acme",), at_once: int = 12
) -> Bench:
    """Twelve calls an hour of each tenant, an hour in a block; `at_once` of them at the same time. Lived once, then copied."""
    return copy.deepcopy(_lived(rules, days, tenants, at_once))


@functools.cache
def _lived(rules: tuple[AbsenceRule, ...], days: int, tenants: tuple[str, ...], at_once: int) -> Bench:
    bench = Bench(*rules)
    for hour in range(days * 24):
        calls = [
            bench.call(hour * HOUR_S + n // at_once * at_once * 300, tenant=tenant) for n in range(12) for tenant in tenants
        ]  # fmt: skip
        bench.block(*calls)
    return bench


def changes(verdicts: list[Verdict]) -> list[str]:
    return [each for each in told(verdicts) if not each.startswith("update")]


def test_a_silence_is_found_by_ticks_and_says_since_when_and_what_is_missing() -> None:
    bench = lived(silence())
    end_s = 8 * DAY_S
    assert bench.wait(end_s - 1800, end_s - 300) == []
    found = bench.wait(end_s - 300, end_s + 2 * HOUR_S)

    assert changes(found) == ["breach tenant=acme"]
    breach = found[0]
    assert (breach.value, breach.threshold, breach.excess_nanousd) == (12.3, 12.0, 0)
    assert breach.at_ms - breach.starts_ms >= HOUR_S * 1000
    assert [(p.driver, p.nanousd) for p in breach.drivers] == [("volume", -12_300_000)]
    assert breach.cost_change == CostChange(breach.starts_ms, breach.at_ms, 0, 12_300_000)
    assert ("feature", "chat", 1.0) in [(c.axis, c.value, c.share) for c in breach.contributors]


def test_it_is_over_when_a_call_comes_and_not_before() -> None:
    bench = lived(silence())
    end_s = 8 * DAY_S
    bench.wait(end_s, end_s + 3 * HOUR_S)
    assert changes(bench.wait(end_s + 3 * HOUR_S, end_s + 2 * DAY_S, 60)) == []
    bench.at(end_s + 2 * DAY_S)
    over = bench.wait(end_s + 2 * DAY_S, end_s + 2 * DAY_S + 400)

    assert changes(over) == ["clear tenant=acme"]


def test_a_scope_that_is_gone_for_a_week_is_told_no_more() -> None:
    bench = lived(silence())
    found = bench.wait(8 * DAY_S, 17 * DAY_S, 600)

    assert changes(found) == ["breach tenant=acme", "clear tenant=acme"]
    assert WEEK_S <= (found[-1].at_ms - found[-1].starts_ms) / 1000 < WEEK_S + 1200


def test_the_calls_of_others_move_the_clock_and_are_no_alarm_themselves() -> None:
    bench = lived(silence(), tenants=("acme", "other"))
    found: list[Verdict] = []
    for minute in range(0, 180, 5):
        found += bench.at(8 * DAY_S + minute * 60, tenant="other")

    assert changes(found) == ["breach tenant=acme"]


@pytest.mark.parametrize("blocks", [36, 6, 1])
def test_a_silence_that_ends_within_a_long_block_is_found_as_in_short_ones(blocks: int) -> None:
    """A backlog's blocks last for hours: the call that ends a silence must not be known while it is looked for."""
    bench, start_s = lived(silence(), tenants=("acme", "other")), 8 * DAY_S
    calls = [bench.call(start_s + n * 300, tenant="other") for n in range(35)]
    calls.append(bench.call(start_s + 3 * HOUR_S - 10, tenant="acme"))
    found = [bench.block(*calls[first : first + 36 // blocks]) for first in range(0, 36, 36 // blocks)]
    found.append(bench.wait(start_s + 3 * HOUR_S, start_s + 3 * HOUR_S + 400))
    verdicts = [v for some in found for v in some if v.scope == "tenant=acme"]

    assert changes(verdicts) == ["breach tenant=acme", "clear tenant=acme"]


def test_a_scope_younger_than_a_week_and_scopes_that_the_pattern_leaves_out_are_not_judged() -> None:
    assert lived(silence(), days=6).wait(6 * DAY_S, 6 * DAY_S + 5 * HOUR_S, 60) == []
    assert lived(silence(match="b*")).wait(8 * DAY_S, 8 * DAY_S + 5 * HOUR_S, 60) == []


def test_time_that_nobody_watched_is_no_silence() -> None:
    """The service was down for two days; a tenant's first call afterwards is later than the other's."""
    bench = lived(silence(), tenants=("acme", "other"))
    back_s = 10 * DAY_S
    found = bench.at(back_s, tenant="other") + bench.wait(back_s, back_s + 3000)
    assert changes(found) == []

    assert changes(bench.wait(back_s + 3000, back_s + 2 * HOUR_S)) == [
        "breach tenant=acme",
        "breach tenant=other",
    ]


def test_history_teaches_and_its_end_is_no_silence() -> None:
    bench = Bench(silence())
    for hour in range(8 * 24):
        calls = [bench.call(hour * HOUR_S + n * 300, tenant=t) for n in range(12) for t in ("acme", "other")]
        assert bench.block(*calls, history=True) == []
    live_s = 9 * DAY_S
    found = bench.at(live_s, tenant="other") + bench.wait(live_s, live_s + 3000)
    assert changes(found) == []
    assert "breach tenant=acme" in changes(bench.wait(live_s + 3000, live_s + 3 * HOUR_S))


def test_a_silence_survives_a_restart_and_is_told_once() -> None:
    bench = lived(silence())
    end_s = 8 * DAY_S
    first = bench.wait(end_s, end_s + 2 * HOUR_S)
    bench.restart()
    later = bench.wait(end_s + 2 * HOUR_S, end_s + 4 * HOUR_S)

    assert changes(first) == ["breach tenant=acme"]
    assert [v.state for v in later] == ["update"] * len(later)
    assert {v.starts_ms for v in later} == {first[0].starts_ms}


def test_a_restart_in_the_middle_of_a_silence_finds_it_at_the_same_moment() -> None:
    straight, restarted = lived(silence()), lived(silence())
    end_s = 8 * DAY_S
    whole = straight.wait(end_s, end_s + 2 * HOUR_S)
    parts = restarted.wait(end_s, end_s + 1000)
    restarted.restart()
    parts += restarted.wait(end_s + 1000, end_s + 2 * HOUR_S)

    assert [(v.state, v.at_ms, v.value) for v in parts] == [(v.state, v.at_ms, v.value) for v in whole]


@pytest.mark.parametrize("at_once", [3, 4])
def test_how_calls_were_cut_into_blocks_changes_no_verdict(at_once: int) -> None:
    """Hours in one block each, against one block for every moment."""
    coarse, fine = lived(silence(), days=7, at_once=at_once), Bench(silence())
    for hour in range(7 * 24):
        for n in range(0, 12, at_once):
            fine.at(hour * HOUR_S + n * 300, at_once)
    end_s = 7 * DAY_S
    said = [
        [(v.state, v.at_ms, v.starts_ms, v.value, v.threshold) for v in bench.wait(end_s, end_s + 3 * HOUR_S)]
        for bench in (coarse, fine)
    ]

    assert said[0] == said[1] != []

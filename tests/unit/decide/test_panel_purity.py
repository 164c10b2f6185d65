"""State is a function of the log: bounds, eviction, rule changes and crashes at any place give the same bytes."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec
from hypothesis import given, settings, strategies as st
from tests.support.calls import BlockMaker, call

from tokenfuse.contracts.block import FORMAT, Control
from tokenfuse.contracts.ruleset import (
    AbsenceRule,
    AgentRule,
    BurnRateRule,
    BurstRule,
    CapRule,
    DriftRule,
    NoveltyRule,
    PriceRule,
    PromptBudgetRule,
    RuleSet,
    SpikeRule,
    encode_ruleset,
)
from tokenfuse.decide.agent import AgentConfig, AgentCore
from tokenfuse.ingest.call import Call

DAY_S = 86_400
COMMON: dict[str, Any] = {"driver": "volume", "maturity": "stable", "severity": "page", "mode": "warn"}
CAPS = tuple(
    CapRule(id=f"{axis}-{window}", kind="cap", axis=axis, window=window, limit_nanousd=50_000_000, **COMMON)
    for axis, window in (("tenant", "1h"), ("tenant", "month"), ("user", "day"), ("run_id", "24h"), ("global", "5m"))
)  # fmt: skip
SPIKES = tuple(
    SpikeRule(id=f"spike-{pane}", kind="spike", axis="feature", pane=pane, factor=3.0, history_panes=7,
              history_panes_min=1, floor_nanousd=1, **COMMON)
    for pane in ("1h", "1d")
)  # fmt: skip
DRIFT = DriftRule(
    id="drift", kind="drift", axis="tenant", signal="prompt", windows_seconds=(60, 300), z_min=2.0, effect_min=0.1,
    baseline_hours=336, baseline_hours_min=1, calls_min=1, floor_nanousd_per_day=0, evaluation_interval_seconds=60,
    **COMMON,
)  # fmt: skip
FAST = (
    BurnRateRule(id="burn", kind="burn_rate", axis="tenant", window="month", budget_nanousd=10**9, factor=2.0,
                 long_seconds=3600, short_seconds=300, **COMMON),
    AgentRule(id="steps", kind="agent", axis="run_id", measure="steps", times_record=1.2, record_days_min=1, **COMMON),
    BurstRule(id="burst", kind="burst", axis="tenant", windows_seconds=(20, 300), factor=1.1, surprise_min=0.1,
              times_record=1.0, calls_min=2, floor_nanousd_per_hour=0, **COMMON),
    AgentRule(id="runs", kind="agent", axis="user", measure="tokens", limit=2000, window_seconds=3600, **COMMON),
    PriceRule(id="price", kind="price", axis="tenant", measure="unpriced_calls", share_max=0.1, window_seconds=3600,
              calls_min=1, floor_nanousd=0, **COMMON),
    PromptBudgetRule(id="prompts", kind="prompt_budget", axis="feature", limit=2000, window_seconds=86_400, calls_min=1,
                     floor_nanousd=0, **COMMON),
    AbsenceRule(id="silence", kind="absence", axis="tenant", silence_min_seconds=60, calls_min=1, record_factor=1.0,
                baseline_hours_min=1, floor_nanousd_per_day=0, **COMMON),
    NoveltyRule(id="new", kind="novelty", axis="feature", window_seconds=86_400, floor_nanousd=1, baseline_hours_min=1,
                **COMMON),
)  # fmt: skip
RULESETS = (
    RuleSet(
        id="all",
        rules=(*CAPS, *SPIKES, *FAST, DRIFT),
        time_zones={"t0": "Asia/Kathmandu", "t3": "Asia/Tokyo"},
    ),
    RuleSet(id="caps", rules=CAPS, time_zones={"t0": "America/New_York"}, default_time_zone="Europe/Berlin"),
    RuleSet(id="few", rules=(CAPS[0], FAST[1], DRIFT)),
)
TIMES = st.one_of(st.integers(-4 * 3600, 600), st.integers(-40, 0).map(lambda days: days * DAY_S))
CALLS = st.tuples(
    TIMES, st.integers(0, 5), st.integers(0, 2), st.integers(-5_000_000, 40_000_000), st.integers(0, 9)
)


@st.composite
def logs(draw: Any) -> tuple[list[Any], list[Call]]:
    """A log of weeks, with gaps in which scopes go idle, late calls and changes of the rules; and its calls."""
    makers, log, calls, now_s = [BlockMaker(), BlockMaker(source=1)], [], [], 0
    for number in range(draw(st.integers(1, 10))):
        now_s += draw(st.sampled_from([0, 10, 100, 3600, 5 * 3600, 3 * DAY_S, 34 * DAY_S]))
        match draw(st.sampled_from(["calls", "calls", "calls", "tick", "rules"])):
            case "tick":
                log += [
                    draw(st.sampled_from(makers)).tick(now_s + n * 10) for n in range(draw(st.integers(1, 5)))
                ]
            case "rules":
                log.append(Control(FORMAT, "rules", number, encode_ruleset(draw(st.sampled_from(RULESETS)))))
            case _:
                drawn = draw(st.lists(CALLS, min_size=1, max_size=8))
                some = [made(number * 100 + n, now_s, *fields) for n, fields in enumerate(drawn)]
                calls += some
                log += draw(st.sampled_from(makers)).blocks(some)
    return log, calls


def made(number: int, now_s: int, at: int, tenant: int, feature: int, cost: int, tokens: int) -> Call:
    return call(number, now_s + at, tenant=f"t{tenant}", feature=f"f{feature}", cost_nanousd=cost, user=f"u{tenant}",
                run_id=f"r{number % 7}", step=number % 11, input_tokens=100 + 900 * tokens)  # fmt: skip


def run(core: AgentCore, log: list[Any], first: int) -> list[bytes]:
    return [
        msgspec.json.encode([o.signals, o.rollups, o.result])
        for o in (core.apply(first + i, block) for i, block in enumerate(log))
    ]


@settings(max_examples=60, deadline=None)
@given(logs(), st.integers(2, 100), st.data())
def test_crashes_at_any_place_change_no_byte(log_calls: Any, scopes_max: int, data: Any) -> None:
    """Every checkpoint writes what the ledger would: rows that changed, or all of them after a recovery, less the dropped."""
    log, _ = log_calls
    config = AgentConfig(scopes_per_axis_max=scopes_max)
    whole = run(AgentCore(config, 0), log, 0)
    core, rows, got, at, fresh = AgentCore(config, 0), {}, [], 0, set()
    for cut in sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=4))):
        got += run(core, log[at:cut], at)
        at = cut
        dirty = core.dirty_rows()
        gone = set(core.dropped_rows()) - set(dirty)
        names = (fresh - gone) | set(dirty)
        rows = {name: data for name, data in rows.items() if name not in gone}
        rows |= {name: core.snapshot(name) for name in sorted(names)}
        head = core.head()
        fresh = set()
        if data.draw(st.booleans()):
            core = AgentCore.restore(config, 0, head, rows)
            assert core.dirty_rows() == []
            assert core.head() == head
            fresh = set(rows)
    assert got + run(core, log[at:], at) == whole


@settings(max_examples=60, deadline=None)
@given(logs(), st.integers(1, 6), st.sampled_from([2, 100]))
def test_totals_do_not_depend_on_how_calls_were_cut_into_blocks(
    log_calls: Any, size: int, scopes_max: int
) -> None:
    """Under folding the sum over all scopes of an axis; without, each scope's."""
    _, calls = log_calls
    found = [totals(calls, n, scopes_max) for n in (size, 1000)]
    truth: dict[tuple[str, str], int] = defaultdict(int)
    for c in calls:
        for axis in ("tenant", "feature", "user", "run_id", "global"):
            value = "" if axis == "global" else getattr(c, axis)
            truth[axis, value if scopes_max == 100 else ""] += c.cost_nanousd
    assert found == [dict(truth), dict(truth)]


def totals(calls: list[Call], size: int, scopes_max: int) -> dict[tuple[str, str], int]:
    core = AgentCore(AgentConfig(rollup_ms=0, scopes_per_axis_max=scopes_max), 0)
    maker, latest = BlockMaker(), {}
    for offset, first in enumerate(range(0, len(calls), size)):
        out = core.apply(offset, maker.blocks(calls[first : first + size])[0])
        latest |= {
            (r.axis, r.value, r.pane_start_s): r.sums[1] for r in out.rollups if r.granularity == "total"
        }
    found: dict[tuple[str, str], int] = defaultdict(int)
    for (axis, value, _), cost in latest.items():
        if axis in ("tenant", "feature", "user", "run_id", "global"):
            found[axis, value if scopes_max == 100 else ""] += cost
    return dict(found)

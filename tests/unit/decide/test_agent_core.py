"""The agent's core sums exactly, and is a pure function of its log."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec
from hypothesis import given, settings, strategies as st
from tests.support.calls import T0_MS, BlockMaker, call

from tokenfuse.contracts.block import FORMAT, Control
from tokenfuse.contracts.ruleset import CapRule, DriftRule, Response, RuleSet, SpikeRule, encode_ruleset
from tokenfuse.contracts.signal import Verdict
from tokenfuse.decide.agent import AgentConfig, AgentCore, AgentOutputs

CAP = CapRule(
    id="cap", kind="cap", driver="volume", maturity="stable", axis="tenant", severity="page", mode="enforce",
    window="1h", limit_nanousd=50_000_000, response=Response(action="block", ttl_seconds=3600),
)  # fmt: skip
SPIKE = SpikeRule(
    id="spike", kind="spike", driver="volume", maturity="stable", axis="feature", severity="page", mode="warn",
    pane="1h", factor=3.0, history_panes=168, history_panes_min=2, floor_nanousd=1,
)  # fmt: skip
DRIFT = DriftRule(
    id="drift", kind="drift", driver="prompt", maturity="stable", axis="tenant", severity="page", mode="warn",
    signal="prompt", windows_seconds=(60, 300), z_min=4.0, effect_min=0.3, baseline_hours=336, baseline_hours_min=3,
    calls_min=5, floor_nanousd_per_day=0, evaluation_interval_seconds=60,
)  # fmt: skip
RULES = RuleSet(id="test", rules=(CAP, SPIKE, DRIFT), time_zones={"acme": "America/New_York"})


def rules_block(ruleset: RuleSet = RULES, generation: int = 1) -> Control:
    return Control(FORMAT, "rules", generation, encode_ruleset(ruleset))


def verdicts(outputs: list[AgentOutputs]) -> list[Verdict]:
    return [s for out in outputs for s in out.signals if isinstance(s, Verdict)]


CALLS = st.builds(
    lambda n, at, who, what, cost, user, run: call(
        n, at, tenant=who, feature=what, cost_nanousd=cost, user=user, run_id=run
    ),
    st.integers(0, 10**9),
    st.floats(0, 4 * 3600),
    st.sampled_from(["acme", "bolt", "cora"]),
    st.sampled_from(["chat", "search"]),
    st.integers(0, 40_000_000),
    st.sampled_from([None, "ann", "bob"]),
    st.sampled_from([None, "run-1", "run-2"]),
)


@st.composite
def logs(draw: Any) -> list[Any]:
    """A log of one deltas partition: slices, ticks, and a rule set somewhere."""
    maker, log = BlockMaker(), []
    for slice_ in draw(st.lists(st.lists(CALLS, min_size=1, max_size=8), min_size=1, max_size=12)):
        log.append(maker.blocks(slice_)[0])
        if draw(st.booleans()):
            log.append(maker.tick(draw(st.floats(0, 5 * 3600))))
    log.insert(draw(st.integers(0, len(log))), rules_block())
    return log


def run(core: AgentCore, log: list[Any], first: int = 0) -> list[bytes]:
    return [
        msgspec.json.encode([o.signals, o.rollups, o.result])
        for o in (core.apply(first + i, b) for i, b in enumerate(log))
    ]


@settings(max_examples=60, deadline=None)
@given(logs(), st.data())
def test_a_core_restored_from_any_checkpoint_goes_on_with_the_same_bytes(log: list[Any], data: Any) -> None:
    """Checkpoint rows written at two moments, only the changed ones the second time, then a crash."""
    config = AgentConfig()
    whole = run(AgentCore(config, 0), log)
    first = data.draw(st.integers(0, len(log)))
    second = data.draw(st.integers(first, len(log)))
    core, rows = AgentCore(config, 0), {}
    run(core, log[:first])
    rows |= {name: core.snapshot(name) for name in core.dirty_rows()}
    run(core, log[first:second], first)
    rows |= {name: core.snapshot(name) for name in core.dirty_rows()}
    for name in core.dropped_rows():
        rows.pop(name, None)
    restored = AgentCore.restore(config, 0, core.head(), rows)
    assert run(restored, log[second:], second) == whole[second:]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(CALLS, min_size=1, max_size=8), min_size=1, max_size=12))
def test_every_granularity_adds_up_to_the_calls_whatever_their_order(slices: list[Any]) -> None:
    """Minutes, hours and days each add up with what came late; so does the running total."""
    core, maker, latest = AgentCore(AgentConfig(rollup_ms=0), 0), BlockMaker(), {}
    for offset, calls in enumerate(slices):
        out = core.apply(offset, maker.blocks(calls)[0])
        latest |= {(r.axis, r.value, r.granularity, r.pane_start_s): r.sums for r in out.rollups}
    truth: dict[Any, int] = defaultdict(int)
    for c in (c for calls in slices for c in calls):
        for axis in ("tenant", "feature", "model", "prompt_template", "user", "run_id"):
            if (value := getattr(c, axis)) is not None:
                truth[axis, value] += c.cost_nanousd
        truth["global", ""] += c.cost_nanousd
    for granularity in ("1m", "1h", "1d"):
        got: dict[Any, int] = defaultdict(int)
        for (axis, value, of, _), sums in latest.items():
            if of in (granularity, f"late_{granularity}"):
                got[axis, value] += sums[1]
        assert got == truth
    totals = {(a, v): sums[1] for (a, v, of, _), sums in latest.items() if of == "total"}
    assert totals == truth


def test_a_block_that_was_passed_changes_nothing() -> None:
    core, maker = AgentCore(AgentConfig(), 0), BlockMaker()
    block = maker.blocks([call(1, 0)])[0]
    core.apply(0, block)
    before = core.state.tables["tenant"].scopes.totals.all()
    assert core.apply(1, block).result == "passed"
    assert (core.state.tables["tenant"].scopes.totals.all() == before).all()


def test_a_rolling_cap_breaches_once_and_clears_when_the_money_left_the_window() -> None:
    core, maker, outs = AgentCore(AgentConfig(), 0), BlockMaker(), []
    outs.append(core.apply(0, rules_block()))
    outs.extend(core.apply(1 + n, maker.blocks([call(n, n * 10)])[0]) for n in range(60))
    found = [v for v in verdicts(outs) if v.rule == "cap"]
    assert [v.state for v in found][:1] == ["breach"]
    assert found[0].value == 51_000_000
    assert found[0].starts_ms == T0_MS + 500_000
    outs = [core.apply(100 + n, maker.tick(600 + n * 60)) for n in range(80)]
    assert [v.state for v in verdicts(outs) if v.rule == "cap"][-1] == "clear"


def test_a_new_rule_set_looks_at_every_scope_once_also_at_those_that_spend_no_more() -> None:
    core, maker = AgentCore(AgentConfig(), 0), BlockMaker()
    core.apply(0, maker.blocks([call(1, 0, cost_nanousd=60_000_000)])[0])
    core.apply(1, rules_block())
    out = core.apply(2, maker.tick(1))
    assert [(v.rule, v.state) for v in verdicts([out])] == [("cap", "breach")]


def test_nothing_is_said_while_history_teaches() -> None:
    core, maker = AgentCore(AgentConfig(), 0), BlockMaker()
    core.apply(0, rules_block())
    outs = [
        core.apply(1 + n, maker.blocks([call(n, n * 10)], history=True, record_ms=T0_MS + 9_000_000)[0])
        for n in range(100)
    ]
    assert not verdicts(outs)


def test_a_longer_prompt_is_found_with_its_driver_and_who() -> None:
    core, maker, outs = AgentCore(AgentConfig(), 0), BlockMaker(), []
    core.apply(0, rules_block(RuleSet(id="d", rules=(DRIFT,))))
    offset = 1
    for hour in range(6):
        calls = [call(hour * 1000 + n, hour * 3600 + n * 30) for n in range(120)]
        core.apply(offset, maker.blocks(calls)[0])
        offset += 1
    for n in range(30):
        grown = call(10_000 + n, 6 * 3600 + n * 10, input_tokens=3000, cost_nanousd=3_000_000)
        outs.append(core.apply(offset, maker.blocks([grown])[0]))
        offset += 1
    first = verdicts(outs)[0]
    assert (first.rule, first.state, first.driver, first.scope) == (
        "drift",
        "breach",
        "prompt",
        "tenant=acme",
    )
    assert sum(p.nanousd for p in first.drivers if p.driver == "prompt") > 0
    assert ("feature", "chat") in {(c.axis, c.value) for c in first.contributors}
    assert first.excess_nanousd > 0


def test_an_open_hour_that_costs_three_times_the_mean_is_a_spike() -> None:
    core, maker, offset = AgentCore(AgentConfig(), 0), BlockMaker(), 1
    core.apply(0, rules_block(RuleSet(id="s", rules=(SPIKE,))))
    for hour in range(5):
        core.apply(offset, maker.blocks([call(hour * 100 + n, hour * 3600 + n * 60) for n in range(10)])[0])
        offset += 1
    out = core.apply(offset, maker.blocks([call(9000 + n, 5 * 3600 + n) for n in range(31)])[0])
    found = verdicts([out])
    assert [(v.rule, v.scope, v.excess_nanousd) for v in found] == [("spike", "feature=chat", 21_000_000)]

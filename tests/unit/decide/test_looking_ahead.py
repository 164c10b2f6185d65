"""What judges leave out because it cannot breach changes no verdict: panes of a long block, and scopes below a bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from tests.support.calls import BlockMaker, call
from tests.unit.decide.rule_bench import Bench
from tests.unit.decide.test_panel_purity import CAPS, COMMON, FAST, SPIKES

from tokenfuse.contracts.block import FORMAT, Control
from tokenfuse.contracts.ruleset import CapRule, RuleSet, encode_ruleset
from tokenfuse.contracts.signal import Verdict
from tokenfuse.decide.agent import AgentConfig, AgentCore
from tokenfuse.decide.burn_rates import BurnRateJudge
from tokenfuse.decide.bursts import BurstJudge
from tokenfuse.decide.panel import Panel
from tokenfuse.decide.runs import RunJudge, RunsJudge
from tokenfuse.decide.scope_sums import TableSums
from tokenfuse.ingest.call import Call
from tokenfuse.windows.rolling import RollingSum

DAY_S = 86_400
Patch = Callable[[pytest.MonkeyPatch], None]


def every_pane(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Panel, "steps_of", lambda _self, panes_s, _batch, **_history: panes_s)


def every_scope(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BurstJudge, "_candidates", lambda _self, ids, _latest_s: ids)
    for judge, bound in ((BurnRateJudge, "_fast"), (RunJudge, "_high"), (RunsJudge, "_costly")):
        patch.setattr(judge, bound, lambda _self, ids, *_more: ids)


def every_window(patch: pytest.MonkeyPatch) -> None:
    """Windows move with every block, and those of closed panes are summed anew."""
    move = Panel.move

    def moved(panel: Panel, latest_s: int, watermark_s: int) -> None:
        move(panel, latest_s, watermark_s)
        panel.catch_up()

    def summed(window: TableSums, watermark_s: int) -> None:
        size, count = window._size, window._sums._count
        window._sums = RollingSum(window._sums._panes, size, count, None)
        window._sums.advance(watermark_s - watermark_s % size - size)

    patch.setattr(Panel, "move", moved)
    patch.setattr(TableSums, "advance", summed)


def verdicts(rules: tuple[Any, ...], blocks: list[list[Call]], patched: Patch | None = None) -> list[Verdict]:
    return outcome(rules, blocks, patched)[0]


def outcome(
    rules: tuple[Any, ...], blocks: list[list[Call]], patched: Patch | None = None
) -> tuple[list[Verdict], dict[str, bytes]]:
    """What is told of blocks, and the rows of what is learned."""
    with pytest.MonkeyPatch.context() as patch:
        if patched:
            patched(patch)
        core, maker = AgentCore(AgentConfig(), 0), BlockMaker()
        core.apply(0, Control(FORMAT, "rules", 1, encode_ruleset(RuleSet(id="r", rules=rules))))
        out = [core.apply(offset, maker.blocks(calls)[0]) for offset, calls in enumerate(blocks, 1)]
    told = [signal for one in out for signal in one.signals if isinstance(signal, Verdict)]
    return told, {row: core.snapshot(row) for row in core.panel.records.dirty_rows()}


def by_scope(found: list[Verdict]) -> dict[tuple[str, str], list[tuple[str, int]]]:
    """Transitions of every rule and scope, in their order."""
    out: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for v in found:
        if v.state != "update":
            out.setdefault((v.rule, v.scope), []).append((v.state, v.starts_ms))
    return out


@st.composite
def logs(draw: st.DrawFn) -> list[list[Call]]:
    """Blocks of a minute or five, on one to three days: quiet ones, dear ones and ones with a crowd."""
    blocks: list[list[Call]] = []
    number = 0
    for day in range(draw(st.integers(1, 3))):
        at_s = day * DAY_S + draw(st.sampled_from([0, 40_000, DAY_S - 400]))
        for _ in range(draw(st.integers(1, 4))):
            span_s = draw(st.sampled_from([60, 300]))
            count = draw(st.sampled_from([3, 8, 40]))
            times = sorted(draw(st.lists(st.integers(0, span_s - 1), min_size=count, max_size=count)))
            cost = draw(st.sampled_from([1000, 1_000_000, 5_000_000]))
            block = []
            for n, second in enumerate(times):
                number += 1
                block.append(
                    call(number, at_s + second, cost_nanousd=cost, tenant=f"t{n % 2}", user=f"u{n % 3}",
                         feature=f"f{n % 2}", run_id=f"r{day}-{n % 4}", step=n)
                )  # fmt: skip
            blocks.append(block)
            at_s += span_s
    return blocks


@settings(max_examples=12, deadline=None)
@given(logs())
def test_a_block_in_which_nothing_can_breach_is_judged_as_if_pane_by_pane(blocks: list[list[Call]]) -> None:
    for rules in (CAPS, SPIKES, CAPS + SPIKES + FAST):
        some, every = outcome(rules, blocks), outcome(rules, blocks, every_pane)
        assert by_scope(some[0]) == by_scope(every[0])
        assert some == every


@settings(max_examples=20, deadline=None)
@given(logs())
def test_scopes_below_a_rules_least_bound_would_not_have_fired(blocks: list[list[Call]]) -> None:
    assert verdicts(FAST, blocks) == verdicts(FAST, blocks, every_scope)


@settings(max_examples=12, deadline=None)
@given(logs())
def test_windows_that_move_only_when_they_are_read_hold_the_same(blocks: list[list[Call]]) -> None:
    rules = CAPS + SPIKES + FAST
    assert verdicts(rules, blocks) == verdicts(rules, blocks, every_window)


def test_the_generated_rules_do_fire() -> None:
    """Else the properties above would hold of judges that find nothing."""
    crowd = [
        [call(1000 * day + n, day * DAY_S + 40_000 + n, cost_nanousd=5_000_000, run_id=f"r{day}", step=n)
         for n in range(40 * (day + 1))]
        for day in range(3)
    ]  # fmt: skip
    assert {v.rule for v in verdicts(FAST, crowd)} == {"burn", "steps", "burst", "runs"}


def test_a_crowd_within_a_long_block_is_found_and_learned_as_if_pane_by_pane() -> None:
    """Alone, so that no other rule makes every pane a step; the day is known before, so that it is no first block."""
    burst = tuple(rule for rule in FAST if rule.id == "burst")
    blocks = []
    for day in range(3):
        at_s = day * DAY_S + 40_000
        quiet = [call(10_000 * day + n, at_s + n * 100) for n in range(20)]
        crowd = [call(10_000 * day + 1000 + n, at_s + 5000 + n) for n in range(40 * (day + 1))]
        after = [call(10_000 * day + 2000 + n, at_s + 5600 + n * 100) for n in range(20)]
        blocks += [quiet, crowd + after]
    some, every = outcome(burst, blocks), outcome(burst, blocks, every_pane)
    assert [v.state for v in some[0] if v.state != "update"] == ["breach", "clear", "breach", "clear"]
    assert some == every


def test_a_window_that_nobody_reads_lets_go_of_panes_before_they_expire() -> None:
    bench = Bench(
        CapRule(id="c", kind="cap", axis="run_id", window="24h", limit_nanousd=50_000_000, **COMMON)
    )
    for at_h, cost in ((0, 40_000_000), (10, 1_000_000)):
        assert not bench.at(at_h * 3600, run_id="r", cost_nanousd=cost)
    bench.wait(11 * 3600, 26 * 3600, 3600)
    assert not bench.at(26 * 3600, run_id="r", cost_nanousd=20_000_000)
    assert bench.at(26 * 3600 + 10, run_id="r", cost_nanousd=30_000_000)

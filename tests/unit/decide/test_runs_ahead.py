"""Runs of a long block of which none can breach are not judged pane by pane: what is told and learned is the same."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st
from tests.support.calls import BlockMaker, call
from tests.unit.decide.test_looking_ahead import every_pane
from tests.unit.decide.test_panel_purity import COMMON, DRIFT, FAST

from tokenfuse.contracts.block import FORMAT, Block, Control
from tokenfuse.contracts.ruleset import AgentRule, AnyRule, CapRule, RuleSet, encode_ruleset
from tokenfuse.contracts.signal import Verdict
from tokenfuse.contracts.sketch import sketch_of
from tokenfuse.decide.agent import AgentConfig, AgentCore
from tokenfuse.decide.run_records import RunLearner
from tokenfuse.decide.runs import RunJudge
from tokenfuse.ingest.call import Call

DAY_S = 86_400


def rule(measure: str, **changes: Any) -> AgentRule:
    return AgentRule(id=measure, kind="agent", axis="run_id", measure=measure, **(COMMON | changes))


LIMITS = (
    rule("context", limit=4000), rule("repetition", limit=4), rule("children", limit=2), rule("depth", limit=3),
    rule("seconds", limit=900), rule("retries", limit=5), rule("tool_calls", limit=30), rule("tokens", limit=90_000),
    rule("steps", limit=25, floor_nanousd=3_000_000),
)  # fmt: skip
RECORDS = tuple(
    msgspec.structs.replace(rule(measure, times_record=1.2, record_days_min=1, at_least=least), id=f"{measure}+")
    for measure, least in (("steps", 4), ("tokens", 4000), ("context", 1000), ("seconds", 100))
)  # fmt: skip
CLOSED = (DRIFT, *(r for r in FAST if r.id in ("price", "new", "prompts")))
RUN_CAP = CapRule(id="cap", kind="cap", axis="run_id", window="24h", limit_nanousd=200_000_000, **COMMON)
RULES = (*LIMITS, *RECORDS, *CLOSED, RUN_CAP)


@st.composite
def calls(draw: st.DrawFn, number: int, at_s: float, run: int) -> Call:
    """One call of a run, usually of its own feature; some runs say no steps, some come late or correct what they said."""
    feature = f"f{run % 2}" if draw(st.integers(0, 40)) else "other"
    fields: dict[str, Any] = {
        "feature": feature, "run_id": f"r{run}", "user": f"u{run % 2}", "tenant": f"t{run % 2}",
        "step": 0 if run == 3 and draw(st.integers(0, 9)) else number % 40, "depth": draw(st.integers(0, 4)),
        "retry": not draw(st.integers(0, 3)), "tool_calls": draw(st.integers(0, 2)),
        "tool_sketch": sketch_of(f"tool-{draw(st.integers(0, 2))}"), "cost_nanousd": draw(st.integers(-500_000, 2_000_000)),
        "input_tokens": draw(st.sampled_from([100, 1000, 2000, 5000])),
        "parent_run_id": f"r{run - 1}" if run and not draw(st.integers(0, 5)) else None,
    }  # fmt: skip
    if not draw(st.integers(0, 15)):
        fields["replaces"] = call(number, at_s, **(fields | {"input_tokens": 9000}))
    return call(number, at_s, **fields)


@st.composite
def logs(draw: st.DrawFn) -> list[Block]:
    """Blocks of some minutes over some days, also across midnight; late calls, a wrong clock, history."""
    maker, blocks, number = BlockMaker(), [], 0
    at_s, runs = draw(st.sampled_from([0, DAY_S - 4000, 40_000])), draw(st.integers(1, 6))
    for _ in range(draw(st.integers(1, 6))):
        span_s = draw(st.sampled_from([60, 600, 3000]))
        times = sorted(draw(st.lists(st.integers(0, span_s - 1), min_size=1, max_size=30)))
        some = []
        for second in times:
            number += 1
            shift_s = draw(st.sampled_from([0] * 30 + [-700, 40]))
            some.append(draw(calls(number, at_s + second + shift_s, draw(st.integers(0, runs - 1)))))
        slow = draw(st.sampled_from([None] * 6 + [max(c.time_ms for c in some) - 20_000]))
        blocks += maker.blocks(some, history=not draw(st.integers(0, 6)), record_ms=slow)
        at_s += span_s + draw(st.sampled_from([0, 0, 30, 700, DAY_S // 2, DAY_S]))
    return blocks


def outcome(
    rules: tuple[AnyRule, ...], blocks: list[Block], *, stepping: bool
) -> tuple[list[Verdict], dict[str, bytes]]:
    """What is told, and the rows of what is learned and stands after every block."""
    with pytest.MonkeyPatch.context() as patch:
        if stepping:
            every_pane(patch)
        core, told, rows = AgentCore(AgentConfig(), 0), [], {}
        core.apply(0, Control(FORMAT, "rules", 1, encode_ruleset(RuleSet(id="r", rules=rules))))
        for offset, block in enumerate(blocks, 1):
            told += [s for s in core.apply(offset, block).signals if isinstance(s, Verdict)]
            named = [row for row in core.dirty_rows() if row.startswith(("record/", "standings"))]
            rows |= {f"{offset} {row}": core.snapshot(row) for row in named} | {f"{offset} head": core.head()}
    return told, rows


@settings(max_examples=60, deadline=None)
@given(logs(), st.sets(st.integers(0, len(RULES) - 1), min_size=1, max_size=4))
def test_what_is_told_and_learned_of_runs_is_as_if_pane_by_pane(
    blocks: list[Block], chosen: set[int]
) -> None:
    rules = tuple(RULES[i] for i in sorted(chosen))
    some, every = (outcome(rules, blocks, stepping=stepping) for stepping in (False, True))
    assert some == every


def quiet(day: int, first: int, count: int, **changes: Any) -> list[Call]:
    """A run of a block of an hour."""
    return [
        call(1000 * day + n, day * DAY_S + 40_000 + n * 90, run_id=f"r{day}", step=n, **changes)
        for n in range(first, first + count)
    ]


def test_no_run_is_judged_in_a_block_in_which_none_can_breach_but_its_records_are_learned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    maker, judged, rules = BlockMaker(), [], (*LIMITS[:2], RECORDS[0])
    blocks = [maker.blocks(quiet(day, 1, 40))[0] for day in range(3)]
    judge = RunJudge.judge

    def noted(self: RunJudge, ids: Any, latest_s: int, now_ms: int) -> None:
        judged.append(latest_s)
        judge(self, ids, latest_s, now_ms)

    every = outcome(rules, blocks, stepping=True)
    monkeypatch.setattr(RunJudge, "judge", noted)
    some = outcome(rules, blocks, stepping=False)
    assert some == every
    assert len(judged) == 40 * len(rules)  # the first look at a rule set


@pytest.mark.parametrize(("number", "state"), [(0, "context"), (1, "repetition"), (8, "steps")])
def test_a_loop_in_the_middle_of_a_long_block_is_found_at_its_pane(number: int, state: str) -> None:
    maker, loop = BlockMaker(), quiet(1, 40, 30, input_tokens=6000, tool_calls=1, tool_sketch=sketch_of("x"))
    blocks = [maker.blocks(some)[0] for some in (quiet(0, 1, 20), [*quiet(1, 1, 5), *loop, *quiet(1, 80, 5)])]
    some, every = (outcome((LIMITS[number],), blocks, stepping=stepping) for stepping in (False, True))
    assert [v.rule for v in some[0] if v.state == "breach"] == [state]
    assert some == every


def test_a_day_that_begins_in_a_block_has_records_of_its_own() -> None:
    maker, rules = BlockMaker(), (RECORDS[0],)
    night = [call(n, DAY_S - 1900 + n * 90, run_id="r", step=n) for n in range(1, 40)]
    blocks = [maker.blocks(some)[0] for some in (quiet(0, 1, 3), night, quiet(1, 1, 60))]
    some, every = (outcome(rules, blocks, stepping=stepping) for stepping in (False, True))
    assert some == every


def test_a_run_whose_feature_changes_within_a_block_is_not_learned_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learned: list[bool] = []
    learn = RunLearner.learn_ahead
    monkeypatch.setattr(RunLearner, "learn_ahead", lambda self: learned.append(learn(self)) or learned[-1])
    maker, rules = BlockMaker(), (RECORDS[0],)
    parts = [
        quiet(0, 1, 40),
        quiet(1, 1, 40),
        quiet(2, 1, 5),
        quiet(2, 6, 5, feature="other"),
    ]
    blocks = [maker.blocks(part)[0] for part in parts]
    some = outcome(rules, blocks, stepping=False)
    assert learned == [True, True]
    assert some == outcome(rules, blocks, stepping=True)

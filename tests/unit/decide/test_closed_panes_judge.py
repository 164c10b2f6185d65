"""Prices and prompt budgets on panes that ended: when they are told, of whom, and when the alert ends."""

from __future__ import annotations

from typing import Any

from tests.support.calls import BlockMaker, call
from tests.unit.decide.rule_bench import COMMON, Bench, told

from tokenfuse.contracts.block import FORMAT, Control
from tokenfuse.contracts.ruleset import PriceRule, PromptBudgetRule, RuleSet, encode_ruleset
from tokenfuse.contracts.scope import output_partition
from tokenfuse.contracts.signal import Verdict
from tokenfuse.decide.agent import AgentConfig, AgentCore


def off_book(**changes: Any) -> PriceRule:
    fields: dict[str, Any] = {
        "id": "price", "kind": "price", "driver": "price", "axis": "tenant", "measure": "off_book", "share_max": 0.02,
        "window_seconds": 3600, "calls_min": 5, "floor_nanousd": 1,
    }  # fmt: skip
    return PriceRule(**(COMMON | fields | changes))


def budget(**changes: Any) -> PromptBudgetRule:
    fields: dict[str, Any] = {
        "id": "budget", "kind": "prompt_budget", "driver": "prompt", "axis": "feature", "limit": 900,
        "window_seconds": 3600, "calls_min": 5, "floor_nanousd": 1,
    }  # fmt: skip
    return PromptBudgetRule(**(COMMON | fields | changes))


def test_a_price_off_the_book_is_told_when_its_minute_has_ended_and_cleared_when_the_window_let_go_of_it() -> (
    None
):
    bench = Bench(off_book())
    assert told(bench.at(10, 5, cost_nanousd=1050, off_book_nanousd=50)) == []
    found = bench.wait(20, 700)
    assert [(v.state, v.scope, v.driver, v.excess_nanousd) for v in found[:1]] == [
        ("breach", "tenant=acme", "price", 250)
    ]
    assert round(found[0].value, 6) == 0.05
    later = bench.wait(700, 4500)
    assert [v.state for v in later if v.state != "update"] == ["clear"]
    assert 3600 <= later[-1].at_ms // 1000 - found[0].starts_ms // 1000 <= 4000


def test_a_prompt_budget_is_told_with_what_the_tokens_above_it_cost() -> None:
    bench = Bench(budget())
    bench.at(10, 5, input_tokens=1000, output_tokens=0, cost_nanousd=1000)
    found = bench.wait(20, 700)
    assert [(v.scope, v.driver, v.value, v.excess_nanousd) for v in found[:1]] == [
        ("feature=chat", "prompt", 1000.0, 500)
    ]


def test_only_scopes_that_the_pattern_matches_are_judged_and_a_narrower_one_clears_what_stood() -> None:
    bench = Bench(budget(match="ch*"))
    bench.at(10, 5, feature="search")
    bench.at(10, 5)
    assert told(bench.wait(20, 700))[:1] == ["breach feature=chat"]
    bench.install(budget(match="x*"))
    assert told(bench.wait(700, 1300)) == ["clear feature=chat"]


def test_a_verdict_survives_a_restart_and_is_not_told_twice() -> None:
    bench = Bench(budget(), off_book())
    bench.at(10, 5, cost_nanousd=1050, off_book_nanousd=50)
    assert sorted(told(bench.wait(20, 700)))[:2] == ["breach feature=chat", "breach tenant=acme"]
    bench.restart()
    assert not [v for v in bench.wait(700, 1400) if v.state == "breach"]


def test_a_joint_axis_is_judged_by_the_owner_of_its_first_value_with_all_cells_and_by_nobody_else() -> None:
    """Others have cells of it, too, and of the owner of a model not all: they would tell other sums of the same scope."""
    rule, partitions = off_book(axis="tenant+feature"), 8
    ruleset = encode_ruleset(RuleSet(id="r", rules=(rule,)))
    cores = [AgentCore(AgentConfig(), p) for p in range(partitions)]
    maker = BlockMaker(partitions)
    calls = [
        call(n, 10, model=f"m{n % 5}", prompt_template=f"t{n % 3}", feature=feature, **price)
        for n, (feature, price) in enumerate(
            [("chat", {"cost_nanousd": 1050, "off_book_nanousd": 50})] * 15 + [("search", {})] * 15
        )
    ]
    told_by: dict[int, list[Any]] = {}
    for core in cores:
        core.apply(1, Control(FORMAT, "rules", 1, ruleset))
    blocks = maker.blocks(calls)
    ticks = [maker.tick(at_s) for at_s in range(20, 400, 10)]
    for p, core in enumerate(cores):
        for offset, message in enumerate([blocks[p], *ticks], 2):
            told_by.setdefault(p, []).extend(
                s
                for s in core.apply(offset, message).signals
                if isinstance(s, Verdict) and s.state == "breach"
            )
    owner = output_partition("tenant", "acme", partitions)
    assert {p: [(v.scope, v.excess_nanousd) for v in found] for p, found in told_by.items() if found} == {
        owner: [("feature=chat&tenant=acme", 750)]
    }


def test_a_verdict_on_a_joint_axis_says_what_changed_and_ends() -> None:
    bench = Bench(off_book(axis="tenant+feature", match="*feature=chat*"))
    bench.at(10, 5, cost_nanousd=1050, off_book_nanousd=50)
    bench.at(10, 5, feature="search", cost_nanousd=1050, off_book_nanousd=50)
    found = bench.wait(20, 700)
    assert told(found)[0] == "breach feature=chat&tenant=acme"
    assert {(c.axis, c.value) for c in found[0].contributors} >= {("model", "gpt-4o")}
    assert found[0].examples
    assert sum(part.nanousd for part in found[0].drivers) == (
        found[0].cost_change.spent_nanousd - found[0].cost_change.usual_nanousd
    )
    bench.restart()
    assert [line for line in told(bench.wait(700, 4500)) if not line.startswith("update")] == [
        "clear feature=chat&tenant=acme"
    ]
